"""How far an error rate would move with other speakers: intervals, bootstrapped over speakers.

Speakers are drawn, not trials. A list of 45,000 trials among 96 speakers does not hold 45,000 independent
observations: all trials of one speaker share that voice, and one hard voice raises the score of hundreds of
them at once. Drawing trials would treat them as independent and tell how the result moves with new
recordings of the same people; its intervals are too narrow for new people, the more so the more trials
each speaker has: in simulated test sets, 95 % intervals from draws of trials held the true EER 25 to 91 % of
the time (benchmarks/README.md, "Coverage"). So S speakers are drawn with replacement from the S that occur in the
trials; one drawn n_a times stands for n_a people of that voice, so that a target trial of speaker a counts n_a
times, and a nontarget trial of a and b counts n_a * n_b times. Where few trials share a pair of speakers such
products vary more than new speakers would, and the interval errs on the wide side.

Two systems are compared on the same trials and the same draws: what makes a set of speakers hard makes it
hard for both, and falls out of the difference.

Sources: R. Bolle, N. Ratha and S. Pankanti, "Error analysis of pattern recognition systems: the subsets
bootstrap", Computer Vision and Image Understanding 93, 2004 (draws of people); A. Owen and D. Eckles,
"Bootstrapping data arrays of arbitrary order", Annals of Applied Statistics 6, 2012 (products of counts).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Generic, TypeVar

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.figures import Figures
from cmd_speaker.evaluation.intervals import Interval, difference_interval, figure_interval
from cmd_speaker.evaluation.llr import trial_bits
from cmd_speaker.evaluation.metrics import POINTS, Curve, OperatingPoint, SortedScores
from cmd_speaker.lists.scores import Scores, attach_labels, match_pairs
from cmd_speaker.lists.speakers import trial_speakers
from cmd_speaker.progress import track


@dataclass(frozen=True)
class Difference:
    """An error rate of systems a and b, b - a with its 95 % interval, and (b - a) / a (NaN where a is 0)."""

    a: float
    b: float
    difference: float
    interval: Interval
    relative: float

    def as_dict(self) -> dict[str, float | None]:
        return {
            "a": self.a, "b": self.b, "difference": self.difference, "low": self.interval.low,
            "high": self.interval.high, "relative": None if isnan(self.relative) else self.relative,
        }  # fmt: skip

    def __str__(self) -> str:
        low, high = self.interval.low, self.interval.high
        relative = "" if isnan(self.relative) else f" ({self.relative:+.1%} relative)"
        return f"{self.difference:+.2%} [{low:+.2%}, {high:+.2%}]{relative}"


Value = TypeVar("Value")


@dataclass(frozen=True)
class Resampled(Generic[Value]):
    """What draws of speakers tell of every figure, of costs for each operating point, of miss rates for each FAR.

    `left_out` replicates lacked a class. `act_dcf` is empty and `cllr` None unless the scores, of both systems
    where two are compared, are log-likelihood ratios.
    """

    eer: Value
    min_cllr: Value
    min_dcf: dict[OperatingPoint, Value]
    speakers: int
    replicates: int
    left_out: int
    act_dcf: dict[OperatingPoint, Value] = field(default_factory=dict)
    cllr: Value | None = None
    miss_at_far: dict[float, Value] = field(default_factory=dict)


SpeakerInterval = Resampled[Interval]
PairedDifference = Resampled[Difference]


def speaker_interval(
    scores: SortedScores,
    enrol_speakers: np.ndarray,
    test_speakers: np.ndarray,
    seed: int,
    replicates: int = 1000,
    points: Sequence[OperatingPoint] = POINTS,
    llr: bool = False,
    fars: Sequence[float] = (),
) -> SpeakerInterval:
    """95 % intervals of error rates, costs and miss rates at `fars`, had the speakers been others.

    `enrol_speakers` and `test_speakers` are speaker numbers [n] in the order of the scores before sorting, as
    `trial_speakers` gives them; `llr` says that the scores are log-likelihood ratios, which have an actual cost
    and a Cllr. Raises `DataError` where a label contradicts its speakers, where no replicate has weight in both
    classes, and for infinite LLRs.
    """
    figures = Figures(points, llr, fars)
    values, speakers = _replicates([scores], enrol_speakers, test_speakers, seed, replicates, figures)
    named = figures.named(figure_intervals(scores.curve(), values[:, 0], speakers, figures))
    return SpeakerInterval(
        **named, speakers=speakers, replicates=replicates, left_out=replicates - len(values)
    )


def figure_intervals(curve: Curve, drawn: np.ndarray, speakers: int, figures: Figures) -> list[Interval]:
    """The interval of every figure, in the order of `Figures`, from its values `drawn` [R, figures]."""
    step = 1 / len(curve.ordered.targets)
    parts = zip(figures.measure(curve), drawn.T, figures.unseen(curve), figures.most(), strict=True)
    return [figure_interval(*figure[:2], speakers, step, *figure[2:]) for figure in parts]


def paired_difference(
    scores_a: Sequence[Scores],
    scores_b: Sequence[Scores],
    utt2spk: Mapping[str, str],
    seed: int,
    replicates: int = 1000,
    points: Sequence[OperatingPoint] = POINTS,
    llr: bool = False,
) -> PairedDifference:
    """System b against system a: differences (b - a) of error rates and costs on the same trials and draws.

    Each system is one or several runs (training seeds), whose figures are averaged. The files may differ
    in order but not in trials; the first needs labels; `llr` as in `speaker_interval`, of all of them. Raises
    `DataErrors` for trials that only one of them has or that they label differently, and as `trial_speakers`
    and `speaker_interval` do.
    """
    trials = scores_a[0].trials
    aligned = [scores_a[0]]
    for other in [*scores_a[1:], *scores_b]:
        match_pairs(scores_a[0], other.trials)
        aligned.append(attach_labels(other, trials)[0])
    enrol, test, _ = trial_speakers(trials, utt2spk)
    labels = aligned[0].known_labels()
    systems = [SortedScores(scores.scores, labels) for scores in aligned]
    figures = Figures(points, llr)
    values, speakers = _replicates(systems, enrol, test, seed, replicates, figures)
    measured = np.array([figures.measure(system.curve()) for system in systems])
    first = len(scores_a)
    differences = []
    for whole, drawn in zip(measured.T, np.moveaxis(values, 2, 0), strict=True):
        a, b = float(whole[:first].mean()), float(whole[first:].mean())
        interval = difference_interval(
            drawn[:, first:].mean(axis=1) - drawn[:, :first].mean(axis=1), speakers
        )
        differences.append(Difference(a, b, b - a, interval, (b - a) / a if a else float("nan")))
    named = figures.named(differences)
    return PairedDifference(
        **named, speakers=speakers, replicates=replicates, left_out=replicates - len(values)
    )


def _replicates(
    systems: Sequence[SortedScores],
    enrol: np.ndarray,
    test: np.ndarray,
    seed: int,
    replicates: int,
    figures: Figures,
) -> tuple[np.ndarray, int]:
    """The values of `replicate` for random draws, and the number of speakers in the trials."""
    _check_speakers(systems[0], enrol, test)
    speakers, numbers = np.unique(np.concatenate([enrol, test]), return_inverse=True)
    sides = numbers[: len(enrol)], numbers[len(enrol) :]
    drawn = track(draws(len(speakers), seed, replicates), "Drawing speakers", replicates)
    values = replicate(systems, sides, drawn, figures)
    if not len(values):
        raise DataError(
            f"none of the {replicates} draws of speakers has both targets and nontargets",
            expected="more speakers",
            found=f"{len(speakers)} in the trials",
            fix="Use a list with more speakers, or give no interval",
        )
    return values, len(speakers)


def _check_speakers(scores: SortedScores, enrol: np.ndarray, test: np.ndarray) -> None:
    """Raise `DataError` for a target of two speakers or a nontarget of one."""
    for order, label in zip(scores.orders, ("target", "nontarget"), strict=True):
        wrong = order[(enrol[order] == test[order]) != (label == "target")]
        if len(wrong):
            first = wrong.min()
            raise DataError(
                f"trial {first + 1} contradicts its speakers",
                expected=f"two sides that fit a {label}",
                found=f"speakers {enrol[first]} and {test[first]}",
                fix="Check the list of speakers",
            )


def replicate(
    systems: Sequence[SortedScores],
    sides: tuple[np.ndarray, np.ndarray],
    drawn: Iterable[np.ndarray],
    figures: Figures,
) -> np.ndarray:
    """The figures of every system for every draw that has both classes, [replicates, systems, figures].

    `sides` are the
    speaker numbers of both sides, [n] each. One draw at a time, so that memory stays at a few numbers a trial.
    """
    weighings = [_Weighing(system, *sides) for system in systems]
    bits = [trial_bits(system) if figures.llr else None for system in systems]
    values = []
    for counts in drawn:
        curves = [weighing.curve(counts) for weighing in weighings]
        if all(weighing.has_both for weighing in weighings):
            values.append([figures.measure(*pair) for pair in zip(curves, bits, strict=True)])
    return np.array(values)


def draws(speakers: int, seed: int, replicates: int) -> Iterator[np.ndarray]:
    """How often each speaker is drawn, int64 [speakers], in every replicate."""
    rng = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(rng.integers(speakers, size=speakers), minlength=speakers)


class _Weighing:
    """The curve of one system for any draw of speakers, by one pass over the trials in sorted order.

    Weights are whole numbers, so sums in int64 are exact and quicker than in float64.
    """

    def __init__(self, scores: SortedScores, enrol: np.ndarray, test: np.ndarray) -> None:
        self.scores = scores
        target_order, nontarget_order = scores.orders
        self.target = enrol[target_order].astype(np.intp)
        self.enrol = enrol[nontarget_order].astype(np.intp)
        self.test = test[nontarget_order].astype(np.intp)
        self.target_mass = np.zeros(len(self.target) + 1, dtype=np.int64)
        self.nontarget_mass = np.zeros(len(self.enrol) + 1, dtype=np.int64)
        self.weight = np.empty((2, len(self.enrol)), dtype=np.int64)

    def curve(self, drawn: np.ndarray) -> Curve:
        """The curve for the counts `drawn` [speakers]; it lives until the next call."""
        np.cumsum(drawn[self.target], out=self.target_mass[1:])
        # The numbers are in range; "clip" is NumPy's one way of filling `out` without a copy.
        np.take(drawn, self.enrol, out=self.weight[0], mode="clip")
        np.take(drawn, self.test, out=self.weight[1], mode="clip")
        np.multiply(self.weight[0], self.weight[1], out=self.weight[0])
        np.cumsum(self.weight[0], out=self.nontarget_mass[1:])
        return Curve(self.scores, self.target_mass, self.nontarget_mass)

    @property
    def has_both(self) -> bool:
        """Whether both classes have weight in the last curve."""
        return bool(self.target_mass[-1] and self.nontarget_mass[-1])
