"""Error rates of a verification system: DET curve, equal error rate and minimum detection cost.

A trial is accepted where its score >= threshold. FAR (false acceptance rate) is the share of nontargets
accepted, FRR (false rejection rate, miss rate) the share of targets rejected. Trials with the same score are
accepted together, so the curve has one point for each different score and one more that accepts none.

Sources: A. Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997;
NIST speaker recognition evaluation plans (detection cost and its normalisation).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import inf, log, log1p

import numpy as np

from cmd_speaker.errors import DataError, UsageError


@dataclass(frozen=True)
class OperatingPoint:
    """What a decision is made for: the prior probability of a target, and what both kinds of error cost.

    Raises `UsageError` for a prior outside (0, 1) or a cost that is not positive and finite.
    """

    p_target: float
    c_miss: float = 1.0
    c_fa: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.p_target < 1 or not 0 < self.c_miss < inf or not 0 < self.c_fa < inf:
            raise UsageError(
                f"an operating point has a prior between 0 and 1 and positive costs, "
                f"not p_target {self.p_target}, c_miss {self.c_miss}, c_fa {self.c_fa}"
            )

    @property
    def threshold(self) -> float:
        """The Bayes threshold of a natural-log likelihood ratio: accepting costs least from here on."""
        return log(self.c_fa / self.c_miss) + log1p(-self.p_target) - log(self.p_target)

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


class SortedScores:
    """The scores [n] and labels [n] of all trials after one sort, from which every figure here is computed.

    `thresholds` are the m different scores, ascending; `targets_below` and `nontargets_below`, [m + 1],
    count the trials whose score is less, with all of them at the end. `target_order` and
    `nontarget_order` are the positions of the trials of each class, by ascending score. `min_dcf_points`
    are the points of the curve where minDCF can lie.

    Raises `DataError` where a score is NaN or a class has no trial.
    """

    def __init__(self, scores: np.ndarray, labels: np.ndarray) -> None:
        scores, labels = np.asarray(scores), np.asarray(labels, dtype=bool)
        _check(scores, labels)
        order = np.argsort(scores)
        ordered, is_target = scores[order], labels[order]
        first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        bounds = np.append(first, len(ordered))
        self.labels = labels
        self.thresholds = ordered[first].astype(np.float64)
        self.target_order, self.nontarget_order = order[is_target], order[~is_target]
        self.targets_below = np.concatenate([[0], np.cumsum(is_target)])[bounds]
        self.nontargets_below = bounds - self.targets_below
        # Raising the threshold past nontargets only cannot cost anything: the detection cost is least at
        # the score of a target, or where none is accepted.
        self.min_dcf_points = np.append(np.flatnonzero(np.diff(self.targets_below)), len(first))

    def curve(self, weights: np.ndarray | None = None) -> Curve:
        """The DET curve, every trial counted `weights` [n] times (once by default)."""
        if weights is None:
            counts = (len(self.target_order), len(self.nontarget_order))
            return Curve(self, np.arange(counts[0] + 1), np.arange(counts[1] + 1))
        weights = np.asarray(weights, dtype=np.float64)
        bad = np.count_nonzero(~((weights >= 0) & np.isfinite(weights)))
        if weights.shape != self.labels.shape or bad:
            raise DataError(
                "wrong weights",
                expected=f"{len(self.labels)} finite numbers that are not negative",
                found=f"{weights.size}, {bad} of them negative, infinite or NaN",
            )
        sides = (weights[self.target_order], weights[self.nontarget_order])
        target_mass, nontarget_mass = (np.concatenate([[0], np.cumsum(side)]) for side in sides)
        if not target_mass[-1] > 0 or not nontarget_mass[-1] > 0:
            raise _needs_both(f"weight {target_mass[-1]:g} of targets, {nontarget_mass[-1]:g} of nontargets")
        return Curve(self, target_mass, nontarget_mass)


@dataclass(frozen=True, eq=False)
class Curve:
    """One weighting of sorted scores: `target_mass[k]`, [T + 1], is what the k lowest of T targets weigh.

    `nontarget_mass`, [N + 1], likewise. Point k of the curve accepts the scores of `thresholds[k]` and
    more; the last point accepts nothing.
    """

    ordered: SortedScores
    target_mass: np.ndarray
    nontarget_mass: np.ndarray

    def far(self, points: np.ndarray | int | slice = slice(None)) -> np.ndarray:
        """False acceptance rates at the points of the curve, falling from 1 to 0."""
        rejected = self.nontarget_mass[self.ordered.nontargets_below[points]]
        return (self.nontarget_mass[-1] - rejected) / self.nontarget_mass[-1]

    def frr(self, points: np.ndarray | int | slice = slice(None)) -> np.ndarray:
        """False rejection rates at the points of the curve, rising from 0 to 1."""
        return self.target_mass[self.ordered.targets_below[points]] / self.target_mass[-1]

    def eer(self) -> tuple[float, float]:
        """Equal error rate in [0, 1] and its threshold.

        FAR - FRR falls along the curve; where it changes sign between two neighbouring points, both rates
        and the threshold are interpolated linearly. The point that accepts none has no finite
        threshold: where it is one of the two, the threshold is the highest score.
        """
        last = len(self.ordered.thresholds)
        k = bisect_left(range(last + 1), True, key=lambda point: bool(self.far(point) <= self.frr(point)))
        # At point 0 FAR is 1 and FRR 0, so the sign changes after it.
        far, frr = self.far(np.array([k - 1, k])), self.frr(np.array([k - 1, k]))
        step = (far[0] - frr[0]) / ((far[0] - frr[0]) - (far[1] - frr[1]))
        low, high = self.ordered.thresholds[k - 1], self.ordered.thresholds[min(k, last - 1)]
        threshold = low + step * (high - low) if np.isfinite(high - low) else high
        return float(far[0] + step * (far[1] - far[0])), float(threshold)

    def min_dcf(self, point: OperatingPoint = POINTS[0]) -> float:
        """Minimum over all thresholds of the detection cost, normalised; 1 for a system of no use.

        cost = c_miss * p_target * FRR + c_fa * (1 - p_target) * FAR, divided by what the better of
        accepting all and rejecting all costs, min(c_miss * p_target, c_fa * (1 - p_target)).
        """
        points = self.ordered.min_dcf_points
        miss, false_alarm = point.c_miss * point.p_target, point.c_fa * (1 - point.p_target)
        return float(
            (miss * self.frr(points) + false_alarm * self.far(points)).min() / min(miss, false_alarm)
        )


def det_curve(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, FAR and FRR, float64 [m + 1], at the m different scores (ascending) and at infinity.

    Raises `DataError` where a score is NaN or a class has no trial, or no weight.
    """
    ordered = SortedScores(scores, labels)
    curve = ordered.curve(weights)
    return np.append(ordered.thresholds, np.inf), curve.far(), curve.frr()


def eer(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """Equal error rate in [0, 1] and its threshold; see `Curve.eer`. Raises as `det_curve`."""
    return SortedScores(scores, labels).curve(weights).eer()


def min_dcf(
    scores: np.ndarray,
    labels: np.ndarray,
    p_target: float = 0.01,
    c_miss: float = 1.0,
    c_fa: float = 1.0,
    weights: np.ndarray | None = None,
) -> float:
    """Normalised minimum detection cost; see `Curve.min_dcf`. Raises as `det_curve` and `OperatingPoint`."""
    return SortedScores(scores, labels).curve(weights).min_dcf(OperatingPoint(p_target, c_miss, c_fa))


def _check(scores: np.ndarray, labels: np.ndarray) -> None:
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise DataError(
            "scores and labels differ in number",
            expected=f"labels {list(scores.shape)}",
            found=list(labels.shape),
        )
    bad = np.flatnonzero(np.isnan(scores))
    if len(bad):
        raise DataError(
            f"score {bad[0] + 1} is NaN",
            expected="numbers",
            found=f"{len(bad)} NaN of {len(scores)} scores",
            fix="Check the embeddings that the scores come from",
        )
    targets = int(np.count_nonzero(labels))
    if targets in (0, len(labels)):
        raise _needs_both(f"{targets} targets, {len(labels) - targets} nontargets")


def _needs_both(found: str) -> DataError:
    return DataError(
        "error rates need trials of both classes",
        expected="at least one target and one nontarget",
        found=found,
        fix="Use a trial list with both",
    )
