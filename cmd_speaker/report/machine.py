"""The report as JSON: everything that the page shows, unrounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np

from cmd_speaker.evaluation.evaluation import System
from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.report.content import Content, worst_trials
from cmd_speaker.report.curves import det_points, histogram, reliability
from cmd_speaker.report.verdict import verdict


def report_json(content: Content) -> str:
    """The text; the same content gives the same bytes, and `<` is no tag to any browser."""
    evaluation = content.evaluation
    value = {
        "title": content.title,
        "facts": dict(evaluation.facts),
        "warnings": list(evaluation.warnings),
        "systems": [
            _system(system, ordered, evaluation.speakers)
            for system, ordered in zip(evaluation.systems, content.ordered, strict=True)
        ],
    }
    return json.dumps(value, indent=1, allow_nan=False).replace("<", "\\u003c") + "\n"


def _system(system: System, ordered: SortedScores, speakers: Mapping[str, str]) -> dict[str, Any]:
    labels = system.scores.known_labels()
    found, curve, points = histogram(system.values, labels), ordered.curve(), det_points(ordered)
    worst = zip(("targets", "nontargets"), worst_trials(system.values, labels), strict=True)
    return system.as_dict() | {
        "verdict": verdict(system),
        "facts": dict(system.facts),
        "made_by": dict(system.made_by),
        "calibration": dict(system.calibration),
        "groups": [asdict(group) for group in system.groups],
        "worst": {name: [_trial(system, place, speakers) for place in places] for name, places in worst},
        "det": {"far": curve.far(points).tolist(), "miss_rate": curve.frr(points).tolist()},
        "histogram": {name: values.tolist() for name, values in vars(found).items()},
        "reliability": None
        if system.llr is None
        else [
            {name: value if isfinite(value) else None for name, value in asdict(row).items()}
            for row in reliability(system.llr, labels)
        ],
    }


def _trial(system: System, place: np.intp, speakers: Mapping[str, str]) -> dict[str, Any]:
    pair = system.scores.trials.pair(int(place))
    trial: dict[str, Any] = {"enrol": pair[0], "test": pair[1], "score": float(system.values[place])}
    return trial | {"speakers": [speakers[name] for name in pair]} if speakers else trial
