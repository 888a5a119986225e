"""Is it the same speaker? The score of recordings, its log-likelihood ratio, and the threshold.

A folder, of a model or a registry, may hold a back-end (`backend.safetensors`) and the calibration that was
fitted on its scores (`calibration.json`). Without a calibration there are scores, and no decision follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cmd_speaker.calibration.calibration import Calibration
from cmd_speaker.calibration.calibration_file import FILE_NAME, load_calibration, save_calibration
from cmd_speaker.calibration.qualities import Sides
from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.recording import Recording
from cmd_speaker.scoring.backend import Backend, score_all
from cmd_speaker.scoring.directions import averaged
from cmd_speaker.scoring.enrolment import combine
from cmd_speaker.scoring.normalisation import normalise

if TYPE_CHECKING:
    from cmd_speaker.model import SpeakerModel

MEASURES = ("duration", "norm", "cohort_mean")
"""The quality measures that follow from a recording, its model and the back-end."""


def embed_recording(model: SpeakerModel, path: str | Path, *, convert: bool = False) -> Recording:
    """Read and embed an audio file; raises `DataError` for audio that gives no trustworthy embedding."""
    return model.recording(path, convert=convert)


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

    `llr` and `threshold`, a log-likelihood ratio too, are None without a calibration. `warnings` say what is not
    known of the calibration, or of these recordings.
    """

    score: float
    llr: float | None = None
    threshold: float | None = None
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

        Raises `UsageError` for a point without calibration, `DataError` as `compare` does.
        """
        found = self.compare([[a]], b)
        score, warnings = float(found.scores[0]), [*self.warnings, *found.warnings]
        if self.calibration is None or found.llrs is None:
            if point is not None:
                raise UsageError("an operating point needs a calibration: cmd-speaker calibrate --into")
            return Verification(score, warnings=warnings)
        llr = float(found.llrs[0])
        threshold = self.calibration.threshold(point or OperatingPoint(self.calibration.prior))
        return Verification(score, llr, threshold, llr >= threshold, warnings)

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
        enrolled = np.concatenate([[recording.embedding for recording in own] for own in speakers])
        starts = np.cumsum([0, *(len(own) for own in speakers[:-1])])
        names = [f"recording {k + 1}" for k in range(len(enrolled))]
        units = self.backend.prepare(Embeddings(names, enrolled))
        averages = units
        if len(units) > len(speakers):
            averages = averaged(units, starts, [f"speaker {k + 1}" for k in range(len(speakers))])
        tested = self.backend.prepare(Embeddings(["test"], test.embedding[np.newaxis]))
        if self.backend.enrolment == "average" or len(units) == len(speakers):
            scores = self._score(averages, tested)
        else:
            scores = combine(self._score(units, tested), starts, self.backend.enrolment)
        if self.calibration is None:
            return Comparison(scores)
        qualities = self._qualities(speakers, averages, test, tested)
        beyond = [
            f"a {column} lies beyond what the calibration has seen; the end of its range was taken"
            for column in self.calibration.outside(qualities)
        ]
        return Comparison(scores, self.calibration.llr(scores, qualities), beyond)

    def _score(self, enrolled: np.ndarray, test: np.ndarray) -> np.ndarray:
        """The scores of prepared embeddings [N, D] against one, [1, D]: float32 [N]."""
        sides = [self.backend.points(units) for units in (enrolled, test)]
        statistics = [np.empty((len(side.vectors), 2)) for side in sides]
        if self.backend.normalises:
            names = [[f"recording {k + 1}" for k in range(len(enrolled))], ["test"]]
            statistics = [self.backend.statistics(*side) for side in zip(sides, names, strict=True)]
        scores = normalise(score_all(*sides), self.backend.norm, statistics[0][:, np.newaxis], statistics[1])
        return scores[:, 0]

    def _qualities(
        self,
        speakers: Sequence[Sequence[Recording]],
        averages: np.ndarray,
        test: Recording,
        tested: np.ndarray,
    ) -> Mapping[str, Sides]:
        """The measures that the calibration needs, of N speakers and of the test recording, two [N] each."""
        assert self.calibration is not None
        measures = {}
        for column in self.calibration.columns:
            if column == "cohort_mean":
                enrolled = self.backend.top_means(self.backend.points(averages))
                value = self.backend.top_means(self.backend.points(tested))[0]
            else:
                merge = np.sum if column == "duration" else np.mean
                enrolled = np.array([merge([_measure(column, own) for own in each]) for each in speakers])
                value = _measure(column, test)
            measures[column] = (enrolled, np.full(len(enrolled), value))
        return measures


def _measure(column: str, recording: Recording) -> float:
    if column == "duration":
        return recording.seconds
    return float(np.linalg.norm(recording.embedding))
