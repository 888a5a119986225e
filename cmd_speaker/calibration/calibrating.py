"""Calibrations and files: fitted to a score file, and applied to scores on their way into another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.calibration.calibration import (
    DEFAULT_PRIOR,
    Calibration,
    Origin,
    fit_calibration,
    refuse_calibrated,
)
from cmd_speaker.calibration.calibration_file import describe, load_calibration
from cmd_speaker.calibration.qualities import trial_qualities
from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.llr import cllr, min_cllr
from cmd_speaker.files import file_checksum
from cmd_speaker.lists.metadata import Metadata, load_metadata
from cmd_speaker.lists.scores import Scores, attach_labels, load_scores
from cmd_speaker.lists.trials import Trials, load_trials
from cmd_speaker.scoring.record import load_record, scores_checksum


@dataclass(frozen=True)
class Fitted:
    """A calibration with Cllr on its own list, in bits: of the scores as if they were LLRs, of the LLRs, and
    the least that any calibration without quality measures reaches.

    `unlisted` scores had no trial in the list; `warnings` say what a reader must know.
    """

    calibration: Calibration
    cllr_before: float
    cllr_after: float
    min_cllr: float
    unlisted: int
    warnings: Sequence[str]


def calibrate_file(
    path: str | Path,
    trials: str | Path | None = None,
    *,
    prior: float = DEFAULT_PRIOR,
    metadata: Sequence[str | Path] = (),
    columns: Sequence[str] = (),
) -> Fitted:
    """Fit a calibration to a score file, with the labels of `trials` where it has none.

    `columns` of the tables `metadata` are quality measures. Raises `DataError` and `UsageError` for files that
    are not what they should be, and as `fit_calibration` does.
    """
    path = Path(path)
    tables = [load_metadata(table) for table in metadata]
    scores, unlisted = load_scores(path), 0
    if trials is not None:
        scores, unlisted = attach_labels(scores, load_trials(trials))
    labels = scores.known_labels()
    record = load_record(path)
    warnings = []
    if record is None:
        warnings.append(
            f"{path} has no record, so nothing will tell whether scores that are calibrated with this are of "
            "the same model and back-end"
        )
        record = {}
    refuse_calibrated(record, path)
    origin = Origin(
        scores={"name": path.name, "sha256": scores_checksum(path, record)},
        trials=record.get("trials") if trials is None else _named(Path(trials)),
        backend=record.get("backend"),
        model=(record.get("embeddings") or {}).get("model"),
        speakers=_count_speakers(scores.trials, tables),
    )
    sides = trial_qualities(scores.trials, tables, columns)
    try:
        calibration = fit_calibration(scores.scores, labels, origin, prior=prior, qualities=sides)
    except DataError as error:
        raise error.at(path) from error
    return Fitted(
        calibration,
        cllr(scores.scores, labels),
        cllr(calibration.llr(scores.scores, sides), labels),
        min_cllr(scores.scores, labels),
        unlisted,
        [*warnings, *calibration.doubts],
    )


class Calibrator:
    """Turns scores into log-likelihood ratios, block by block; `warnings` says what a reader must know.

    Takes the file of a calibration, and the tables that have its quality measures. Raises `DataError` as
    `load_calibration` does.
    """

    def __init__(self, path: str | Path, tables: Sequence[Metadata] = ()) -> None:
        self.path = Path(path)
        self.files = (self.path, *(table.path for table in tables))
        self.calibration = load_calibration(path)
        self._tables = tables
        self._outside: Counter[str] = Counter()
        self._checked: list[str] = []

    def check(self, record: Mapping[str, Any] | None, what: str | Path, sha256: str | None = None) -> None:
        """Refuse scores that it does not fit; see `Calibration.check`."""
        self._checked += self.calibration.check(record, what, sha256)

    def apply(self, blocks: Iterable[Scores]) -> Iterator[Scores]:
        """The log-likelihood ratios of each block; raises as `trial_qualities` does."""
        for scores in blocks:
            sides = trial_qualities(scores.trials, self._tables, self.calibration.columns)
            self._outside.update(self.calibration.outside(sides))
            yield Scores(scores.trials, self.calibration.llr(scores.scores, sides))

    def describe(self) -> dict[str, Any]:
        """The calibration with its file, for the record of the LLRs."""
        return {**_named(self.path), **describe(self.calibration)}

    @property
    def warnings(self) -> list[str]:
        beyond = [
            f"{count} trials have a {column} beyond what the calibration has seen; the end of its range was taken"
            for column, count in self._outside.items()
        ]
        return [*self._checked, *beyond]


def _count_speakers(trials: Trials, tables: Sequence[Metadata]) -> int | None:
    """How many speakers occur in the trials; None where no table says who speaks in all of them."""
    for table in tables:
        if "spk_id" in table.columns and not table.by_speaker:
            used = np.unique(np.concatenate([trials.enrol, trials.test]))
            speakers = set(table.values("spk_id", [trials.ids[k] for k in used.tolist()]))
            return None if None in speakers else len(speakers)
    return None


def _named(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": file_checksum(path)}
