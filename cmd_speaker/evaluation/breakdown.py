"""Where a system is weak: error rates within groups of trials, by what is known of their two sides.

A column of few values gives a group for every unordered pair of them (`f & f`, `f & m`): who is compared with
whom. Of many values that are numbers, bands are formed, and groups of pairs of bands. Of some other values, such
as genres, each has a group of the trials whose two sides have it (`speech & speech`); of many, such as sessions
and numbers with leading zeros, all these are one group. Either way trials with two different values are another,
and those with a side that is not known a last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cmd_speaker.errors import UsageError
from cmd_speaker.evaluation.bootstrap import Interval, speaker_interval
from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.lists.metadata import Metadata
from cmd_speaker.lists.scores import Scores
from cmd_speaker.lists.speakers import trial_speakers

FEW_VALUES = 6
"""A column of so many values, or fewer, gives groups of pairs of values."""
SOME_VALUES = 20
"""One of more than these, but not more than so many, gives a group for each value."""
FEWEST_SPEAKERS = 10
"""An interval of fewer would say nothing of other speakers."""
UNKNOWN, SAME, DIFFERENT = "unknown", "same", "different"


@dataclass(frozen=True)
class Group:
    """The trials whose two sides have certain values of one metadata column.

    `far` and `frr` are the error rates at the threshold where the whole list has its EER, and so tell who
    pays for a common threshold; `eer` and its interval are the group's own. All are fractions, and None
    where the group lacks the class of trials (or, for the interval, the speakers) that they need.
    """

    column: str
    name: str
    targets: int
    nontargets: int
    speakers: int | None
    eer: float | None
    eer_interval: Interval | None
    far: float | None
    frr: float | None


def breakdown(
    scores: Scores,
    metadata: Metadata,
    columns: Sequence[str],
    utt2spk: Mapping[str, str] | None = None,
    *,
    seed: int = 0,
    replicates: int = 1000,
) -> list[Group]:
    """The groups of every column of labelled scores, column by column; no trial is left out.

    A column is named as it is, or with the edges of its bands: `age:18,40` has bands under 18, 18 up to 40, and
    from 40. Without edges a numeric column is cut into thirds of the utterances in the trials. With
    `utt2spk` speakers are counted and intervals given. Where decisions follow from log-likelihood ratios, `scores`
    should hold those. Raises `DataError` for a column that `metadata` lacks and as its methods, `trial_speakers`
    and `SortedScores` do, and `UsageError` for edges that are not ascending numbers.
    """
    labels = scores.known_labels()
    threshold = SortedScores(scores.scores, labels).curve().eer()[1]
    sides = trial_speakers(scores.trials, utt2spk)[:2] if utt2spk is not None else None
    groups = []
    for column in columns:
        name, codes, names = _grouped(scores, metadata, column, utt2spk)
        order = np.argsort(codes, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
        for part in parts:
            speakers = None if sides is None else (sides[0][part], sides[1][part])
            group = _Part(scores.scores[part], labels[part], speakers)
            groups.append(group.describe(name, names[codes[part[0]]], threshold, seed, replicates))
    return groups


@dataclass(frozen=True, eq=False)
class _Part:
    """The trials of one group."""

    scores: np.ndarray
    labels: np.ndarray
    sides: tuple[np.ndarray, np.ndarray] | None

    def describe(self, column: str, name: str, threshold: float, seed: int, replicates: int) -> Group:
        """The group with its figures; `threshold` is the common one."""
        accepted = self.scores >= threshold
        targets = int(np.count_nonzero(self.labels))
        nontargets = len(self.labels) - targets
        speakers = None if self.sides is None else len(np.unique(np.concatenate(self.sides)))
        eer, interval = None, None
        if targets and nontargets:
            ordered = SortedScores(self.scores, self.labels)
            eer = ordered.curve().eer()[0]
            if self.sides is not None and speakers and speakers >= FEWEST_SPEAKERS and replicates:
                interval = speaker_interval(ordered, *self.sides, seed, replicates, points=()).eer
        far = float(np.mean(accepted[~self.labels])) if nontargets else None
        frr = float(np.mean(~accepted[self.labels])) if targets else None
        return Group(column, name, targets, nontargets, speakers, eer, interval, far, frr)


def _grouped(
    scores: Scores, metadata: Metadata, column: str, utt2spk: Mapping[str, str] | None
) -> tuple[str, np.ndarray, list[str]]:
    """The column's name, the number of the group of every trial [n], and the names of the groups, in order."""
    name, edges = _edges(metadata, column)
    trials = scores.trials
    used = np.unique(np.concatenate([trials.enrol, trials.test]))
    ids = [trials.ids[k] for k in used.tolist()]
    values = metadata.values(name, ids, utt2spk)
    different = {value for value in values if value is not None}
    if edges or (len(different) > FEW_VALUES and all(map(_is_quantity, different))):
        kinds, bands = _bands(metadata.numbers(name, ids, utt2spk), edges)
    else:
        kinds = sorted(different, key=lambda value: (float(value) if _is_number(value) else 0, value))
        number = {value: k for k, value in enumerate(kinds)}
        bands = np.array([-1 if value is None else number[value] for value in values])
    place = np.full(len(trials.ids), -1)
    place[used] = bands
    low, high = np.sort([place[trials.enrol], place[trials.test]], axis=0)
    if not edges and len(kinds) > SOME_VALUES:
        codes, names = (low != high).astype(int), [SAME, DIFFERENT, UNKNOWN]
    elif not edges and len(kinds) > FEW_VALUES:
        codes = np.where(low == high, low, len(kinds))
        names = [*(f"{kind} & {kind}" for kind in kinds), DIFFERENT, UNKNOWN]
    else:
        codes = low * len(kinds) + high
        names = [*(f"{first} & {second}" for first in kinds for second in kinds), UNKNOWN]
    return name, np.where(low < 0, len(names) - 1, codes), names


def _edges(metadata: Metadata, column: str) -> tuple[str, list[float]]:
    """The name of a column and the edges of its bands, none where none are given."""
    name, colon, text = column.rpartition(":")
    if not colon or column in metadata.columns:
        return column, []
    edges = [float(word) for word in text.split(",") if _is_number(word)]
    if len(edges) < len(text.split(",")) or edges != sorted(set(edges)):
        raise UsageError(f"'{column}': the edges of bands are ascending numbers, as in 'age:18,40'")
    return name, edges


def _bands(numbers: np.ndarray, edges: list[float]) -> tuple[list[str], np.ndarray]:
    """The names of the bands and the band of every utterance, -1 where its number is not known."""
    known = numbers[~np.isnan(numbers)]
    if not edges:
        thirds = np.quantile(known, [1 / 3, 2 / 3])
        edges = sorted({float(f"{edge:.3g}") for edge in thirds})
    between = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    names = [f"under {edges[0]:g}", *between, f"from {edges[-1]:g}"]
    return names, np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _is_quantity(word: str) -> bool:
    """Whether a value is a number and not the name of something, such as the speaker 0042."""
    digits = word.lstrip("+-")
    return _is_number(word) and not (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit())
