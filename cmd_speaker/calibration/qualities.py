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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.lists.metadata import Metadata
from cmd_speaker.lists.trials import Trials

Sides = tuple[np.ndarray, np.ndarray]
"""The values of one measure on the enrolment and on the test side of n trials, two float64 [n]."""
LOGARITHMIC = ("duration",)
"""Measures of which the ratio counts: twice the seconds are worth the same from 2 to 4 as from 4 to 8."""

ROUNDING = 1e-3
"""Tables have rounded numbers: so far beyond the range, in standard deviations, is not outside it."""


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
        both, slack = values(self.column, sides), ROUNDING * self.scale
        beyond = (both < self.low - slack) | (both > self.high + slack)
        return int(np.count_nonzero(beyond.any(axis=1)))

    def llr(self, sides: Sides) -> np.ndarray:
        """What the measure adds to the log-likelihood ratio: float64 [n]."""
        lower, higher = self.features(sides).T
        # Not a matrix product: that would round a single trial otherwise than the same trial among others.
        return self.lower_weight * lower + self.higher_weight * higher


def trial_qualities(trials: Trials, tables: Sequence[Metadata], columns: Sequence[str]) -> dict[str, Sides]:
    """The measures `columns` on both sides of the trials, from the tables that have them.

    Raises `UsageError` for columns without a table, `DataError` for a column that no table has, or two, and
    `DataErrors` for every utterance of which a measure is not known.
    """
    if columns and not tables:
        raise UsageError(f"quality measures ({', '.join(columns)}) need a table: give it with --metadata")
    used = np.unique(np.concatenate([trials.enrol, trials.test]))
    names = [trials.ids[k] for k in used.tolist()]
    found, errors = {}, []
    for column in columns:
        table = _table_of(column, tables)
        numbers = table.numbers(column, names)
        errors += [_lacking(column, names[k], table) for k in np.flatnonzero(np.isnan(numbers)).tolist()]
        by_utterance = np.full(len(trials.ids), np.nan)
        by_utterance[used] = numbers
        found[column] = (by_utterance[trials.enrol], by_utterance[trials.test])
    if errors:
        raise DataErrors(f"{len(errors)} quality measures are not known", errors)
    return found


def _table_of(column: str, tables: Sequence[Metadata]) -> Metadata:
    having = [table for table in tables if column in table.columns]
    if len(having) != 1:
        raise DataError(
            f"{len(having) or 'none'} of {len(tables)} tables have the column '{column}'",
            file=", ".join(str(table.path) for table in having or tables), row=1, expected="one that has",
            found="; ".join(",".join(table.columns) for table in tables),
            fix="Add the column, or remove it from all but one",
        )  # fmt: skip
    return having[0]


def _lacking(column: str, name: str, table: Metadata) -> DataError:
    return DataError(
        f"no {column} of '{name}'", file=table.path, expected="a number for every utterance and model",
        found="none", fix="Complete the table",
    )  # fmt: skip


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
