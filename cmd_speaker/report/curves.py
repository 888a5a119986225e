"""The numbers that the report's figures draw, and that its JSON holds."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log

import numpy as np

from cmd_speaker.evaluation.metrics import SortedScores

HISTOGRAM_BINS = 40
RELIABILITY_BINS = 12
DEVIATE_STEPS = 100
"""Cells of a DET curve in one normal deviate, about one to a pixel."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of targets and nontargets, [bins] each, between `edges` [bins + 1]."""

    edges: np.ndarray
    targets: np.ndarray
    nontargets: np.ndarray


def histogram(ordered: SortedScores, bins: int = HISTOGRAM_BINS) -> Histogram:
    """Bins of the same width from the lowest to the highest score."""
    sides = ordered.targets, ordered.nontargets
    low, high = min(side[0] for side in sides), max(side[-1] for side in sides)
    if not low < high:
        low, high = low - 0.5, high + 0.5
    # Halves: the range of huge scores would be infinite.
    edges = 2 * np.linspace(low / 2, high / 2, bins + 1)
    edges[[0, -1]] = low, high
    return Histogram(edges, *(np.histogram(side, edges)[0] for side in sides))


@dataclass(frozen=True)
class ReliabilityBin:
    """Trials with neighbouring LLRs: what these promise (`llr`) and what came true (`observed`), natural logs.

    `observed` is infinite where the bin lacks one of the classes.
    """

    low: float
    high: float
    targets: int
    nontargets: int
    llr: float
    observed: float


def reliability(ordered: SortedScores, bins: int = RELIABILITY_BINS) -> list[ReliabilityBin]:
    """Log-likelihood ratios against what was observed; a calibrated system has `llr` = `observed` in every bin.

    Both classes get the same total weight, as if targets had prior 1/2, which makes log-likelihood ratios log
    odds; every bin holds the same weight, unless ties forbid. What a bin's LLRs promise is their mean
    probability of a target, sigmoid(llr), as log odds again. (M. DeGroot and S. Fienberg, "The comparison
    and evaluation of forecasters", The Statistician 32, 1983.)
    """
    sizes = len(ordered.targets), len(ordered.nontargets)
    llr = np.concatenate([ordered.targets, ordered.nontargets])
    order = np.argsort(llr, kind="stable")
    llr, labels = llr[order], order < sizes[0]
    weight = np.where(labels, 0.5 / sizes[0], 0.5 / sizes[1])
    # Equal scores stay together: a bin may begin only where the score rises.
    starts = np.flatnonzero(np.append(True, llr[1:] != llr[:-1]))
    before = np.append(0, np.cumsum(weight))[starts]
    wanted = np.arange(1, bins) / bins
    first = np.unique(np.append(0, starts[np.minimum(np.searchsorted(before, wanted), len(starts) - 1)]))
    found = []
    for start, stop in zip(first, [*first[1:], len(llr)], strict=True):
        part, is_target, mass = llr[start:stop], labels[start:stop], weight[start:stop]
        hits, misses = mass[is_target].sum(), mass[~is_target].sum()
        # Exact far from 0 too, where 1 - sigmoid(x) would be 0: the odds of two sums.
        with np.errstate(over="ignore"):
            odds = (mass / (1 + np.exp(-part))).sum(), (mass / (1 + np.exp(part))).sum()
        observed = log(hits / misses) if hits and misses else inf if hits else -inf
        targets = int(is_target.sum())
        found.append(
            ReliabilityBin(
                float(part[0]), float(part[-1]), targets, len(part) - targets, _log_ratio(*odds), observed
            )
        )
    return found


def _log_ratio(a: float, b: float) -> float:
    return log(a / b) if a and b else inf if a else -inf


def det_points(ordered: SortedScores) -> tuple[np.ndarray, np.ndarray]:
    """FAR and miss rate at those points of the DET curve that a drawing needs, by rising threshold.

    A curve falls along one axis and rises along the other, so of its points those suffice where it enters another
    cell of a fine grid of normal deviates; there are at most some thousand of them, however many the trials.
    """
    curve, thresholds = ordered.curve(), np.append(ordered.thresholds(), inf)
    rates = np.stack([curve.far(thresholds), curve.frr(thresholds)])
    changes = (np.diff(np.rint(normal_deviates(rates) * DEVIATE_STEPS)) != 0).any(axis=0)
    kept = np.append(True, changes) | np.append(changes, True)
    return rates[0][kept], rates[1][kept]


def normal_deviates(rates: np.ndarray) -> np.ndarray:
    """The normal deviates below which the rates lie; those of 0 and 1 are put at -10 and 10."""
    from scipy.special import ndtri

    return np.clip(ndtri(rates), -10, 10)
