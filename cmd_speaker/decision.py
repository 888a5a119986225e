"""Is it the same speaker? The score of recordings, its log-likelihood ratio, and the threshold.

A folder, of a model or a registry, may hold a back-end (`backend.safetensors`) and the calibration that was
fitted on its scores (`calibration.json`). Without a calibration there are scores, and no decision follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.calibration.calibration import Calibration
from cmd_speaker.calibration.calibration_file import FILE_NAME, load_calibration, save_calibration
from cmd_speaker.calibration.qualities import Sides
from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.gallery import Gallery, Voices
from cmd_speaker.recording import Recording
from cmd_speaker.scoring.backend import Backend

MEASURES = ("duration", "norm", "cohort_mean")
"""The quality measures that follow from a recording, its model and the back-end."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Of N speakers with one recording: scores [N], and log-likelihood ratios [N] or None without calibration.

    `warnings` say which measures of these recordings lie beyond what the calibration has seen.
    """

    scores: np.ndarray
    llrs: np.ndarray | None = None
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Verification:
    """Whether two recordings have the same speaker; None where nothing decides.

    `llr` and `threshold`, a log-likelihood ratio too, and the operating point that the threshold follows from are
    None without a calibration. `warnings` say what is not known of the calibration, or of these recordings.
    """

    score: float
    llr: float | None = None
    threshold: float | None = None
    point: OperatingPoint | None = None
    same_speaker: bool | None = None
    warnings: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Decider:
    """A back-end with its calibration, or without: `calibration` is None where there is none.

    `warnings` say what is not known of them.
    """

    backend: Backend
    calibration: Calibration | None = None
    warnings: Sequence[str] = ()

    @classmethod
    def load(cls, folder: str | Path, model: str) -> Decider:
        """What the folder holds for embeddings of the model with the checksum `model`.

        Raises `DataError` for damaged files, and for a calibration of another back-end or model.
        """
        backend, path = Backend.load(folder), Path(folder) / FILE_NAME
        if not path.is_file():
            return cls(backend)
        calibration = load_calibration(path)
        record = {"backend": backend.description(), "embeddings": {"model": model}}
        return cls(backend, calibration, calibration.check(record, folder))

    def verify(self, a: Recording, b: Recording, point: OperatingPoint | None = None) -> Verification:
        """Two recordings, at the calibration's own prior unless `point` names prior and costs.

        Raises `UsageError` for a point without calibration, `DataError` for recordings that two models embedded,
        and as `compare` does.
        """
        if a.model is not None and b.model is not None and a.model != b.model:
            raise DataError(
                "embeddings of two models cannot be compared", expected=f"the model {a.model[:12]}...",
                found=f"the model {b.model[:12]}...", fix="Embed both recordings with one model",
            )  # fmt: skip
        found = self.compare([[a]], b)
        score, warnings = float(found.scores[0]), [*self.warnings, *found.warnings]
        if self.calibration is None or found.llrs is None:
            if point is not None:
                raise UsageError("an operating point needs a calibration: cmd-speaker calibrate --into")
            return Verification(score, warnings=warnings)
        llr = float(found.llrs[0])
        point = point or OperatingPoint(self.calibration.prior)
        threshold = self.calibration.threshold(point)
        return Verification(score, llr, threshold, point, llr >= threshold, warnings)

    def save(self, folder: str | Path) -> None:
        """Write back-end and calibration into a folder.

        Should it end between the two, the calibration left there no longer fits the back-end, and is refused.
        Raises `DataError` for a calibration that needs more than can be told from recordings.
        """
        assert self.calibration is not None, "a folder is given what decides"
        unknown = [column for column in self.calibration.columns if column not in MEASURES]
        if unknown or ("cohort_mean" in self.calibration.columns and self.backend.cohort is None):
            raise DataError(
                f"{', '.join(unknown) or 'cohort_mean'} cannot be computed from recordings",
                file=self.calibration.origin.scores["name"],
                expected=f"quality measures among {', '.join(MEASURES)}, the last with a cohort",
                found=", ".join(self.calibration.columns),
                fix="Calibrate without it, or keep the calibration for score files with --out",
            )
        self.backend.save(folder)
        save_calibration(Path(folder) / FILE_NAME, self.calibration)

    def compare(self, speakers: Sequence[Sequence[Recording]], test: Recording) -> Comparison:
        """Every speaker, who has one or more recordings, against one recording.

        As quality measures, the recordings of one speaker have their length together, the mean of their
        embeddings' norms, and the cohort mean of the averaged embedding. Raises `DataError` as the back-end does.
        """
        return self.compare_with(Gallery(self.backend, Voices.of(speakers)), test)

    def compare_with(self, gallery: Gallery, test: Recording) -> Comparison:
        """`compare` with speakers that are prepared already, for this back-end."""
        tested = self.backend.prepare(Embeddings(["test"], test.embedding[np.newaxis]))
        scores = gallery.scores(tested)
        if self.calibration is None:
            return Comparison(scores)
        qualities: dict[str, Sides] = {}
        for column in self.calibration.columns:
            value = self._measure(column, test, tested)
            qualities[column] = (gallery.measure(column), np.full(len(gallery), value))
        beyond = [
            f"a {column} lies beyond what the calibration has seen; the end of its range was taken"
            for column in self.calibration.outside(qualities)
        ]
        return Comparison(scores, self.calibration.llr(scores, qualities), beyond)

    def _measure(self, column: str, test: Recording, tested: np.ndarray) -> float:
        """A quality measure of the test recording, whose prepared embedding is `tested`, [1, D]."""
        if column == "cohort_mean":
            return float(self.backend.top_means(self.backend.points(tested))[0])
        return test.seconds if column == "duration" else float(np.linalg.norm(test.embedding))
