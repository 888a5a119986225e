"""The forms in which trials and scores come, recognised by their content.

A form is written as its columns: `enrol`, `test`, `score`, a key of `LABELS`, or any other word for a column
that is not read. The first piece of a file shows its form, and every other line must have it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.lists.lines import Piece, read_pieces

BITS = {b"1": True, b"0": False}
WORDS = {b"target": True, b"nontarget": False}
LABELS: dict[str, dict[bytes, bool]] = {"1|0": BITS, "target|nontarget": WORDS, "label": BITS | WORDS}
"""The columns that hold a label, and what stands there."""
KEPT_ERRORS = 1000


@dataclass(frozen=True)
class FileKind:
    """A kind of file, its forms by name, and what to do about a file that two of them fit."""

    name: str
    forms: Mapping[str, str]
    way_out: str


@dataclass(frozen=True, eq=False)
class Fields:
    """n lines: ids as bytes, line numbers int64 [n]; labels bool [n] and scores float64 [n] if there are any."""

    enrol: list[bytes]
    test: list[bytes]
    rows: np.ndarray
    labels: np.ndarray | None = None
    scores: np.ndarray | None = None

    def content(self) -> list[object]:
        """What the lines say, in a form that can be compared."""
        arrays = (self.labels, self.scores)
        return [self.enrol, self.test, *(None if array is None else array.tolist() for array in arrays)]

    def blocks(self, size: int) -> Iterator[Fields]:
        """The same lines, at most `size` at a time."""
        for start in range(0, len(self.rows), size):
            part = slice(start, start + size)
            labels = None if self.labels is None else self.labels[part]
            scores = None if self.scores is None else self.scores[part]
            yield Fields(self.enrol[part], self.test[part], self.rows[part], labels, scores)


@dataclass
class _Mistakes:
    """The lines that have not the form of their file: all are counted, the first `KEPT_ERRORS` described."""

    kind: FileKind
    form: str | None = None
    rows: int = 0
    count: int = 0
    errors: list[DataError] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        for row, fields in piece.lines():
            self.rows += 1
            if self.form is None or not _fits(fields, self.form):
                self.count += 1
                if len(self.errors) < KEPT_ERRORS:
                    self.errors.append(self._describe(piece.path, row, fields))

    def _describe(self, path: Path, row: int, fields: list[bytes]) -> DataError:
        forms = list(self.kind.forms.values()) if self.form is None else [self.form]
        expected = " or ".join(f"'{form}'" for form in forms)
        if self.form is not None:
            expected += " as in the rest of the file"
        found = b" ".join(fields)[:100].decode("utf-8", "replace")
        return DataError(
            self._problem(fields, forms), file=path, row=row, expected=expected, found=f"'{found}'",
            fix="Correct the line",
        )  # fmt: skip

    def _problem(self, fields: list[bytes], forms: list[str]) -> str:
        if any(_fits(fields, form) for form in self.kind.forms.values()):
            return "another form than the rest of the file"
        columns = next((form.split() for form in forms if len(form.split()) == len(fields)), None)
        if columns is None:
            return "wrong number of fields"
        column, text = next(
            (column, text.decode())
            for column, text in zip(columns, fields, strict=True)
            if not _allowed(text, column)
        )
        return f"bad score '{text}'" if column == "score" else f"unknown label '{text}'"


def read_fields(path: str | Path, kind: FileKind, block: int) -> Iterator[Fields]:
    """The lines of a file, blank ones left out, at most `block` at a time.

    Raises `DataError` for a missing, unreadable or empty file, or one that can be read in two ways; and at the
    end of the file `DataErrors` with the lines that have not the form of most. After the first of them,
    the rest of the file is only checked.
    """
    path, mistakes = Path(path), _Mistakes(kind)
    for piece in read_pieces(path, kind.name):
        if mistakes.form is None:
            mistakes.form = _recognise(piece, kind)
        fields = None if mistakes.form is None else _parse(piece, mistakes.form)
        if fields is None:
            mistakes.add(piece)
        else:
            mistakes.rows += len(fields.rows)
            if not mistakes.count:
                yield from fields.blocks(block)
    if not mistakes.rows:
        raise DataError(f"the {kind.name} is empty", file=path, fix="Make it again")
    if mistakes.count:
        summary = f"{path}: {mistakes.count} of {mistakes.rows} rows of the {kind.name} are wrong"
        raise DataErrors(summary, mistakes.errors, mistakes.count)


def _recognise(piece: Piece, kind: FileKind) -> str | None:
    """The form that every line has, or else that of most; None where no line has any."""
    forms = kind.forms.values()
    fitting = {form: fields for form in forms if (fields := _parse(piece, form)) and len(fields.rows)}
    readings = [fields.content() for fields in fitting.values()]
    if any(reading != readings[0] for reading in readings):
        row, line = next(piece.lines())
        raise DataError(
            f"the {kind.name} can be read in two ways",
            file=piece.path,
            row=row,
            expected=" or ".join(f"'{form}'" for form in fitting),
            found=f"'{b' '.join(line).decode()}'",
            fix=kind.way_out,
        )
    if fitting:
        return next(iter(fitting))
    lines = [fields for _, fields in piece.lines()]
    counts = {form: sum(_fits(fields, form) for fields in lines) for form in forms}
    most = max(counts, key=counts.__getitem__)
    return most if counts[most] else None


def _parse(piece: Piece, form: str) -> Fields | None:
    """The lines of a piece; None unless all of them have the form."""
    names = form.split()
    read = piece.columns(len(names))
    if read is None:
        return None
    columns, rows = dict(zip(names, read[0], strict=True)), read[1]
    labels = scores = None
    try:
        for name in LABELS.keys() & columns.keys():
            labels = np.fromiter(map(LABELS[name].__getitem__, columns[name]), bool, len(rows))
        if "score" in columns:
            scores = np.fromiter(map(float, columns["score"]), np.float64, len(rows))
    except (KeyError, ValueError):
        return None
    if scores is not None and not np.isfinite(scores).all():
        return None
    return Fields(columns["enrol"], columns["test"], rows, labels, scores)


def _fits(fields: list[bytes], form: str) -> bool:
    columns = form.split()
    return len(fields) == len(columns) and all(map(_allowed, fields, columns))


def _allowed(text: bytes, column: str) -> bool:
    if column in LABELS:
        return text in LABELS[column]
    return column != "score" or _is_finite(text)


def _is_finite(text: bytes) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
