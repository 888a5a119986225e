"""The report as JSON: everything that the page shows, unrounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.evaluation.worst import worst_trials
from cmd_speaker.report.content import WORST, Content
from cmd_speaker.report.curves import det_points, histogram, reliability
from cmd_speaker.report.evaluation import System
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
    worst = zip(("targets", "nontargets"), worst_trials(system.kept_scores(), WORST, speakers), strict=True)
    far, miss_rate = det_points(ordered)
    return system.as_dict() | {
        "verdict": verdict(system),
        "facts": dict(system.facts),
        "made_by": dict(system.made_by),
        "calibration": dict(system.calibration),
        "worst": {name: [asdict(trial) for trial in trials] for name, trials in worst},
        "det": {"far": far.tolist(), "miss_rate": miss_rate.tolist()},
        "histogram": {name: values.tolist() for name, values in vars(histogram(ordered)).items()},
        "reliability": [_finite(asdict(found)) for found in reliability(ordered)] if system.is_llr else None,
    }


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no infinity."""
    return {name: value if isfinite(value) else None for name, value in values.items()}
