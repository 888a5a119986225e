"""Where a system is weak: error rates within groups of trials."""

from __future__ import annotations

from dataclasses import dataclass

from cmd_speaker.evaluation.bootstrap import Interval


@dataclass(frozen=True)
class Group:
    """The trials whose two sides have certain values of one metadata column.

    `far` and `frr` are the error rates at the threshold where the whole list has its EER, and so tell who
    pays for a common threshold; `eer` and its interval are the group's own. All are fractions, and None
    where the group lacks the class of trials (or, for the interval, the speakers) that they need.
    """

    column: str
    name: str
    targets: int
    nontargets: int
    speakers: int | None
    eer: float | None
    eer_interval: Interval | None
    far: float | None
    frr: float | None
