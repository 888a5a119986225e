"""A calibration from files: scores, labels and quality measures in, weights and what they bring out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.calibration import (
    DEFAULT_PRIOR,
    Calibration,
    Origin,
    fit_calibration,
    refuse_calibrated,
)
from cmd_speaker.evaluation.llr import cllr, min_cllr
from cmd_speaker.evaluation.qualities import load_measures
from cmd_speaker.evaluation.record import load_record
from cmd_speaker.evaluation.scores import Scores, attach_labels, load_scores
from cmd_speaker.evaluation.trials import load_trials
from cmd_speaker.files import file_checksum


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
    metadata: str | Path | None = None,
    columns: Sequence[str] = (),
) -> Fitted:
    """Fit a calibration to a score file, with the labels of `trials` where it has none.

    `columns` of the table `metadata` are quality measures. Raises `DataError` and `UsageError` for files that
    are not what they should be, and as `fit_calibration` does.
    """
    path = Path(path)
    measures = load_measures(metadata, columns)
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
        scores={"name": path.name, "sha256": file_checksum(path)},
        trials=record.get("trials") if trials is None else _named(Path(trials)),
        backend=record.get("backend"),
        model=(record.get("embeddings") or {}).get("model"),
    )
    sides = measures.sides(scores.trials)
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


def _named(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": file_checksum(path)}
