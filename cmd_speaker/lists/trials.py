"""Trial lists: which enrolment is compared with which test utterance, and whether they are the same speaker.

Four forms are read, recognised by their content: VoxCeleb's `1 enrol test` (1 target, 0 nontarget), Kaldi's
`enrol test target` (or `nontarget`), CN-Celeb's `enrol test 1` (or 0), and `enrol test` without labels. A
list is kept as two columns of integers into one table of ids, so that the 1.8 million pairs of 1,900
utterances take 16 MB.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, repeat
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.files import write_atomically
from cmd_speaker.lists.forms import Fields, FileKind, read_fields
from cmd_speaker.lists.lines import WrittenIds, join_columns

BLOCK = 65536
"""Trials looked at together."""
TRIAL_LIST = FileKind(
    "trial list",
    {
        "voxceleb": "1|0 enrol test",
        "kaldi": "enrol test target|nontarget",
        "cnceleb": "enrol test 1|0",
        "unlabelled": "enrol test",
    },
    "Rename the utterances called 0, 1, target or nontarget",
)
LABEL_CELLS = {
    "voxceleb": (b"0 ", b"1 "),
    "kaldi": (b" nontarget\n", b" target\n"),
    "cnceleb": (b" 0\n", b" 1\n"),
}
"""The forms with labels, and what they write for a nontarget and a target trial."""


@dataclass(frozen=True, eq=False)
class Trials:
    """n comparisons: `ids[enrol[k]]` against `ids[test[k]]`, both int32 [n], a target where `labels[k]`.

    `labels` is bool [n], or None for a list without labels. `path` and `rows` (line numbers [n]; None
    where trial k is line k + 1) say where the trials came from.
    """

    ids: list[str]
    enrol: np.ndarray
    test: np.ndarray
    labels: np.ndarray | None = None
    path: Path | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.enrol)

    def pair(self, k: int) -> tuple[str, str]:
        """The enrolment and test id of trial k."""
        return self.ids[self.enrol[k]], self.ids[self.test[k]]

    def row(self, k: int) -> int | None:
        """The line of trial k in its file; None for trials that came from no file."""
        if self.path is None:
            return None
        return int(k) + 1 if self.rows is None else int(self.rows[k])

    def take(self, chosen: np.ndarray) -> Trials:
        """The trials at the positions, or under the mask, `chosen`; they keep their line numbers."""
        rows = np.arange(1, len(self) + 1) if self.rows is None else self.rows
        labels = None if self.labels is None else self.labels[chosen]
        return replace(
            self, enrol=self.enrol[chosen], test=self.test[chosen], labels=labels, rows=rows[chosen]
        )

    def rows_in(self, index: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
        """Both sides of every trial as the numbers that `index` gives their ids, [n] each; -1 if it has none.

        With `Embeddings.index()` these are rows of the embedding matrix.
        """
        rows = np.fromiter(map(index.get, self.ids, repeat(-1)), np.intp, len(self.ids))
        return rows[self.enrol], rows[self.test]


def read_trials(path: str | Path, block: int = BLOCK) -> Iterator[Trials]:
    """Read a trial list of any length, in any of the four forms, at most `block` trials at a time.

    The blocks are in the order of the file; each has a table of ids of its own. Raises as `load_trials` does:
    wrong rows at the end of the file, with their number.
    """
    for fields in read_fields(path, TRIAL_LIST, block):
        yield from_fields(path, [fields])


def load_trials(path: str | Path) -> Trials:
    """Read a whole trial list; blank lines do not count as trials.

    Raises `DataError` for a missing, unreadable or empty file or one that can be read in two ways, and
    `DataErrors` with the rows that have another number of fields, another label or another form than the file.
    """
    return from_fields(path, read_fields(path, TRIAL_LIST, BLOCK))


def save_trials(path: str | Path, trials: Trials, form: str | None = None) -> None:
    """Write a trial list; raises as `write_trials` does."""
    write_trials(path, (trials,), form)


def write_trials(path: str | Path, blocks: Iterable[Trials], form: str | None = None) -> int:
    """Write a trial list block by block and return the number of trials; either all of it appears or nothing.

    `form` is a key of `LABEL_CELLS`; without it, trials are written in VoxCeleb's form, or as `enrol test` if they
    have no labels. Raises `UsageError` for another form; `DataError` for trials without labels where a form
    needs them or others have them, for an id that contains white space, and where the file cannot be written.
    """
    if form is not None and form not in LABEL_CELLS:
        raise UsageError(f"unknown form of trial list: expected {', '.join(LABEL_CELLS)}, found {form}")
    total, names = 0, WrittenIds(path)
    labelled = None if form is None else True
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        for trials in blocks:
            labelled = trials.labels is not None if labelled is None else labelled
            if labelled != (trials.labels is not None):
                raise DataError(
                    "trials without labels" if form else "some trials have labels and some have none",
                    file=trials.path,
                    expected=f"'{TRIAL_LIST.forms[form]}'" if form else "labels for all or none",
                    fix="Give labelled trials",
                )
            encoded = names.encode(trials.ids)
            for start in range(0, len(trials), BLOCK):
                file.write(_trial_lines(trials, encoded, slice(start, start + BLOCK), form or "voxceleb"))
            total += len(trials)
    return total


def _trial_lines(trials: Trials, names: np.ndarray, block: slice, form: str) -> bytes:
    enrol, test = names[trials.enrol[block]].tolist(), names[trials.test[block]].tolist()
    spaces, ends = [b" "] * len(enrol), [b"\n"] * len(enrol)
    if trials.labels is None:
        return join_columns([enrol, spaces, test, ends])
    labels = np.array(LABEL_CELLS[form], dtype=object)[trials.labels[block].astype(int)].tolist()
    if form == "voxceleb":
        return join_columns([labels, enrol, spaces, test, ends])
    return join_columns([enrol, spaces, test, labels])


def all_pairs(ids: Sequence[str], speakers: Sequence[str]) -> Trials:
    """Every unordered pair of the utterances `ids` once, a target where their `speakers` are the same.

    Raises `DataError` where an id occurs twice, or `speakers` does not have one entry an id.
    """
    total = len(ids)
    if len(set(ids)) < total or len(speakers) != total:
        raise DataError(
            "no pairs can be made of these utterances",
            expected="each id once, with its speaker",
            found=f"{total} ids, {len(set(ids))} of them different, and {len(speakers)} speakers",
            fix="Leave out the ids that occur twice",
        )
    later = np.arange(total - 1, -1, -1)  # how many utterances come after each one
    enrol = np.repeat(np.arange(total, dtype=np.int32), later)
    test = np.concatenate([np.arange(k + 1, total, dtype=np.int32) for k in range(total)] or [enrol])
    _, codes = np.unique(list(speakers), return_inverse=True)
    return Trials(list(ids), enrol, test, codes[enrol] == codes[test])


def from_fields(path: str | Path, pieces: Iterable[Fields]) -> Trials:
    """The trials in successive lines of a file, with one table of ids in order of appearance."""
    table: defaultdict[bytes, int] = defaultdict(count().__next__)
    enrol, test, labels, rows = [], [], [], []
    for fields in pieces:
        enrol.append(np.fromiter(map(table.__getitem__, fields.enrol), np.int32, len(fields.enrol)))
        test.append(np.fromiter(map(table.__getitem__, fields.test), np.int32, len(fields.test)))
        rows.append(fields.rows)
        if fields.labels is not None:
            labels.append(fields.labels)
    places = np.concatenate(rows)
    return Trials(
        [name.decode() for name in table],
        np.concatenate(enrol),
        np.concatenate(test),
        np.concatenate(labels) if labels else None,
        Path(path),
        None if places[-1] == len(places) else places,
    )
