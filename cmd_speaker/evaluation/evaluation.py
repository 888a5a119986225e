"""From score files to everything that `cmd-speaker evaluate` says: terminal, JSON, Markdown and the report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.errors import UsageError
from cmd_speaker.evaluation import provenance
from cmd_speaker.evaluation.bootstrap import PairedDifference, paired_difference
from cmd_speaker.evaluation.breakdown import Group
from cmd_speaker.evaluation.metrics import POINTS, OperatingPoint
from cmd_speaker.evaluation.scores import Scores, attach_labels, load_scores, load_utt2spk, match_pairs
from cmd_speaker.evaluation.summary import Summary, summarise
from cmd_speaker.evaluation.trials import load_trials

FARS = (0.001, 0.01)
"""False acceptance rates at which the miss rate is given unless others are asked for."""


@dataclass(frozen=True)
class Question:
    """What is asked of score files; the options of `cmd-speaker evaluate`, whose words stand there.

    `calibrations` are none, one for all systems or one for each; `names` none or one for each. `command` is
    the command line, for the record.
    """

    trials: Path | None = None
    speakers: Path | None = None
    metadata: Path | None = None
    columns: Sequence[str] = ()
    calibrations: Sequence[Path] = ()
    llr: bool = False
    points: Sequence[OperatingPoint] = POINTS
    fars: Sequence[float] = FARS
    names: Sequence[str] = ()
    seed: int = 0
    replicates: int = 1000
    command: str = ""


@dataclass(frozen=True, eq=False)
class System:
    """One score file.

    `scores` are as read, with labels, in the order of the trials common to all systems; `llr` are their
    calibrated log-likelihood ratios (natural logarithm), float64 [n], or None for uncalibrated scores.
    `difference` is that from the first system, None for the first and without speakers. `made_by` is the
    record kept beside the score file, empty where there is none. `facts` say in words, in order, how the
    scores came about (label -> text).
    """

    name: str
    path: Path
    scores: Scores
    llr: np.ndarray | None
    summary: Summary
    difference: PairedDifference | None = None
    groups: Sequence[Group] = ()
    made_by: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> np.ndarray:
        """What is thresholded: the LLRs, or the scores where there are none."""
        return self.scores.scores if self.llr is None else self.llr

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `eer` and its bounds `eer_low` and `eer_high` are numbers in [0, 1]."""
        values: dict[str, Any] = {"name": self.name, "scores": str(self.path), **self.summary.as_dict()}
        if self.difference is not None:
            values["eer_difference"] = self.difference.eer.as_dict()
            for point, difference in self.difference.min_dcf.items():
                values[f"min_dcf_{point.key}_difference"] = difference.as_dict()
        return values


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Systems on one trial list; `facts` say, in order, on what and how they were measured (label -> text).

    `warnings` are what a reader must know: why there is no interval, no actual cost, and the like. `speakers`
    are those of the utterances, empty where they are not known.
    """

    systems: Sequence[System]
    facts: Mapping[str, str]
    warnings: Sequence[str] = ()
    speakers: Mapping[str, str] = field(default_factory=dict)


def evaluate_scores(paths: Sequence[Path], question: Question) -> Evaluation:
    """Measure the systems whose scores are in `paths` on the same trials, and compare the others with the first.

    Raises `UsageError` for options that do not fit together, `DataError` as the readers of the files do.
    """
    started = time.perf_counter()
    names = system_names(paths, question.names)
    _calibration_of(question, len(paths))
    scores, warnings = _load(paths, question.trials)
    utt2spk = load_utt2spk(question.speakers) if question.speakers else None
    systems: list[System] = []
    for name, path, found in zip(names, paths, scores, strict=True):
        systems.append(_measure(name, path, found, utt2spk, question, systems[:1]))
    warnings += _warnings(systems, question)
    facts = provenance.common_facts(question, systems[0].scores)
    facts["Seconds"] = f"{time.perf_counter() - started:.2f}"
    return Evaluation(systems, facts, warnings, utt2spk or {})


def system_names(paths: Sequence[Path], names: Sequence[str]) -> list[str]:
    """A name for each score file: those given, else what tells the paths apart.

    Raises `UsageError` where the given names are not as many as the files, or not all different.
    """
    if names and len(names) != len(paths):
        raise UsageError(
            f"--name is given once for each score file: expected {len(paths)}, found {len(names)}"
        )
    found = list(names) or _distinct_parts(paths)
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise UsageError(f"two systems have the name '{twice[0]}'; tell them apart with --name")
    return found


def _distinct_parts(paths: Sequence[Path]) -> list[str]:
    """The paths without the folders at their beginning and the parts at their end that all of them share."""
    if len(paths) == 1:
        return ["/".join(paths[0].parts[-2:])]
    parts = [path.parts for path in paths]
    shortest = min(map(len, parts))
    first = next((k for k in range(shortest) if len({part[k] for part in parts}) > 1), shortest - 1)
    last = next((k for k in range(shortest - first) if len({part[-1 - k] for part in parts}) > 1), 0)
    return ["/".join(part[first : len(part) - last]) for part in parts]


def _load(paths: Sequence[Path], trials: Path | None) -> tuple[list[Scores], list[str]]:
    """The scores of all systems in one order of trials, and what was left out."""
    loaded = [load_scores(path) for path in paths]
    if trials is None:
        for other in loaded[1:]:
            match_pairs(other, loaded[0].trials)
            match_pairs(loaded[0], other.trials)
        loaded[0].known_labels()
        return [loaded[0], *(attach_labels(other, loaded[0].trials)[0] for other in loaded[1:])], []
    common, aligned, warnings = load_trials(trials), [], []
    for path, scores in zip(paths, loaded, strict=True):
        found, extra = attach_labels(scores, common)
        if extra:
            warnings.append(f"{path}: {extra:,} scores of trials that {trials} does not list were left out")
        aligned.append(found)
    return aligned, warnings


def _measure(
    name: str,
    path: Path,
    scores: Scores,
    utt2spk: Mapping[str, str] | None,
    question: Question,
    first: Sequence[System],
) -> System:
    """One system, and how it differs from the first."""
    llr = scores.scores.astype(np.float64) if question.llr else None
    summary = summarise(
        scores,
        utt2spk,
        seed=question.seed,
        replicates=question.replicates,
        llr=llr,
        points=question.points,
        fars=question.fars,
    )
    made_by: dict[str, Any] = {}
    facts = provenance.system_facts(path, made_by, llr is not None)
    system = System(name, path, scores, llr, summary, made_by=made_by, facts=facts)
    if utt2spk is None or not question.replicates or not first:
        return system
    runs = [[Scores(scores.trials, one.values)] for one in (first[0], system)]
    difference = paired_difference(*runs, utt2spk, question.seed, question.replicates, question.points)
    return replace(system, difference=difference)


def _calibration_of(question: Question, systems: int) -> list[Path | None]:
    """The calibration of every system."""
    given = list(question.calibrations)
    if given and question.llr:
        raise UsageError("--llr says that the scores are calibrated already: leave out --calibration")
    if len(given) not in (0, 1, systems):
        raise UsageError(
            f"--calibration is given once, or once for each of {systems} score files, not {len(given)} times"
        )
    return [given[0]] * systems if len(given) == 1 else [*given] or [None] * systems


def _warnings(systems: Sequence[System], question: Question) -> list[str]:
    found = []
    if question.speakers is None:
        found.append("No interval: give the speakers with `--speakers MANIFEST|utt2spk`")
    elif not question.replicates:
        found.append("No interval: `--replicates` is 0")
    elif systems[0].summary.warning:
        found.append(systems[0].summary.warning)
    raw = [system.name for system in systems if system.llr is None]
    if raw:
        found.append(
            f"{', '.join(raw)}: not calibrated, so neither actual costs nor Cllr are given; make a calibration "
            "on other speakers with `cmd-speaker calibrate` and give it with `--calibration`, or say `--llr` if "
            "the scores are log-likelihood ratios"
        )
    return found
