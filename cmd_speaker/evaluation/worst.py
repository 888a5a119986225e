"""The trials that went most wrong, to be listened to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cmd_speaker.lists.scores import Scores


@dataclass(frozen=True)
class WorstTrial:
    """One trial, its line in the file it came from, and who speaks, where that is known."""

    enrol: str
    test: str
    score: float
    row: int | None
    enrol_speaker: str | None
    test_speaker: str | None


def worst_trials(
    scores: Scores, count: int, utt2spk: Mapping[str, str] | None = None
) -> tuple[list[WorstTrial], list[WorstTrial]]:
    """The `count` targets with the lowest scores, and the `count` nontargets with the highest.

    The worst comes first, trials with the same score in the order of the list. Raises `DataError` without labels.
    """
    labels, speakers = scores.known_labels(), utt2spk or {}
    found = []
    for chosen, sign in ((np.flatnonzero(labels), 1), (np.flatnonzero(~labels), -1)):
        order = np.argsort(sign * scores.scores[chosen], kind="stable")[:count]
        found.append([_trial(scores, int(k), speakers) for k in chosen[order]])
    return found[0], found[1]


def _trial(scores: Scores, k: int, speakers: Mapping[str, str]) -> WorstTrial:
    enrol, test = scores.trials.pair(k)
    value, row = float(scores.scores[k]), scores.trials.row(k)
    return WorstTrial(enrol, test, value, row, speakers.get(enrol), speakers.get(test))
