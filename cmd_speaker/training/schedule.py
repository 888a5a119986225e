"""Learning rate, weights and margins as pure functions of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np


@dataclass(frozen=True)
class OneCycle:
    """One cycle (Smith and Topin 2018): cosine rise from `peak / start_ratio`, cosine fall to `peak / end_ratio`.

    `warmup` is the share of all steps spent rising.
    """

    peak: float
    warmup: float = 0.3
    start_ratio: float = 25.0
    end_ratio: float = 1e5

    def __call__(self, step: int, total_steps: int) -> float:
        """Learning rate at `step` in [0, total_steps)."""
        turn = max(1.0, self.warmup * total_steps - 1)
        if step <= turn:
            return _cosine(self.peak / self.start_ratio, self.peak, step / turn)
        rest = max(1.0, total_steps - 1 - turn)
        return _cosine(self.peak, self.peak / self.end_ratio, min(1.0, (step - turn) / rest))


SCHEDULE = "a number of at least 0, or points [[share of the training, value], ...] with rising shares"


@dataclass(frozen=True)
class Piecewise:
    """A value that is linear between points and constant before the first and after the last.

    A point is (share of the training that is done, value), shares in [0, 1] and rising, values at least 0.
    """

    points: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, value: Any) -> Piecewise:
        """A recipe's number, constant, or its list of points, `[[0, 0], [0.2, 1]]` for a warm-up.

        Raises `ValueError` where it is neither.
        """
        if not is_schedule(value):
            raise ValueError(f"expected {SCHEDULE}, found {value!r}")
        points = [(0.0, value)] if isinstance(value, int | float) else value
        return cls(tuple((float(share), float(height)) for share, height in points))

    @property
    def constant(self) -> bool:
        return len({value for _, value in self.points}) == 1

    @property
    def peak(self) -> float:
        return max(value for _, value in self.points)

    def __call__(self, progress: float) -> float:
        """The value when the share `progress` of the training is done."""
        shares, values = zip(*self.points, strict=True)
        return float(np.interp(progress, shares, values))


def is_schedule(value: Any) -> bool:
    """Whether `Piecewise.of` takes it."""
    points = [[0, value]] if isinstance(value, int | float) else value
    if not isinstance(points, list | tuple) or not points or not all(_is_point(each) for each in points):
        return False
    return all(earlier[0] < later[0] for earlier, later in pairwise(points))


def _is_point(point: Any) -> bool:
    if not isinstance(point, list | tuple) or len(point) != 2:
        return False
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in point):
        return False
    return 0 <= point[0] <= 1 and 0 <= point[1] < math.inf


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
