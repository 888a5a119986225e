"""What decisions are made for: how likely a target is, and what errors cost.

Sources: N. Brümmer and J. du Preez, "Application-independent evaluation of speaker detection", Computer Speech and
Language 20, 2006 (Bayes threshold of log-likelihood ratios); NIST speaker recognition evaluation plans
(detection cost and its normalisation).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log1p
from typing import Any

from cmd_speaker.errors import UsageError

LEAST = 1e-12
"""Priors and costs lie from here to its inverse: beyond, costs overflow."""


@dataclass(frozen=True)
class OperatingPoint:
    """What a decision is made for: the prior probability of a target, and what both kinds of error cost.

    Raises `UsageError` for a prior outside (0, 1) or a cost that is not positive, and for what `LEAST` excludes.
    """

    p_target: float
    c_miss: float = 1.0
    c_fa: float = 1.0

    def __post_init__(self) -> None:
        numbers = self.p_target, 1 - self.p_target, self.c_miss, self.c_fa
        if not all(LEAST < number < 1 / LEAST for number in numbers):
            raise UsageError(
                f"an operating point has a prior between 0 and 1 and positive costs (from {LEAST:g} on), "
                f"not p_target {self.p_target}, c_miss {self.c_miss}, c_fa {self.c_fa}"
            )

    @property
    def threshold(self) -> float:
        """The Bayes threshold of a natural-log likelihood ratio: accepting costs least from here on."""
        return log(self.c_fa / self.c_miss) + log1p(-self.p_target) - log(self.p_target)

    def cost(self, frr: Any, far: Any) -> Any:
        """The normalised detection cost of error rates, numbers or arrays; see `Curve.min_dcf`."""
        miss, false_alarm = self.c_miss * self.p_target, self.c_fa * (1 - self.p_target)
        least = min(miss, false_alarm)
        return miss / least * frr + false_alarm / least * far

    @property
    def key(self) -> str:
        """Its name in JSON: `001` for a prior of 0.01 and costs of 1, `001_10_1` where misses cost 10."""
        key = f"{self.p_target:g}".replace(".", "")
        return key if self.c_miss == self.c_fa == 1 else f"{key}_{self.c_miss:g}_{self.c_fa:g}"

    def __str__(self) -> str:
        costs = "" if self.c_miss == self.c_fa == 1 else f", {self.c_miss:g}, {self.c_fa:g}"
        return f"{self.p_target:g}{costs}"


POINTS = (OperatingPoint(0.01), OperatingPoint(0.05))
"""Where costs are reported unless others are asked for."""
