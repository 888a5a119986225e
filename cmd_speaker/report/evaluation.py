"""Everything that `cmd-speaker evaluate` found out, for the terminal, JSON, Markdown and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cmd_speaker.errors import UsageError
from cmd_speaker.evaluation.bootstrap import PairedDifference
from cmd_speaker.evaluation.breakdown import Group
from cmd_speaker.evaluation.summary import Summary
from cmd_speaker.lists.scores import Scores


@dataclass(frozen=True, eq=False)
class System:
    """One score file.

    `scores` have labels and are in the order of the trials common to all systems; they are natural-log
    likelihood ratios where `is_llr`, and None where they were not kept. `difference` is that from the first
    system, None for the first and without speakers. `made_by` is the record beside the score file and
    `calibration` what was applied, both empty where there is none. `facts` say in words, in order, how the
    scores came about (label -> text).
    """

    name: str
    path: Path
    scores: Scores | None
    is_llr: bool
    summary: Summary
    difference: PairedDifference | None = None
    groups: Sequence[Group] = ()
    made_by: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def kept_scores(self) -> Scores:
        """The scores; raises `UsageError` where they were not kept."""
        if self.scores is None:
            raise UsageError("a report needs the scores: evaluate with Question(keep=True)")
        return self.scores

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `eer` and its bounds `eer_low` and `eer_high` in [0, 1], all differences and groups."""
        values: dict[str, Any] = {"name": self.name, "scores": str(self.path), **self.summary.as_dict()}
        if self.difference is not None:
            values["eer_difference"] = self.difference.eer.as_dict()
            for kind in ("min_dcf", "act_dcf"):
                for point, difference in getattr(self.difference, kind).items():
                    values[f"{kind}_{point.key}_difference"] = difference.as_dict()
            if self.difference.cllr is not None:
                values["cllr_difference"] = self.difference.cllr.as_dict()
        if self.groups:
            values["groups"] = [asdict(group) for group in self.groups]
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
