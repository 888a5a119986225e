"""Prior-weighted logistic regression: from the features of a trial to its log-likelihood ratio.

The objective is the cross-entropy of the decision between target and nontarget, each class weighted as a
whole by the prior, however many trials of it the list has. It is convex, and what it finds is a
log-likelihood ratio (natural logarithm) that holds for any prior; the prior only says where the fit shall
be best.

Sources: S. Pigeon, P. Druyts and P. Verlinde, "Applying logistic regression to the fusion of the NIST'99
1-speaker submissions", Digital Signal Processing 10, 2000; N. Brümmer et al., "Fusion of heterogeneous
speaker recognition systems in the STBU submission for the NIST speaker recognition evaluation 2006", IEEE
Transactions on Audio, Speech and Language Processing 15, 2007 (FoCal).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmd_speaker.errors import DataError

GRADIENT = 1e-9
"""Where the search ends: the objective's largest slope, features having variance 1."""
STEPS = 20
"""Newton's steps after that; from there each about doubles the number of right digits."""
STEP = 1e-9
"""The longest last step at an optimum that is finite."""
FLAT = 1e-13
"""The least curvature of an optimum, as a share of the largest: beyond it lie rounding errors."""
DEPENDENT = 1e-10
"""The smallest eigenvalue of the features' correlation matrix, below which one follows from the others."""


@dataclass(frozen=True, eq=False)
class LogisticFit:
    """LLR = features @ weights + offset; for classes that are `separable` see `fit_logistic`."""

    weights: np.ndarray
    offset: float
    separable: bool


def fit_logistic(features: np.ndarray, labels: np.ndarray, prior: float, names: Sequence[str]) -> LogisticFit:
    """Fit to the features, float64 [n, d], of trials that are targets where `labels`, bool [n].

    Features that separate the classes perfectly would give infinite weights. Then one nontarget is thought
    to lie among the targets and one target among the nontargets (Laplace's rule of succession), so that
    the LLR of a typical target is about log(nontargets + 1), and of a typical nontarget about
    -log(targets + 1): no list shows more than that.

    Raises `DataError` where a class has fewer trials than there are weights, where a feature (called
    by its place in `names`) is not finite or is the same everywhere, and where one follows from the others.
    """
    targets = int(np.count_nonzero(labels))
    counts = (targets, len(labels) - targets)
    _check(features, counts, names)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    design = np.column_stack([(features - mean) / scale, np.ones(len(features))])
    _check_independent(design[:, :-1], names)
    masses = _masses(labels, counts, prior)
    solution, separable = _minimise(design, *masses, prior)
    if separable:
        solution, _ = _minimise(design, *_with_laplace(*masses, labels, counts), prior)
    weights = solution[:-1] / scale
    return LogisticFit(weights, float(solution[-1] - weights @ mean), separable)


def _masses(labels: np.ndarray, counts: tuple[int, int], prior: float) -> tuple[np.ndarray, np.ndarray]:
    """What each trial weighs as a target and as a nontarget: two float64 [n] with sums prior, 1 - prior."""
    return np.where(labels, prior / counts[0], 0.0), np.where(labels, 0.0, (1 - prior) / counts[1])


def _with_laplace(
    target_mass: np.ndarray, nontarget_mass: np.ndarray, labels: np.ndarray, counts: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The masses with one trial more of each class, spread evenly over the trials of the other class."""
    targets, nontargets = counts
    one_target = target_mass.sum() / (targets + 1)
    one_nontarget = nontarget_mass.sum() / (nontargets + 1)
    return (
        np.where(labels, one_target, one_target / nontargets),
        np.where(labels, one_nontarget / targets, one_nontarget),
    )


def _minimise(
    design: np.ndarray, target_mass: np.ndarray, nontarget_mass: np.ndarray, prior: float
) -> tuple[np.ndarray, bool]:
    """The weights [d + 1] of least cross-entropy, and whether the optimum lies at infinity.

    Where it does, the objective falls like exp(-t) along some direction: slope and curvature vanish
    together, and Newton's step keeps its length. At a finite optimum it vanishes.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    log_odds, mass = np.log(prior / (1 - prior)), target_mass + nontarget_mass

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        posterior_log_odds = design @ weights + log_odds
        losses = target_mass @ np.logaddexp(0, -posterior_log_odds)
        losses += nontarget_mass @ np.logaddexp(0, posterior_log_odds)
        return float(losses), (mass * expit(posterior_log_odds) - target_mass) @ design

    def hessian(weights: np.ndarray) -> np.ndarray:
        posterior = expit(design @ weights + log_odds)
        return (design.T * (mass * posterior * (1 - posterior))) @ design

    start = np.zeros(design.shape[1])
    found = minimize(
        objective, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": GRADIENT}
    )
    weights = found.x
    for _ in range(STEPS):
        values, vectors = np.linalg.eigh(hessian(weights))
        if values[0] < FLAT * values[-1]:
            break
        step = vectors @ (objective(weights)[1] @ vectors / values)
        weights = weights - step
        if np.abs(step).max() <= STEP:
            return weights, False
    return weights, True


def _check(features: np.ndarray, counts: tuple[int, int], names: Sequence[str]) -> None:
    needed = len(names) + 1
    if min(counts) < needed:
        raise DataError(
            "too few trials for a calibration",
            expected=f"at least {needed} targets and {needed} nontargets for {needed} weights",
            found=f"{counts[0]} targets, {counts[1]} nontargets",
            fix="Use a longer list of both classes",
        )
    for name, column in zip(names, features.T, strict=True):
        bad = np.flatnonzero(~np.isfinite(column))
        if len(bad):
            raise DataError(
                f"the {name} of trial {bad[0] + 1} is not finite",
                expected="finite numbers",
                found=f"{len(bad)} of {len(column)} that are NaN or infinite",
                fix="Check what it was computed from",
            )
        if column.min() == column.max():
            raise DataError(
                f"the {name} is the same in all trials",
                expected="different values",
                found=f"{column[0]:g} everywhere",
                fix="Nothing can be learned from it: leave it out, or use another list",
            )


def _check_independent(standardised: np.ndarray, names: Sequence[str]) -> None:
    correlation = standardised.T @ standardised / len(standardised)
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < DEPENDENT:
        involved = [name for name, part in zip(names, vectors[:, 0], strict=True) if abs(part) > 1e-3]
        raise DataError(
            f"{', '.join(involved)} follow from each other",
            expected="columns that say different things",
            found="one that is a sum of multiples of the others",
            fix="Leave one of them out",
        )
