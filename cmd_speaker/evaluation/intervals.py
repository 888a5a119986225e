"""95 % intervals from what other draws of speakers gave.

The plain percentiles of the draws are too narrow: a figure of 30 speakers varies more, and is more skewed, than
its own draws show, and the minimum of a cost is lower in a draw than in the list. In simulated test sets of 10 to
100 speakers they held the true EER 84 to 98 % of the time and the true minDCF 33 to 93 %. So a figure gets a t
interval on a logarithmic scale, and a difference, whose scale is not skewed, gets percentiles further out. Both
carry Student's t for the number of speakers, and n / (n - 1) for the variance that draws of n lack. In the same
sets these held EER 87 to 99 % of the time, minDCF and actual cost 93 to 100 %, Cllr 83 to 96 %, and no difference
between equal systems 92 to 100 % (benchmarks/README.md, "Coverage"). Where most errors are those of a few
speakers, a list of 40 may lack them, and no method made up for that; least so where errors are so few that EER
times speakers is under 1: there EER was held 85 to 100 % of the time, Cllr 53 to 87 %.

No draw shows an error of a kind of which the list has none. Three are then added to the upper bound: had more
been expected of a list of this size, it would have shown one (the rule of three). That is so for errors that come
one by one; those of a hard speaker come together, and a list without any may just lack such a speaker.

Sources: T. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015
(expanded percentile intervals, narrowness); B. Efron and R. Tibshirani, "An Introduction to the Bootstrap",
1993, chapter 12 (t intervals on a transformed scale); J. Hanley and A. Lippman-Hand, "If nothing goes wrong, is
everything all right?", JAMA 249, 1983 (rule of three).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, erf, exp, inf, pi, sin, sqrt, tan

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
    level = (1 + erf(_expanded_t(speakers) / sqrt(2))) / 2
    low, high = np.quantile(drawn, [1 - level, level])
    return Interval(float(low), float(high))


def _expanded_t(speakers: int) -> float:
    """Half the width of an interval in standard deviations of the draws."""
    return t_quantile(speakers - 1) * sqrt(speakers / (speakers - 1))


def t_quantile(freedom: int) -> float:
    """What the absolute value of Student's t stays below with probability `LEVEL`.

    For whole degrees of freedom that probability is a finite series in the angle whose tangent is
    t / sqrt(freedom) (M. Abramowitz and I. Stegun, "Handbook of mathematical functions", 1964, 26.7.3 and 26.7.4).
    It stands here because importing SciPy takes half as long as a whole evaluation.
    """
    odd, k = freedom % 2, 2 * np.arange(1, freedom // 2)
    factors = np.cumprod(np.append(1.0, (k - 1 + odd) / (k + odd)))[: freedom // 2]
    powers = odd + 2 * np.arange(len(factors))

    def probability(angle: float) -> float:
        series = sin(angle) * float(factors @ cos(angle) ** powers)
        return 2 / pi * (angle + series) if odd else series

    low, high = 0.0, pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) < LEVEL else (low, middle)
    return sqrt(freedom) * tan(low)
