"""Simulated test sets whose true figures are known exactly, for `coverage.py` beside this file.

A speaker has a location (all their scores are high or low), a separation (one in ten is a goat, hard to
recognise), pairs of speakers are more or less alike, utterances better or worse. All of it is normal, and so
are the marginal distributions of scores. Every set has new speakers; two systems of the same true figures
score it, whose effects are correlated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from cmd_speaker.evaluation.figures import Figures
from cmd_speaker.evaluation.metrics import OperatingPoint

POINTS = (OperatingPoint(0.01), OperatingPoint(0.05))
FAR = 0.01
ASKED = Figures(POINTS, llr=True, fars=(FAR,))
FIGURES = (
    "EER", "min Cllr", "minDCF(0.01)", "minDCF(0.05)", "miss rate at FAR 1 %",
    "actDCF(0.01)", "actDCF(0.05)", "Cllr",
)  # fmt: skip
LOCATION, SEPARATION, PAIR, UTTERANCE, NOISE = 0.3, 0.4, 0.3, 0.3, 1.0
"""Standard deviations of the effects."""
GOATS, GOAT = 0.1, -1.2
"""Share of goats, and what their target scores lack."""
TARGET_SD = (4 * LOCATION**2 + SEPARATION**2 + 2 * UTTERANCE**2 + NOISE**2) ** 0.5
NONTARGET_SD = (2 * LOCATION**2 + PAIR**2 + 2 * UTTERANCE**2 + NOISE**2) ** 0.5
ALIKE = 0.8
"""Correlation of every effect between the two systems."""


@dataclass(frozen=True)
class Design:
    """A test set: its speakers, their utterances, and the trials of each (None: all pairs of utterances)."""

    name: str
    eer: float
    speakers: int
    utterances: int
    targets: int | None
    nontargets: int | None
    sets: int

    def trials(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Both utterances of every trial, [n] each; utterance u belongs to speaker u // utterances."""
        total = self.speakers * self.utterances
        if self.targets is None or self.nontargets is None:
            return np.triu_indices(total, 1)
        pairs = np.array(np.triu_indices(self.utterances, 1))
        enrol, test = [], []
        for speaker in range(self.speakers):
            own = pairs[:, rng.choice(pairs.shape[1], self.targets, replace=False)]
            others = rng.integers(self.speakers - 1, size=self.nontargets)
            others += others >= speaker
            theirs = others * self.utterances + rng.integers(self.utterances, size=self.nontargets)
            ours = speaker * self.utterances + rng.integers(self.utterances, size=self.nontargets)
            enrol += [speaker * self.utterances + own[0], ours]
            test += [speaker * self.utterances + own[1], theirs]
        return np.concatenate(enrol), np.concatenate(test)


def simulate(
    design: Design, rng: np.random.Generator, enrol: np.ndarray, test: np.ndarray, labels: np.ndarray,
    separation: float,
) -> list[np.ndarray]:  # fmt: skip
    """The LLRs of two systems, [n] each."""
    count, utterances = design.speakers, design.speakers * design.utterances
    goats = GOAT * (rng.random(count) < GOATS)
    pairs = np.unique(
        np.sort([enrol // design.utterances, test // design.utterances], 0), axis=1, return_inverse=True
    )[1]
    sizes = {
        "location": count,
        "separation": count,
        "pair": pairs.max() + 1,
        "utterance": utterances,
        "noise": len(enrol),
    }
    common = {name: rng.standard_normal(size) for name, size in sizes.items()}
    systems = []
    for _ in range(2):
        effect = {
            name: ALIKE**0.5 * values + (1 - ALIKE) ** 0.5 * rng.standard_normal(len(values))
            for name, values in common.items()
        }
        speakers = enrol // design.utterances, test // design.utterances
        scores = LOCATION * (effect["location"][speakers[0]] + effect["location"][speakers[1]])
        scores += (
            UTTERANCE * (effect["utterance"][enrol] + effect["utterance"][test]) + NOISE * effect["noise"]
        )
        own = separation + goats[speakers[0]] + SEPARATION * effect["separation"][speakers[0]]
        scores += np.where(labels, own, PAIR * effect["pair"][pairs])
        systems.append(to_llr(scores, separation))
    return systems


def to_llr(scores: np.ndarray, separation: float) -> np.ndarray:
    """About calibrated: exact for two normal classes of equal variance, somewhat off for these."""
    return separation / NONTARGET_SD**2 * (scores - separation / 2)


def rates(threshold: np.ndarray | float, separation: float) -> tuple[np.ndarray, np.ndarray]:
    """True FRR and FAR at thresholds of the scores."""
    plain, goat = (norm.cdf((threshold - separation - shift) / TARGET_SD) for shift in (0, GOAT))
    return (1 - GOATS) * plain + GOATS * goat, norm.sf(threshold / NONTARGET_SD)


def true_eer(separation: float) -> float:
    crossing = brentq(lambda threshold: np.subtract(*rates(threshold, separation)), -10, 20)
    return float(rates(crossing, separation)[1])


def separation_for(eer: float) -> float:
    return float(brentq(lambda separation: true_eer(separation) - eer, 0.1, 15))


def true_figures(separation: float) -> list[float]:
    """The figures of an endless test set, in the order of `FIGURES`."""
    grid = np.linspace(-5, 15, 200001)
    bayes = [point.threshold * NONTARGET_SD**2 / separation + separation / 2 for point in POINTS]
    minimum = [float(point.cost(*rates(grid, separation)).min()) for point in POINTS]
    actual = [
        float(point.cost(*rates(threshold, separation)))
        for point, threshold in zip(POINTS, bayes, strict=True)
    ]

    def densities(score: float) -> tuple[float, float]:
        plain, goat = (norm.pdf(score, separation + shift, TARGET_SD) for shift in (0, GOAT))
        return (1 - GOATS) * plain + GOATS * goat, norm.pdf(score, 0, NONTARGET_SD)

    def bits_of(llr_of: Callable[[float], float]) -> float:
        def bits(score: float) -> float:
            target, nontarget = densities(score)
            llr = llr_of(score)
            return float((target * np.logaddexp(0, -llr) + nontarget * np.logaddexp(0, llr)) / 2 / np.log(2))

        return float(quad(bits, -15, 25, limit=200)[0])

    def best(score: float) -> float:
        target, nontarget = densities(score)
        return float(np.log(target / nontarget))

    def given(score: float) -> float:
        return float(to_llr(np.array(score), separation))

    miss = float(rates(NONTARGET_SD * norm.isf(FAR), separation)[0])
    return [true_eer(separation), bits_of(best), *minimum, miss, *actual, bits_of(given)]
