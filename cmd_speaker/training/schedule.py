"""Learning rate as a pure function of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from dataclasses import dataclass


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


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
