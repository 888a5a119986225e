"""Score files, and how they are joined to trial lists (labels).

A score file has a line `enrol test score` or `enrol test score label` for every trial; the label is 1 or
`target`, 0 or `nontarget`. A higher score means more likely the same speaker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import write_atomically
from cmd_speaker.lists.forms import Fields, FileKind, read_fields
from cmd_speaker.lists.lines import WrittenIds, join_columns
from cmd_speaker.lists.trials import BLOCK, Trials, from_fields

SCORE_FILE = FileKind(
    "score file",
    {
        "plain": "enrol test score",
        "labelled": "enrol test score label",
        "label first": "enrol test label score",
        "with qualities": "enrol test score target|nontarget norm norm mean mean",
    },
    "Remove the column of labels, and give the labelled trial list with --trials",
)


@dataclass(frozen=True, eq=False)
class Scores:
    """Trials with a score each: `scores` is float32 or float64 [n]."""

    trials: Trials
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def labels(self) -> np.ndarray | None:
        """Which trials are targets, bool [n]; None where that is not known."""
        return self.trials.labels

    def known_labels(self) -> np.ndarray:
        """The labels, bool [n]; raises `DataError` where they are not known."""
        if self.labels is None:
            raise DataError(
                "the scores have no labels", file=self.trials.path, expected="target and nontarget trials",
                found="unlabelled scores", fix="Give the labelled trial list with --trials",
            )  # fmt: skip
        return self.labels


def read_scores(path: str | Path, block: int = BLOCK) -> Iterator[Scores]:
    """Read a score file of any length, in any form of `SCORE_FILE`, at most `block` scores at a time.

    The blocks are in the order of the file; each has a table of ids of its own. Raises as `load_scores` does:
    wrong rows at the end of the file, with their number.
    """
    for fields in read_fields(path, SCORE_FILE, block):
        yield _from_fields(path, [fields])


def load_scores(path: str | Path) -> Scores:
    """Read a whole score file; the scores are float64 [n].

    Raises `DataError` for a missing, unreadable or empty file or one that can be read in two ways, and
    `DataErrors` with the rows whose number of fields is not that of the file, whose score is not a finite
    number or whose label is unknown.
    """
    return _from_fields(path, read_fields(path, SCORE_FILE, BLOCK))


def save_scores(path: str | Path, scores: Scores) -> None:
    """Write a score file, with labels (1 or 0) where they are known; raises as `write_scores` does."""
    write_scores(path, (scores,))


def write_scores(path: str | Path, blocks: Iterable[Scores]) -> int:
    """Write a score file block by block and return the number of scores; either all of it appears or nothing.

    Nine significant digits give every float32 back as it was. Raises `DataError` for an id that contains
    white space, for a score that is not finite, for blocks with and without labels, and where the file
    cannot be written.
    """
    total, names = 0, WrittenIds(path)
    labelled: bool | None = None
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        for scores in blocks:
            if labelled not in (None, scores.labels is not None):
                raise DataError(
                    "some scores have labels and some have none", file=path, expected="labels for all or none",
                    fix="Give all trials labels",
                )  # fmt: skip
            labelled = scores.labels is not None
            _check_finite(path, scores)
            encoded = names.encode(scores.trials.ids)
            for start in range(0, len(scores), BLOCK):
                file.write(_score_lines(scores, encoded, slice(start, start + BLOCK)))
            total += len(scores)
    return total


def _from_fields(path: str | Path, pieces: Iterable[Fields]) -> Scores:
    scores: list[np.ndarray] = []

    def without_scores() -> Iterator[Fields]:
        for fields in pieces:
            assert fields.scores is not None
            scores.append(fields.scores)
            yield fields

    trials = from_fields(path, without_scores())
    return Scores(trials, np.concatenate(scores))


def _score_lines(scores: Scores, names: np.ndarray, block: slice) -> bytes:
    trials, values = scores.trials, scores.scores[block]
    enrol, test = names[trials.enrol[block]].tolist(), names[trials.test[block]].tolist()
    # One format for all: half the time of one format each.
    cells = (b" %.9g\0" * len(values) % tuple(values.tolist())).split(b"\0")[:-1]
    if trials.labels is None:
        ends = [b"\n"] * len(values)
    else:
        ends = np.array([b" 0\n", b" 1\n"], dtype=object)[trials.labels[block].astype(int)].tolist()
    return join_columns([enrol, [b" "] * len(values), test, cells, ends])


def _check_finite(path: str | Path, scores: Scores) -> None:
    bad = np.flatnonzero(~np.isfinite(scores.scores))
    if len(bad):
        raise DataError(
            f"the score of {' '.join(scores.trials.pair(bad[0]))} is not finite",
            file=path,
            expected="finite numbers",
            found=f"{len(bad)} of {len(scores)} scores that are NaN or infinite",
            fix="Check the embeddings that they come from",
        )


def attach_labels(scores: Scores, trials: Trials) -> tuple[Scores, int]:
    """The score of every trial of a labelled list, joined by the pair (enrol, test) whatever the order.

    Returns the scores in the order of `trials`, with its labels, and how many scores had no trial there.
    Raises `DataErrors` for trials without a score, for a pair with two different scores, and where the
    score file has labels of its own that contradict the list; `DataError` for a list without labels.
    """
    if trials.labels is None:
        raise DataError(
            "the trial list has no labels",
            file=trials.path,
            row=trials.row(0),
            expected="a label in every row",
            found=f"'{' '.join(trials.pair(0))}'",
            fix="Give the list with labels",
        )
    places, extra = match_pairs(scores, trials)
    if scores.labels is not None:
        names = ("nontarget", "target")
        errors = [
            DataError(
                f"the labels of '{' '.join(trials.pair(k))}' contradict each other",
                file=trials.path,
                row=trials.row(k),
                expected=f"{names[int(scores.labels[places[k]])]} as in {scores.trials.path or 'the scores'}",
                found=names[int(trials.labels[k])],
                fix="Find out which label is right",
            )
            for k in np.flatnonzero(scores.labels[places] != trials.labels).tolist()
        ]
        if errors:
            raise DataErrors(f"{len(errors)} of {len(trials)} trials have two labels", errors)
    return Scores(trials, scores.scores[places]), extra


def match_pairs(scores: Scores, trials: Trials) -> tuple[np.ndarray, int]:
    """Where in `scores` each trial is, [n], and how many scores have no trial; labels play no part.

    Raises `DataErrors` for trials without a score and for a pair with two different scores.
    """
    scored = scores.trials
    index = {name: number for number, name in enumerate(scored.ids)}
    enrol, test = trials.rows_in(index)
    wanted = np.where((enrol < 0) | (test < 0), -1, enrol * len(index) + test)
    keys = scored.enrol.astype(np.int64) * len(index) + scored.test
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], scores.scores[order]
    _check_single(scored, order[1:][(keys[1:] == keys[:-1]) & (values[1:] != values[:-1])])
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    errors = [
        DataError(
            f"no score for the trial '{' '.join(trials.pair(k))}'",
            file=trials.path,
            row=trials.row(k),
            expected="a score",
            found=f"none in {scored.path or 'the scores'}",
            fix="Score the whole list",
        )
        for k in np.flatnonzero(keys[places] != wanted).tolist()
    ]
    if errors:
        raise DataErrors(f"{len(errors)} of {len(trials)} trials have no score", errors)
    return order[places], int(np.count_nonzero(~np.isin(keys, wanted)))


def _check_single(scored: Trials, repeated: np.ndarray) -> None:
    """Raise `DataErrors` for the positions `repeated`, which give a pair another score than before."""
    errors = [
        DataError(
            f"a second, different score for '{' '.join(scored.pair(k))}'",
            file=scored.path,
            row=scored.row(k),
            expected="one score a pair",
            found="two",
            fix="Score the list again",
        )
        for k in np.sort(repeated)
    ]
    if errors:
        raise DataErrors(f"{len(errors)} pairs have two scores", errors)
