"""Everything that `cmd-speaker evaluate` found out, for the terminal, JSON, Markdown and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.evaluation.bootstrap import PairedDifference
from cmd_speaker.evaluation.breakdown import Group
from cmd_speaker.evaluation.scores import Scores
from cmd_speaker.evaluation.summary import Summary


@dataclass(frozen=True, eq=False)
class System:
    """One score file.

    `scores` are as read, with labels, in the order of the trials common to all systems; `llr` are their
    calibrated log-likelihood ratios (natural logarithm), float64 [n], or None for uncalibrated scores.
    `difference` is that from the first system, None for the first and without speakers. `made_by` is the
    record kept beside the score file, empty where there is none.
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


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Systems on one trial list; `facts` say, in order, on what and how they were measured (label -> text)."""

    systems: Sequence[System]
    facts: Mapping[str, str]
    warnings: Sequence[str] = ()
