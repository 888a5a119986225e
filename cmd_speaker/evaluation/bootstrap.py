"""How far an error rate would move with other speakers: percentile intervals, bootstrapped over speakers.

Speakers are drawn, not trials. A list of 45,000 trials among 96 speakers does not hold 45,000 independent
observations: all trials of one speaker share that voice, and one hard voice raises the score of hundreds of
them at once. Drawing trials would treat them as independent and tell how the result moves with new
recordings of the same people; its intervals are too narrow for new people, the more so the more trials
each speaker has. So S speakers are drawn with replacement from the S that occur in the trials; one drawn
n_a times stands for n_a people of that voice, so that a target trial of speaker a counts n_a times, and a
nontarget trial of a and b counts n_a * n_b times.

Two systems are compared on the same trials and the same draws: what makes a set of speakers hard makes it
hard for both, and falls out of the difference.

Sources: R. Bolle, N. Ratha and S. Pankanti, "Error analysis of pattern recognition systems: the subsets
bootstrap", Computer Vision and Image Understanding 93, 2004 (draws of people); A. Owen and D. Eckles,
"Bootstrapping data arrays of arbitrary order", Annals of Applied Statistics 6, 2012 (products of counts);
B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan

import numpy as np

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.evaluation.metrics import POINTS, Curve, OperatingPoint, SortedScores
from cmd_speaker.evaluation.scores import Scores, attach_labels, match_pairs
from cmd_speaker.evaluation.trials import Trials

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class SpeakerInterval:
    """Intervals of one system, of costs one for each operating point; `left_out` replicates lacked a class."""

    eer: Interval
    min_dcf: dict[OperatingPoint, Interval]
    speakers: int
    replicates: int
    left_out: int


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


@dataclass(frozen=True)
class PairedDifference:
    """Differences of two systems on the same trials and draws; other fields as in `SpeakerInterval`.

    `act_dcf` is empty and `cllr` None unless the scores of both are log-likelihood ratios.
    """

    eer: Difference
    min_dcf: dict[OperatingPoint, Difference]
    speakers: int
    replicates: int
    left_out: int
    act_dcf: dict[OperatingPoint, Difference] = field(default_factory=dict)
    cllr: Difference | None = None


def trial_speakers(trials: Trials, utt2spk: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The speaker of both sides of every trial, [n] each, as numbers into the sorted list of their names.

    Raises `DataErrors` for every trial with an utterance that `utt2spk` lacks, and for targets of two
    speakers and nontargets of one.
    """
    used = np.zeros(len(trials.ids), dtype=bool)
    used[trials.enrol] = used[trials.test] = True
    by_id = {name: utt2spk[name] for name in np.array(trials.ids, dtype=object)[used] if name in utt2spk}
    names = sorted(set(by_id.values()))
    number = {name: k for k, name in enumerate(names)}
    enrol, test = trials.rows_in({name: number[speaker] for name, speaker in by_id.items()})
    errors = []
    for k in np.flatnonzero((enrol < 0) | (test < 0)).tolist():
        missing = [name for name, side in zip(trials.pair(k), (enrol[k], test[k]), strict=True) if side < 0]
        errors.append(
            DataError(
                f"the speaker of {' and '.join(repr(name) for name in missing)} is not known",
                file=trials.path,
                row=trials.row(k),
                expected="a row with its speaker in the manifest or utt2spk",
                found="none",
                fix="Give the list that covers all utterances of the trials",
            )
        )
    if not errors and trials.labels is not None:
        wrong = np.flatnonzero((enrol == test) != trials.labels).tolist()
        errors = [_contradiction(trials, k, names[enrol[k]], names[test[k]]) for k in wrong]
    if errors:
        raise DataErrors(f"{len(errors)} of {len(trials)} trials do not fit the speakers", errors)
    return enrol, test, names


def speaker_interval(
    scores: SortedScores,
    enrol_speakers: np.ndarray,
    test_speakers: np.ndarray,
    seed: int,
    replicates: int = 1000,
    points: Sequence[OperatingPoint] = POINTS,
) -> SpeakerInterval:
    """95 % percentile intervals of EER and minDCF, had the speakers been others.

    `enrol_speakers` and `test_speakers` are speaker numbers [n] in the order of the scores before sorting, as
    `trial_speakers` gives them. Raises `DataError` where a label contradicts its
    speakers, and where no replicate has weight in both classes.
    """
    values, speakers = _replicates([scores], enrol_speakers, test_speakers, seed, replicates, points)
    intervals = [_interval(column) for column in values[:, 0].T]
    min_dcf = dict(zip(points, intervals[1:], strict=True))
    return SpeakerInterval(intervals[0], min_dcf, speakers, replicates, replicates - len(values))


def paired_difference(
    scores_a: Sequence[Scores],
    scores_b: Sequence[Scores],
    utt2spk: Mapping[str, str],
    seed: int,
    replicates: int = 1000,
    points: Sequence[OperatingPoint] = POINTS,
) -> PairedDifference:
    """System b against system a: EER and minDCF differences (b - a) on the same trials and draws.

    Each system is one or several runs (training seeds), whose error rates are averaged. The files may differ
    in order but not in trials; the first needs labels. Raises `DataErrors` for trials that only one of
    them has or that they label differently, and as `trial_speakers` and `speaker_interval` do.
    """
    trials = scores_a[0].trials
    aligned = [scores_a[0]]
    for other in [*scores_a[1:], *scores_b]:
        match_pairs(scores_a[0], other.trials)
        aligned.append(attach_labels(other, trials)[0])
    enrol, test, _ = trial_speakers(trials, utt2spk)
    assert trials.labels is not None  # attach_labels has seen to it
    systems = [SortedScores(scores.scores, trials.labels) for scores in aligned]
    values, speakers = _replicates(systems, enrol, test, seed, replicates, points)
    measured = np.array([_metrics(system.curve(), points) for system in systems])
    first = len(scores_a)
    differences = []
    for whole, drawn in zip(measured.T, np.moveaxis(values, 2, 0), strict=True):
        a, b = float(whole[:first].mean()), float(whole[first:].mean())
        interval = _interval(drawn[:, first:].mean(axis=1) - drawn[:, :first].mean(axis=1))
        differences.append(Difference(a, b, b - a, interval, (b - a) / a if a else float("nan")))
    min_dcf = dict(zip(points, differences[1:], strict=True))
    return PairedDifference(differences[0], min_dcf, speakers, replicates, replicates - len(values))


def _replicates(
    systems: Sequence[SortedScores],
    enrol: np.ndarray,
    test: np.ndarray,
    seed: int,
    replicates: int,
    points: Sequence[OperatingPoint],
) -> tuple[np.ndarray, int]:
    """The metrics of every system in every replicate that has both classes, [replicates, systems, metrics].

    Also the number of speakers. One replicate at a time, so that memory stays at a few numbers a trial.
    """
    wrong = np.flatnonzero((enrol == test) != systems[0].labels)
    if len(wrong):
        label = "target" if systems[0].labels[wrong[0]] else "nontarget"
        raise DataError(
            f"trial {wrong[0] + 1} contradicts its speakers",
            expected=f"two sides that fit a {label}",
            found=f"speakers {enrol[wrong[0]]} and {test[wrong[0]]}",
            fix="Check the list of speakers",
        )
    speakers, sides = np.unique(np.concatenate([enrol, test]), return_inverse=True)
    weighings = [_Weighing(system, sides[: len(enrol)], sides[len(enrol) :]) for system in systems]
    values = []
    for drawn in draws(len(speakers), seed, replicates):
        curves = [weighing.curve(drawn) for weighing in weighings]
        if all(curve.target_mass[-1] and curve.nontarget_mass[-1] for curve in curves):
            values.append([_metrics(curve, points) for curve in curves])
    if not values:
        raise DataError(
            f"none of the {replicates} draws of speakers has both targets and nontargets",
            expected="more speakers",
            found=f"{len(speakers)} in the trials",
            fix="Use a list with more speakers, or give no interval",
        )
    return np.array(values), len(speakers)


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
        self.target = enrol[scores.target_order].astype(np.intp)
        self.enrol = enrol[scores.nontarget_order].astype(np.intp)
        self.test = test[scores.nontarget_order].astype(np.intp)
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


def _metrics(curve: Curve, points: Sequence[OperatingPoint]) -> list[float]:
    return [curve.eer()[0], *(curve.min_dcf(point) for point in points)]


def _interval(values: np.ndarray) -> Interval:
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(float(low), float(high))


def _contradiction(trials: Trials, k: int, enrol: str, test: str) -> DataError:
    assert trials.labels is not None
    same = bool(trials.labels[k])
    return DataError(
        f"the label of '{' '.join(trials.pair(k))}' contradicts the speakers",
        file=trials.path,
        row=trials.row(k),
        expected="one speaker, as it is a target" if same else "two speakers, as it is a nontarget",
        found=f"'{enrol}' and '{test}'",
        fix="Find out whether the trial list or the list of speakers is wrong",
    )
