"""Trial lists: which enrolment is compared with which test utterance, and whether they are the same speaker.

Three forms are read, recognised by their content: VoxCeleb's `1 enrol test` (1 target, 0 nontarget), Kaldi's
`enrol test target` (or `nontarget`), and `enrol test` without labels. A list is kept as two columns of
integers into one table of ids, so that the 1.8 million pairs of 1,900 utterances take 16 MB.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import write_atomically

BLOCK = 65536
VOXCELEB = {"1": True, "0": False}
KALDI = {"target": True, "nontarget": False}
LABELS = VOXCELEB | KALDI
FORMS = {"voxceleb": "1|0 enrol test", "kaldi": "enrol test target|nontarget", "unlabelled": "enrol test"}


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
        rows = np.fromiter((index.get(name, -1) for name in self.ids), np.intp, len(self.ids))
        return rows[self.enrol], rows[self.test]


@dataclass(frozen=True, eq=False)
class Lines:
    """The fields of a text file: line k, blank ones left out, has `tokens[bounds[k] : bounds[k + 1]]`."""

    path: Path
    tokens: list[str]
    bounds: np.ndarray
    rows: np.ndarray | None

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def counts(self) -> np.ndarray:
        """The number of fields of every line, [n]."""
        return np.diff(self.bounds)

    def columns(self, width: int) -> list[list[str]]:
        """The fields by column, where every line has `width` of them."""
        return [self.tokens[k::width] for k in range(width)]

    def row(self, k: int) -> int:
        """The line number in the file."""
        return int(k) + 1 if self.rows is None else int(self.rows[k])

    def error(self, k: int, problem: str, expected: str, fix: str = "Correct the line") -> DataError:
        """An error in line k."""
        found = " ".join(self.tokens[self.bounds[k] : self.bounds[k + 1]])
        return DataError(
            problem, file=self.path, row=self.row(k), expected=expected, found=f"'{found[:100]}'", fix=fix
        )


def load_trials(path: str | Path) -> Trials:
    """Read a trial list in any of the three forms; blank lines do not count as trials.

    Raises `DataError` for a missing, unreadable or empty file, and `DataErrors` with every row that has
    another number of fields, another label or another form than the file.
    """
    lines = read_lines(Path(path), "trial list")
    form = _form(lines)
    columns, labels = lines.columns(2 if form == "unlabelled" else 3), None
    if form != "unlabelled":
        words = columns.pop(0 if form == "voxceleb" else 2)
        labels = np.fromiter(map(LABELS.__getitem__, words), bool, len(words))
    ids, enrol, test = number_ids(columns[0], columns[1])
    return Trials(ids, enrol, test, labels, lines.path, lines.rows)


def save_trials(path: str | Path, trials: Trials) -> None:
    """Write a trial list in VoxCeleb's form, or as `enrol test` where there are no labels.

    Raises `DataError` for an id that contains white space, and where the file cannot be written.
    """
    names = writable_ids(path, trials)
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for start in range(0, len(trials), BLOCK):
            block = slice(start, start + BLOCK)
            pairs = zip(names[trials.enrol[block]], names[trials.test[block]], strict=True)
            if trials.labels is None:
                file.writelines(f"{enrol} {test}\n" for enrol, test in pairs)
            else:
                labelled = zip(trials.labels[block].astype(int).tolist(), pairs, strict=True)
                file.writelines(f"{label} {enrol} {test}\n" for label, (enrol, test) in labelled)


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


def number_ids(enrol: Sequence[str], test: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The table of all ids, in order of appearance, and both columns as int32 [n] into it."""
    table: defaultdict[str, int] = defaultdict(count().__next__)
    enrol_numbers = np.fromiter(map(table.__getitem__, enrol), np.int32, len(enrol))
    test_numbers = np.fromiter(map(table.__getitem__, test), np.int32, len(test))
    return list(table), enrol_numbers, test_numbers


def read_lines(path: Path, what: str) -> Lines:
    """The fields of a text file; raises `DataError` if it is missing, not UTF-8 or has no fields at all.

    `what` names the kind of file. Lines are split one by one only to count their fields: 600,000 lists,
    one a line, would take Python longer to look after than everything else.
    """
    if not path.is_file():
        raise DataError(f"no such {what}", file=path, fix="Check the path")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the {what} is not text",
            file=path,
            row=data.count(b"\n", 0, error.start) + 1,
            expected="UTF-8",
            found=f"the byte 0x{data[error.start]:02x}",
            fix="Check that this is the right file, or convert it to UTF-8",
        ) from error
    counts = np.fromiter((len(line.split()) for line in text.split("\n")), np.int64)
    rows = np.flatnonzero(counts) + 1
    if not len(rows):
        raise DataError(f"the {what} is empty", file=path, fix="Make it again")
    bounds = np.concatenate([[0], np.cumsum(counts[rows - 1])])
    return Lines(path, text.split(), bounds, None if rows[-1] == len(rows) else rows)


def writable_ids(path: str | Path, trials: Trials) -> np.ndarray:
    """The ids as an object array; raises `DataError` for one that would not be a single field of a line."""
    for name in trials.ids:
        if len(name.split()) != 1:
            raise DataError(
                "an id cannot be written",
                file=path,
                expected="one word",
                found=f"'{name}'",
                fix="Rename the utterance",
            )
    return np.array(trials.ids, dtype=object)


def _form(lines: Lines) -> str:
    """The form that every line has; raises `DataErrors` naming each line that has not the form of most."""
    matching = {form: _matches(form, lines) for form in FORMS}
    found = {form: int(matches.sum()) for form, matches in matching.items()}
    if found["voxceleb"] == found["kaldi"] == len(lines):
        either = f"'{FORMS['voxceleb']}' or '{FORMS['kaldi']}'"
        fix = "Rename the utterances called 0, 1, target or nontarget"
        raise lines.error(0, "the trial list can be read in two ways", either, fix)
    form = max(found, key=found.__getitem__)
    if found[form] == len(lines):
        return form
    expected = f"'{FORMS[form]}' as in the rest of the file"
    if not found[form]:
        expected = " or ".join(f"'{text}'" for text in FORMS.values())
    other_width = lines.counts != len(FORMS[form].split())
    problems = np.where(other_width, "wrong number of fields", "unknown label").astype(object)
    problems[np.logical_or.reduce(list(matching.values()))] = "another form than the rest of the file"
    errors = [lines.error(k, problems[k], expected) for k in np.flatnonzero(~matching[form]).tolist()]
    raise DataErrors(f"{lines.path}: {len(errors)} of {len(lines)} rows of the trial list are wrong", errors)


def _matches(form: str, lines: Lines) -> np.ndarray:
    """Which lines have the form: bool [n]."""
    if form == "unlabelled":
        return lines.counts == 2
    words, place = (VOXCELEB, 0) if form == "voxceleb" else (KALDI, 2)
    matches = lines.counts == 3
    places = (lines.bounds[:-1][matches] + place).tolist()
    matches[matches] = np.fromiter((lines.tokens[k] in words for k in places), bool)
    return matches
