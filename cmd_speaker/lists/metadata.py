"""Tables of what is known of utterances or speakers: gender, age, duration, session, quality measures.

A table is a CSV file, separated by commas or tabs, whose first row names the columns. Its key is the column `ID`
(utterances; a manifest is such a table) or else `spk_id`, `VoxCeleb1 ID` or `VoxCeleb2 ID` (speakers). Blanks
around values do not count. Where a value is empty, `nan` or `unknown`, it is not known.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError, DataErrors

UTTERANCE_KEY = "ID"
SPEAKER_KEYS = ("spk_id", "VoxCeleb1 ID", "VoxCeleb2 ID")
UNKNOWN = {"", "nan", "unknown"}


@dataclass(frozen=True)
class Metadata:
    """A table: `rows` maps the key, an utterance or a speaker, to its line and its values by column."""

    path: Path
    columns: Sequence[str]
    by_speaker: bool
    rows: Mapping[str, tuple[int, Mapping[str, str]]]

    def values(
        self, column: str, utterances: Sequence[str], utt2spk: Mapping[str, str] | None = None
    ) -> list[str | None]:
        """The value of every utterance, None where it is not known.

        A table of speakers needs `utt2spk`; without it the part of an id before the first `/` is taken, if that
        is a key of the table for every one of them, as in VoxCeleb. Raises `DataError` for a column that the table
        does not have, for speakers that are not known, and where it has none of the utterances.
        """
        if column not in self.columns:
            raise DataError(
                f"the table has no column '{column}'", file=self.path, row=1, expected=column,
                found=", ".join(self.columns), fix="Choose one of these columns",
            )  # fmt: skip
        keys = self._speakers(utterances, utt2spk) if self.by_speaker else utterances
        known = [self.rows[key][1][column] if key in self.rows else None for key in keys]
        if utterances and not any(key in self.rows for key in keys):
            raise DataError(
                f"the table has none of the {len(utterances)} utterances", file=self.path,
                expected=f"{'speakers' if self.by_speaker else 'ids'} like '{keys[0]}'",
                found=f"'{next(iter(self.rows))}'", fix="Use the same names in both",
            )  # fmt: skip
        return [None if value is None or value.casefold() in UNKNOWN else value for value in known]

    def numbers(
        self, column: str, utterances: Sequence[str], utt2spk: Mapping[str, str] | None = None
    ) -> np.ndarray:
        """As `values`, float64 [n], NaN where not known; raises `DataErrors` for every value that is no number."""
        values = self.values(column, utterances, utt2spk)
        numbers = np.array([_number(value) for value in values], dtype=np.float64)
        wrong = {values[k] for k in np.flatnonzero(~np.isfinite(numbers)).tolist()}
        errors = [
            DataError(
                f"'{fields[column]}' in the column '{column}' is not a number", file=self.path, row=row,
                expected="a finite number, or nothing", found=f"'{fields[column]}'", fix="Correct the value",
            )
            for row, fields in self.rows.values()
            if fields[column] in wrong
        ]  # fmt: skip
        if errors:
            raise DataErrors(f"{self.path}: {len(errors)} values of '{column}' are not numbers", errors)
        return numbers

    def _speakers(self, utterances: Sequence[str], utt2spk: Mapping[str, str] | None) -> list[str]:
        if utt2spk is None:
            speakers = [name.split("/", 1)[0] for name in utterances]
            if all(speaker in self.rows for speaker in speakers):
                return speakers
            raise DataError(
                "the table is about speakers, and it is not known who speaks", file=self.path,
                expected=f"a list of speakers, or ids that begin with its speakers, '{next(iter(self.rows))}/'",
                found=next(f"'{name}'" for name, speaker in zip(utterances, speakers, strict=True)
                           if speaker not in self.rows),
                fix="Give the speakers with --speakers",
            )  # fmt: skip
        missing = [name for name in utterances if name not in utt2spk]
        if missing:
            raise DataError(
                f"the speaker of '{missing[0]}' is not known", file=self.path,
                expected="a speaker for every utterance", found=f"{len(missing)} without one",
                fix="Give the list of speakers that covers all utterances",
            )  # fmt: skip
        return [utt2spk[name] for name in utterances]


def load_metadata(path: str | Path) -> Metadata:
    """Read a table.

    Raises `DataError` for a missing, unreadable or empty file and for one without a key column or with two columns
    of one name, and `DataErrors` with every row that has another number of values, no key, or one seen before.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("no such metadata table", file=path, fix="Check the path")
    try:
        # Not str.splitlines: it would end a line at a form feed or U+2028 in a transcript.
        lines = list(StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError as error:
        raise DataError(
            "the metadata table is not text", file=path, expected="UTF-8",
            found=f"the byte 0x{error.object[error.start]:02x}", fix="Convert it to UTF-8",
        ) from error  # fmt: skip
    table = list(_split(path, lines))
    if len(table) < 2:
        raise DataError("the metadata table is empty", file=path, fix="Make it again")
    columns = table[0][1]
    place, by_speaker = _key(path, columns)
    rows: dict[str, tuple[int, Mapping[str, str]]] = {}
    errors = []
    for row, fields in table[1:]:
        if len(fields) != len(columns):
            problem, found = "wrong number of values", len(fields)
            errors.append(_wrong(path, row, problem, f"{len(columns)}, as there are columns", found))
        elif not fields[place]:
            errors.append(_wrong(path, row, "no key", f"a value of '{columns[place]}'", "none"))
        elif fields[place] in rows:
            problem = f"a second row for '{fields[place]}'"
            errors.append(_wrong(path, row, problem, "one", f"another in row {rows[fields[place]][0]}"))
        else:
            rows[fields[place]] = row, dict(zip(columns, fields, strict=True))
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {len(table) - 1} rows are wrong", errors)
    return Metadata(path, columns, by_speaker, rows)


def _split(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of every line that is not blank."""
    lines = list(lines)
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    # Strict: an unbalanced quote would swallow the rows after it.
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num, [field.strip() for field in fields]
    except csv.Error as error:
        raise DataError(
            "the metadata table is not a CSV file", file=path, row=reader.line_num,
            expected="quotes in pairs", found=str(error), fix="Correct the row",
        ) from error  # fmt: skip


def _key(path: Path, columns: Sequence[str]) -> tuple[int, bool]:
    """Which column is the key, and whether it names speakers."""
    if len(set(columns)) < len(columns):
        raise _wrong(path, 1, "two columns have one name", "different names", ", ".join(columns))
    for name in (UTTERANCE_KEY, *SPEAKER_KEYS):
        if name in columns:
            return columns.index(name), name != UTTERANCE_KEY
    expected = f"a column {', '.join((UTTERANCE_KEY, *SPEAKER_KEYS))}"
    raise _wrong(path, 1, "the table has no key column", expected, ", ".join(columns))


def _wrong(path: Path, row: int, problem: str, expected: str, found: object) -> DataError:
    return DataError(problem, file=path, row=row, expected=expected, found=found, fix="Correct the table")


def _number(value: str | None) -> float:
    try:
        return float(value) if value is not None else np.nan
    except ValueError:
        return np.nan
