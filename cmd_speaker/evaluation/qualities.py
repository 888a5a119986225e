"""Quality measures: what is known of two recordings besides their score, and shifts its meaning.

A short or noisy recording gives scores of another size, and a calibration that knows of it can correct that.
A measure has one value an utterance; a trial has the lower and the higher one of its two sides, which are
the same whichever side is called the enrolment.

Sources: M. Mandasari et al., "Quality measure functions for calibration of speaker recognition systems in
various duration conditions", IEEE Transactions on Audio, Speech and Language Processing 21, 2013; J.
Thienpondt, B. Desplanques and K. Demuynck, "The IDLab VoxSRC-20 submission: large margin fine-tuning and
quality-aware score calibration in DNN based speaker verification", ICASSP 2021.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.evaluation.trials import Trials

Sides = tuple[np.ndarray, np.ndarray]
"""The values of one measure on the enrolment and on the test side of n trials, two float64 [n]."""
LOGARITHMIC = ("duration",)
"""Measures of which the ratio counts: twice the seconds are worth the same from 2 to 4 as from 4 to 8."""


@dataclass(frozen=True)
class Quality:
    """A measure with the statistics of the list it was fitted on, and its weights.

    `mean` and `scale` (standard deviation), `low` and `high` (the range) are of the values of both sides, of
    their logarithms in the case of `LOGARITHMIC`.
    """

    column: str
    mean: float
    scale: float
    low: float
    high: float
    lower_weight: float = 0.0
    higher_weight: float = 0.0

    @classmethod
    def of(cls, column: str, sides: Sides) -> Quality:
        """The measure with the statistics of `sides`; raises `DataError` as `values` does."""
        both = values(column, sides)
        return cls(column, float(both.mean()), float(both.std()), float(both.min()), float(both.max()))

    @property
    def is_logarithmic(self) -> bool:
        return self.column in LOGARITHMIC

    def features(self, sides: Sides) -> np.ndarray:
        """The lower and the higher side, standardised: float64 [n, 2].

        A value beyond the range of the fitting list counts as the end of the range: how scores behave
        out there nobody has seen. Raises `DataError` as `values` does.
        """
        within = np.clip(values(self.column, sides), self.low, self.high)
        return (np.sort(within, axis=1) - self.mean) / (self.scale or 1.0)

    def outside(self, sides: Sides) -> int:
        """How many trials have a side beyond the range of the fitting list."""
        both = values(self.column, sides)
        return int(np.count_nonzero(((both < self.low) | (both > self.high)).any(axis=1)))

    def llr(self, sides: Sides) -> np.ndarray:
        """What the measure adds to the log-likelihood ratio: float64 [n]."""
        return self.features(sides) @ np.array([self.lower_weight, self.higher_weight])


@dataclass(frozen=True, eq=False)
class Measures:
    """The values of measures by utterance: column -> utterance -> value."""

    columns: Mapping[str, Mapping[str, float]]
    paths: Sequence[Path] = ()

    def sides(self, trials: Trials) -> dict[str, Sides]:
        """The values of every measure on both sides of the trials; raises `DataErrors` for what has none."""
        used = np.unique(np.concatenate([trials.enrol, trials.test]))
        found, errors = {}, []
        for column, by_utterance in self.columns.items():
            table = np.full(len(trials.ids), np.nan)
            for k in used.tolist():
                if trials.ids[k] in by_utterance:
                    table[k] = by_utterance[trials.ids[k]]
                else:
                    errors.append(self._lacking(column, trials.ids[k]))
            found[column] = (table[trials.enrol], table[trials.test])
        if errors:
            raise DataErrors(f"{len(errors)} quality measures are lacking", errors)
        return found

    def _lacking(self, column: str, name: str) -> DataError:
        return DataError(
            f"no {column} of '{name}'", file=", ".join(map(str, self.paths)),
            expected="a row for every utterance and model", found="none", fix="Complete the table",
        )  # fmt: skip


def load_measures(paths: Sequence[str | Path], columns: Sequence[str]) -> Measures:
    """Read numeric columns of tables of utterances: CSVs with the column `ID`, as every manifest is.

    Raises `UsageError` for columns without a table, `DataError` for a file that is not such a table and for a
    column that no table has, or two, and `DataErrors` with every row without a number and every second row of an ID.
    """
    if columns and not paths:
        raise UsageError(f"quality measures ({', '.join(columns)}) need a table: give it with --metadata")
    tables = {Path(path): _read_table(Path(path)) for path in paths}
    found = {}
    for column in columns:
        having = [path for path, (names, _) in tables.items() if column in names]
        if len(having) != 1:
            raise DataError(
                f"{len(having) or 'none'} of the tables have the column '{column}'",
                file=", ".join(map(str, having or tables)), row=1, expected="one",
                found="; ".join(",".join(names) for names, _ in tables.values()),
                fix="Add the column, or remove it from all but one",
            )  # fmt: skip
        found[column] = _numbers(having[0], tables[having[0]][1], column)
    return Measures(found, list(tables))


Rows = Sequence[tuple[int, Mapping[str, str | None]]]
"""Line numbers and fields of a table."""


def _read_table(path: Path) -> tuple[Sequence[str], Rows]:
    """The columns and rows of a CSV with the column `ID`."""
    if not path.is_file():
        raise DataError("no such table", file=path, fix="Check the path")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            # Strict: an unbalanced quote would swallow the rows after it.
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            names = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            "the table is not a CSV file", file=path, expected="comma-separated UTF-8, quotes in pairs",
            found=error, fix="Save it as CSV (UTF-8)",
        ) from error  # fmt: skip
    if "ID" not in names:
        raise DataError(
            "the table does not say which utterance a row is about", file=path, row=1, expected="the column ID",
            found=",".join(names), fix="Add the column",
        )  # fmt: skip
    return names, rows


def _numbers(path: Path, rows: Rows, column: str) -> dict[str, float]:
    found: dict[str, float] = {}
    errors = []
    for number, row in rows:
        name, text = row["ID"] or "", row[column] or ""
        if name and name not in found and (value := _finite(text)) is not None:
            found[name] = value
            continue
        problem = f"a second row of '{name}'" if name in found else f"bad {column} of '{name}'"
        errors.append(
            DataError(
                problem,
                file=path,
                row=number,
                expected="each ID once, with a finite number",
                found=f"'{text}'",
                fix="Correct or remove the row",
            )  # fmt: skip
        )
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {len(rows)} rows are wrong", errors)
    return found


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def values(column: str, sides: Sides) -> np.ndarray:
    """Both sides of n trials as the calibration takes them: float64 [n, 2].

    Raises `DataError` where one is not finite, and where one should be positive and is not.
    """
    both = np.stack([np.asarray(side, np.float64) for side in sides], axis=1)
    good = np.isfinite(both)
    if column in LOGARITHMIC:
        good &= both > 0
    bad = np.argwhere(~good)
    if len(bad):
        raise DataError(
            f"bad {column} in trial {bad[0][0] + 1}",
            expected="a positive number" if column in LOGARITHMIC else "a finite number",
            found=both[tuple(bad[0])],
            fix="Correct the column",
        )
    return np.log(both) if column in LOGARITHMIC else both
