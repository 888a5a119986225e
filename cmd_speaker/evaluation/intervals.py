"""95 % intervals from what other draws of speakers gave.

The plain percentiles of the draws are too narrow: a figure of 30 speakers varies more, and is more skewed, than
its own draws show, and minimum costs are lower in every draw. By simulation (benchmarks/README.md, "Coverage")
they hold the true EER in 88 to 97 % of test sets and the true minDCF in 31 to 90 %. So a figure gets
a t interval on a logarithmic scale, and a difference percentiles that lie further out, as its scale has no zero
to be skewed away from. Both carry Student's t for the number of speakers, and n / (n - 1) for the variance that
draws of n lack.

No draw shows an error of a kind of which the list has none. Three are then added to the upper bound: that is how
many, at most, a list of this size may have been expected to show (the rule of three).

Sources: T. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015
(expanded percentile intervals, narrowness); B. Efron and R. Tibshirani, "An Introduction to the Bootstrap",
1993, chapter 12 (t intervals on a transformed scale); J. Hanley and A. Lippman-Hand, "If nothing goes wrong, is
everything all right?", JAMA 249, 1983 (rule of three).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, sqrt

import numpy as np

LEVEL = 0.95
UNSEEN = 3
"""Errors that may have been expected where none was seen."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


def figure_interval(
    measured: float, drawn: np.ndarray, speakers: int, step: float, unseen: float = 0.0, most: float = inf
) -> Interval:
    """The interval of an error rate or cost, `measured` on the list and `drawn` [R] for draws of its speakers.

    `step`, what one error adds, is added before logarithms are taken, so that a draw may have no error.
    `unseen` is what errors that the list lacks may cost, and `most` the highest value that the figure can have.
    """
    half = _expanded_t(speakers) * float(np.log(drawn + step).std())
    low, high = ((measured + step) * exp(sign * half) - step for sign in (-1, 1))
    return Interval(max(low, 0.0), min(high + unseen, most))


def difference_interval(drawn: np.ndarray, speakers: int) -> Interval:
    """The interval of a difference that was `drawn` [R] for draws of the speakers: expanded percentiles."""
    from scipy.special import ndtr

    level = float(ndtr(_expanded_t(speakers)))
    low, high = np.quantile(drawn, [1 - level, level])
    return Interval(float(low), float(high))


def _expanded_t(speakers: int) -> float:
    """Half the width of an interval in standard deviations of the draws."""
    from scipy.special import stdtrit

    return float(stdtrit(speakers - 1, (1 + LEVEL) / 2)) * sqrt(speakers / (speakers - 1))
