"""The answer to: who is it, of those enrolled?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cmd_speaker.decision import Comparison
from cmd_speaker.evaluation.operating_point import OperatingPoint


@dataclass(frozen=True)
class Candidate:
    """A speaker with score and log-likelihood ratio, None without calibration; rank 1 is the likeliest.

    `accepted` tells that it is this one: never more than one. None where nothing decides.
    """

    rank: int
    name: str
    score: float
    llr: float | None
    accepted: bool | None


@dataclass(frozen=True)
class Identification:
    """The likeliest of `speakers` enrolled, best first.

    `threshold` is the LLR from which on the first is accepted, decided for `point`; None without calibration.
    """

    candidates: Sequence[Candidate]
    speakers: int
    threshold: float | None = None
    point: OperatingPoint | None = None
    warnings: Sequence[str] = ()

    @property
    def known(self) -> bool | None:
        """Whether it is anybody who is enrolled; None where nothing decides."""
        return self.candidates[0].accepted

    @property
    def name(self) -> str | None:
        """Who it is; None for nobody, and where nothing decides."""
        return self.candidates[0].name if self.known else None


def identification(
    compared: Comparison,
    name_of: Callable[[int], str],
    speakers: int,
    point: OperatingPoint | None,
    top: int,
) -> Identification:
    """The `top` likeliest of those `compared`, of `speakers` in all.

    The prior of `point` is that the speaker is enrolled at all; each of N names has an N-th of it, so that the
    threshold rises by log N. Equal candidates keep the order of their enrolment.
    """
    values = compared.scores if compared.llrs is None else compared.llrs
    kept = np.arange(len(values))
    if top < len(values):
        least = np.partition(values, len(values) - top)[len(values) - top]
        kept = np.flatnonzero(values >= least)
    best = kept[np.argsort(-values[kept], kind="stable")][:top].tolist()
    threshold = None if point is None or compared.llrs is None else point.threshold + math.log(speakers)
    candidates = []
    for rank, place in enumerate(best, start=1):
        llr = None if compared.llrs is None else float(compared.llrs[place])
        accepted = None if threshold is None or llr is None else rank == 1 and llr >= threshold
        candidates.append(Candidate(rank, name_of(place), float(compared.scores[place]), llr, accepted))
    return Identification(candidates, speakers, threshold, point, compared.warnings)
