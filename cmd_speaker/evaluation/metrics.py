"""Error rates of a verification system: DET curve, equal error rate and detection costs.

A trial is accepted where its score >= threshold. FAR (false acceptance rate) is the share of nontargets
accepted, FRR (false rejection rate, miss rate) the share of targets rejected. Trials with the same score are
accepted together, so the curve has one point for each different score and one more that accepts none.

Everything is read off the sorted scores of each class; nothing else is kept of a list without weights, so
that 100 million trials need little more than their scores.

Sources: A. Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997;
NIST speaker recognition evaluation plans (detection cost and its normalisation).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite
from typing import Any

import numpy as np

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.operating_point import POINTS, OperatingPoint
from cmd_speaker.lists.scores import Scores

BLOCK = 1 << 20
"""Points of a curve that are looked at together."""


class SortedScores:
    """The scores of all trials, sorted once, from which every figure here is computed.

    `targets` [T] and `nontargets` [N] are the scores of each class, ascending, float64. Raises `DataError` where a
    score is NaN or a class has no trial.
    """

    def __init__(self, scores: np.ndarray, labels: np.ndarray) -> None:
        """From the scores [n] and labels [n] of all trials, in any order."""
        scores, labels = np.asarray(scores), np.asarray(labels, dtype=bool)
        if scores.ndim != 1 or scores.shape != labels.shape:
            raise DataError(
                "scores and labels differ in number",
                expected=f"labels {list(scores.shape)}",
                found=list(labels.shape),
            )
        _refuse_nan(scores)
        self._trials: tuple[np.ndarray, np.ndarray] | None = scores, labels
        self.targets, self.nontargets = _ascending(scores[labels], scores[~labels])

    @classmethod
    def from_blocks(cls, blocks: Iterable[Scores]) -> SortedScores:
        """From labelled scores of any number, of which only the numbers are kept: eight bytes a trial.

        Such scores cannot be weighted, as their order is lost. Raises `DataError` also without labels.
        """
        sides = array("d"), array("d")  # they grow in place, where NumPy would copy
        for block in blocks:
            labels = block.known_labels()
            _refuse_nan(block.scores)
            for side, chosen in zip(sides, (labels, ~labels), strict=True):
                side.frombytes(block.scores[chosen].astype(np.float64, copy=False).tobytes())
        self = cls.__new__(cls)
        self._trials = None
        self.targets, self.nontargets = _ascending(*(np.frombuffer(side) for side in sides))
        return self

    @cached_property
    def orders(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the trials of `targets` and of `nontargets` were before sorting, [T] and [N]."""
        if self._trials is None:
            raise UsageError(
                "scores read in blocks keep no order, so they have neither weights nor intervals"
            )
        scores, labels = self._trials
        places = np.flatnonzero(labels), np.flatnonzero(~labels)
        return places[0][np.argsort(scores[places[0]])], places[1][np.argsort(scores[places[1]])]

    def thresholds(self) -> np.ndarray:
        """The different scores, ascending, float64 [m]: with infinity, all points of the curve."""
        return np.unique(np.concatenate([self.targets, self.nontargets]))

    def below(self, threshold: float) -> tuple[int, int]:
        """How many targets and nontargets score less."""
        return int(self.targets.searchsorted(threshold)), int(self.nontargets.searchsorted(threshold))

    def cost_points(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The points of the curve where a detection cost can be least, a block at a time.

        Each is given by how many targets and nontargets it rejects. Raising the threshold past nontargets only
        cannot cost anything: the points are the different scores of targets, and the one that accepts none.
        """
        for start in range(0, len(self.targets), BLOCK):
            part = self.targets[start : start + BLOCK]
            # Where a block begins within a tie, a point is added that costs more than that of the tie.
            first = np.flatnonzero(np.append(True, part[1:] != part[:-1]))
            yield first + start, self.nontargets.searchsorted(part[first])
        yield np.array([len(self.targets)]), np.array([len(self.nontargets)])

    @cached_property
    def all_cost_points(self) -> tuple[np.ndarray, np.ndarray]:
        """`cost_points` in one piece, for curves of many weightings."""
        targets, nontargets = zip(*self.cost_points(), strict=True)
        return np.concatenate(targets), np.concatenate(nontargets)

    def curve(self, weights: np.ndarray | None = None) -> Curve:
        """The DET curve, every trial counted `weights` [n] times (once by default)."""
        if weights is None:
            return Curve(self)
        weights = np.asarray(weights, dtype=np.float64)
        total = len(self.targets) + len(self.nontargets)
        bad = np.count_nonzero(~((weights >= 0) & np.isfinite(weights)))
        if weights.shape != (total,) or bad:
            raise DataError(
                "wrong weights",
                expected=f"{total} finite numbers that are not negative",
                found=f"{weights.size}, {bad} of them negative, infinite or NaN",
            )
        masses = [np.append(0.0, np.cumsum(weights[order])) for order in self.orders]
        if not masses[0][-1] > 0 or not masses[1][-1] > 0:
            raise _needs_both(f"weight {masses[0][-1]:g} of targets, {masses[1][-1]:g} of nontargets")
        return Curve(self, *masses)


@dataclass(frozen=True, eq=False)
class Curve:
    """One weighting of sorted scores: `target_mass[k]`, [T + 1], is what the k lowest of T targets weigh.

    `nontarget_mass`, [N + 1], likewise; without them every trial counts once.
    """

    ordered: SortedScores
    target_mass: np.ndarray | None = None
    nontarget_mass: np.ndarray | None = None

    def far(self, thresholds: np.ndarray) -> np.ndarray:
        """False acceptance rates at any thresholds."""
        return self._far(self.ordered.nontargets.searchsorted(thresholds))

    def frr(self, thresholds: np.ndarray) -> np.ndarray:
        """False rejection rates at any thresholds."""
        return self._frr(self.ordered.targets.searchsorted(thresholds))

    def eer(self) -> tuple[float, float]:
        """Equal error rate in [0, 1] and its threshold.

        FAR - FRR falls along the curve; where it changes sign between two neighbouring points, both rates
        and the threshold are interpolated linearly. The point that accepts none has no finite
        threshold: where it is one of the two, the threshold is the highest score.
        """
        sides = self.ordered.targets, self.ordered.nontargets
        crossed = [side[bisect_left(side, True, key=self._has_crossed) :] for side in sides]
        high = min((float(side[0]) for side in crossed if len(side)), default=None)
        # How many are rejected at the first point past the crossing, and at the one before it. At the lowest
        # score FAR is 1 and FRR 0, so there is one.
        after = (len(sides[0]), len(sides[1])) if high is None else self.ordered.below(high)
        low = max(float(side[count - 1]) for side, count in zip(sides, after, strict=True) if count)
        before = self.ordered.below(low)
        far, frr = self._far(before[1]), self._frr(before[0])
        far_change, frr_change = self._far(after[1]) - far, self._frr(after[0]) - frr
        step = (far - frr) / (frr_change - far_change)
        threshold = low if high is None else high
        if isfinite(threshold - low):
            threshold = low + step * (threshold - low)
        return float(far + step * far_change), float(threshold)

    def min_dcf(self, point: OperatingPoint = POINTS[0]) -> float:
        """Minimum over all thresholds of the detection cost, normalised; 1 for a system of no use.

        cost = c_miss * p_target * FRR + c_fa * (1 - p_target) * FAR, divided by what the better of
        accepting all and rejecting all costs, min(c_miss * p_target, c_fa * (1 - p_target)).
        """
        return self.min_dcfs([point])[0]

    def min_dcfs(self, points: Sequence[OperatingPoint]) -> list[float]:
        """`min_dcf` at several operating points in one pass."""
        if not points:
            return []
        ordered, once = self.ordered, self.target_mass is None
        best = [inf] * len(points)
        for targets, nontargets in ordered.cost_points() if once else [ordered.all_cost_points]:
            frr, far = self._frr(targets), self._far(nontargets)
            best = [min(low, point.cost(frr, far).min()) for low, point in zip(best, points, strict=True)]
        return [float(cost) for cost in best]

    def act_dcf(self, point: OperatingPoint = POINTS[0]) -> float:
        """The normalised detection cost of decisions at the Bayes threshold of log-likelihood ratios."""
        targets, nontargets = self.ordered.below(point.threshold)
        return float(point.cost(self._frr(targets), self._far(nontargets)))

    def miss_rate(self, far: float) -> float:
        """FRR at the lowest threshold whose false acceptance rate is at most `far`; nothing is interpolated.

        Nontargets with the same score are rejected together, and with them the targets of that score. With
        fewer than 1 / `far` nontargets none may be accepted: every target is missed that does not score
        higher than all of them. Raises `UsageError` for a rate outside (0, 1).
        """
        if not 0 < far < 1:
            raise UsageError(f"a false acceptance rate lies between 0 and 1, not at {far}")
        nontargets = self.ordered.nontargets
        rejected = bisect_left(range(len(nontargets) + 1), True, key=lambda k: bool(self._far(k) <= far))
        missed = self.ordered.targets.searchsorted(nontargets[rejected - 1], "right")
        return float(self._frr(missed))

    def _far(self, rejected: Any) -> Any:
        """FAR where so many nontargets (a number or an array) are rejected."""
        if self.nontarget_mass is None:
            total = len(self.ordered.nontargets)
            return (total - rejected) / total
        return (self.nontarget_mass[-1] - self.nontarget_mass[rejected]) / self.nontarget_mass[-1]

    def _frr(self, rejected: Any) -> Any:
        if self.target_mass is None:
            return rejected / len(self.ordered.targets)
        return self.target_mass[rejected] / self.target_mass[-1]

    def _has_crossed(self, threshold: float) -> bool:
        targets, nontargets = self.ordered.below(threshold)
        return bool(self._far(nontargets) <= self._frr(targets))


def det_curve(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, FAR and FRR, float64 [m + 1], at the m different scores (ascending) and at infinity.

    Raises `DataError` where a score is NaN or a class has no trial, or no weight.
    """
    ordered = SortedScores(scores, labels)
    curve, thresholds = ordered.curve(weights), ordered.thresholds()
    # The point that accepts none is past an infinite score, too.
    return (
        np.append(thresholds, inf),
        np.append(curve.far(thresholds), 0),
        np.append(curve.frr(thresholds), 1),
    )


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


def _refuse_nan(scores: np.ndarray) -> None:
    bad = np.flatnonzero(np.isnan(scores))
    if len(bad):
        raise DataError(
            f"score {bad[0] + 1} is NaN",
            expected="numbers",
            found=f"{len(bad)} NaN of {len(scores)} scores",
            fix="Check the embeddings that the scores come from",
        )


def _ascending(targets: np.ndarray, nontargets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both classes, sorted in place where they are float64; raises `DataError` for a class without a trial."""
    if not len(targets) or not len(nontargets):
        raise _needs_both(f"{len(targets)} targets, {len(nontargets)} nontargets")
    # A threshold of double precision sought among float32 would have NumPy copy all of them every time.
    targets, nontargets = targets.astype(np.float64, copy=False), nontargets.astype(np.float64, copy=False)
    targets.sort()
    nontargets.sort()
    return targets, nontargets


def _needs_both(found: str) -> DataError:
    return DataError(
        "error rates need trials of both classes",
        expected="at least one target and one nontarget",
        found=found,
        fix="Use a trial list with both",
    )
