"""How good log-likelihood ratios are, in bits: Cllr, and what is left of it after the best calibration.

An LLR is the natural logarithm of how much more likely a score is for a target than for a nontarget. Cllr is
the mean cost of the decisions that follow from it, over all operating points: 0 for a perfect system, 1 for one
that knows nothing and says so (LLR 0), more for one that is wrong and sure of it. Classes weigh the same,
whatever their sizes. Minimum Cllr is that of the best LLRs that an order-preserving function can make of the
scores, on these very trials; Cllr minus it is the loss by calibration.

Sources: N. Brümmer and J. du Preez, "Application-independent evaluation of speaker detection", Computer Speech and
Language 20, 2006 (Cllr, and its minimum by the pool-adjacent-violators algorithm); T. Fawcett and
A. Niculescu-Mizil, "PAV and the ROC convex hull", Machine Learning 68, 2007 (pools are the edges of that hull).
"""

from __future__ import annotations

from math import log

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.metrics import BLOCK, Curve, SortedScores

Bits = tuple[np.ndarray, np.ndarray]


def cllr(llr: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Cllr in bits of natural-log likelihood ratios [n] with labels [n].

    Raises `DataError` where an LLR is infinite or NaN or a class has no trial, or no weight.
    """
    return curve_cllr(SortedScores(llr, labels).curve(weights))


def min_cllr(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Minimum Cllr in bits of any scores [n]. Raises as `cmd_speaker.evaluation.metrics.eer` does."""
    return curve_min_cllr(SortedScores(scores, labels).curve(weights))


def curve_cllr(curve: Curve, bits: Bits | None = None) -> float:
    """Cllr in bits, where the scores of the curve are LLRs; raises `DataError` for infinite ones.

    `bits`, those of `trial_bits`, spare many weightings of the same scores the work.
    """
    if curve.target_mass is None or curve.nontarget_mass is None:
        return (_mean_bits(-1, curve.ordered.targets) + _mean_bits(1, curve.ordered.nontargets)) / 2
    target_bits, nontarget_bits = bits or trial_bits(curve.ordered)
    misses = np.diff(curve.target_mass) @ target_bits / curve.target_mass[-1]
    false_alarms = np.diff(curve.nontarget_mass) @ nontarget_bits / curve.nontarget_mass[-1]
    return float(misses + false_alarms) / 2


def trial_bits(llr: SortedScores) -> Bits:
    """What the LLR of every trial costs, in bits, in the order of `targets` [T] and `nontargets` [N]."""
    return _bits(-1, llr.targets), _bits(1, llr.nontargets)


def curve_min_cllr(curve: Curve) -> float:
    """Minimum Cllr in bits; see `min_cllr`.

    Between two neighbouring cost points of the curve lie the targets of one score and the nontargets up to the
    next. Runs of them are pooled until targets grow more frequent from pool to pool, so that an order-preserving
    function can give each its own LLR.
    """
    target_mass, nontarget_mass = np.zeros(1), np.zeros(1)
    pools = []
    for targets, nontargets in curve.ordered.cost_points():
        target_mass = np.append(target_mass[-1], _mass(curve.target_mass, targets))
        nontarget_mass = np.append(nontarget_mass[-1], _mass(curve.nontarget_mass, nontargets))
        pools.append(_pooled(np.diff(target_mass), np.diff(nontarget_mass)))
    target, nontarget = _pooled(*(np.concatenate(side) for side in zip(*pools, strict=True)))
    target, nontarget = target / target.sum(), nontarget / nontarget.sum()
    both = target + nontarget
    # The LLR of a pool is log(target / nontarget). A side without weight costs nothing: 0 log(both / 0) = 0.
    bits = [side[side > 0] @ np.log2(both[side > 0] / side[side > 0]) for side in (target, nontarget)]
    return float(sum(bits) / 2)


def _pooled(targets: np.ndarray, nontargets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours are pooled until the share of targets rises from pool to pool (pool adjacent violators).

    All runs of violators are pooled at once, as the order of pooling is of no account: a few dozen passes.
    """
    some = targets + nontargets > 0
    targets, nontargets = targets[some], nontargets[some]
    while len(targets):
        share = targets / (targets + nontargets)
        starts = np.flatnonzero(np.append(True, share[1:] > share[:-1]))
        if len(starts) == len(share):
            break
        targets, nontargets = np.add.reduceat(targets, starts), np.add.reduceat(nontargets, starts)
    return targets, nontargets


def _mass(mass: np.ndarray | None, counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts if mass is None else mass[counts], dtype=np.float64)


def _mean_bits(sign: int, llr: np.ndarray) -> float:
    parts = (_bits(sign, llr[start : start + BLOCK]).sum() for start in range(0, len(llr), BLOCK))
    return float(sum(parts)) / len(llr)


def _bits(sign: int, llr: np.ndarray) -> np.ndarray:
    """log2(1 + exp(sign * llr)), for LLRs of any size; raises `DataError` for an infinite one."""
    if not (np.isfinite(llr[0]) and np.isfinite(llr[-1])):  # ascending
        raise DataError(
            "a log-likelihood ratio is infinite",
            expected="finite numbers",
            found=f"from {llr[0]} to {llr[-1]}",
            fix="Calibrate with a prior that leaves none certain",
        )
    return np.logaddexp(0, sign * llr) / log(2)
