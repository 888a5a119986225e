"""What becomes of pictures: an embedding of the face, or a reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.faces.detection import Face, FaceDetector
from cmd_speaker.faces.encoders import FaceEncoder
from cmd_speaker.faces.sources import FaceSource
from cmd_speaker.quality import image
from cmd_speaker.teachers.pictures import GIVEN

USED = "used"
REASONS = {
    "missing": "named in the manifest, not there",
    "unreadable": "not readable as a picture or video",
    "undetected": "no face found",
    "too_unsure": "detector's probability too low",
    "too_small": "face too small",
    "not_embedded": "no usable embedding came out",
}
"""Why a picture gives no embedding, and in words."""


@dataclass(frozen=True)
class Rules:
    """Which faces are good enough: least probability of the detector, least shorter side in pixels."""

    min_probability: float
    min_size: float

    def judge(self, quality: dict[str, float]) -> str:
        if quality.get(GIVEN, 1.0) < self.min_probability:
            return "too_unsure"
        return "too_small" if quality["face_size"] < self.min_size else USED


@dataclass(frozen=True)
class Outcome:
    """`status` is `USED` or one of `REASONS`, `detail` says more; `quality` is measured on the face as it was."""

    id: str
    status: str
    detail: str = ""
    face: Face | None = None
    quality: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "face": self.face and self.face.as_dict()}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Outcome:
        """From what `as_dict` gave."""
        return cls(**{**stored, "face": stored["face"] and Face.of(stored["face"])})


class FaceEmbedder:
    """Pictures -> outcomes and embeddings; without a `detector` the pictures are crops already."""

    def __init__(self, encoder: FaceEncoder, detector: FaceDetector | None, rules: Rules) -> None:
        self.encoder, self.detector, self.rules = encoder, detector, rules

    def embed(
        self, sources: Sequence[FaceSource], read: Sequence[np.ndarray | DataError]
    ) -> tuple[list[Outcome], np.ndarray]:
        """The outcome of each picture, and the embeddings [k, D] of those that are used, in their order.

        `read` is what `read_or_error` gave; the pictures go through detector and encoder together.
        """
        pictures = [each for each in read if isinstance(each, np.ndarray)]
        faces = self.detector.detect(pictures) if self.detector else [None] * len(pictures)
        found = iter(zip(pictures, faces, strict=True))
        outcomes, crops = [], []
        for source, each in zip(sources, read, strict=True):
            if isinstance(each, DataError):
                outcomes.append(Outcome(source.id, "unreadable", f"{each.problem}: {each.found}"))
                continue
            picture, face = next(found)
            outcomes.append(self._judge(source, picture, face))
            if outcomes[-1].status == USED:
                crops.append(self.encoder.crop(picture, face))
        if not crops:
            return outcomes, np.empty((0, 0), np.float32)
        vectors = self.encoder.embed(np.stack(crops))
        usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
        return list(_without_unusable(outcomes, usable)), vectors[usable]

    def _judge(self, source: FaceSource, picture: np.ndarray, face: Face | None) -> Outcome:
        if self.detector is None:
            quality = {**source.quality, **_measure(picture)}
        elif face is None:
            return Outcome(source.id, "undetected", f"{picture.shape[1]} x {picture.shape[0]} pixels")
        else:
            quality = {GIVEN: face.probability, **_measure(_region(picture, face))}
        status = self.rules.judge(quality)
        known = ", ".join(f"{name} {value:.4g}" for name, value in quality.items())
        return Outcome(source.id, status, "" if status == USED else known, face, quality)


def read_or_error(source: FaceSource) -> np.ndarray | DataError:
    """The pixels, or what is wrong with the file."""
    try:
        return source.read()
    except DataError as error:
        return error


def _region(picture: np.ndarray, face: Face) -> np.ndarray:
    """The box in the picture as it was."""
    left, top = np.floor(face.box[:2]).astype(int)
    right, bottom = np.ceil(face.box[2:]).astype(int)
    return picture[top:bottom, left:right]


def _measure(picture: np.ndarray) -> dict[str, float]:
    return {name: measure(picture.transpose(2, 0, 1)) for name, measure in sorted(image.MEASURES.items())}


def _without_unusable(outcomes: Iterable[Outcome], usable: np.ndarray) -> Iterator[Outcome]:
    """The outcomes, in which those that are used have an embedding that is one."""
    fine = iter(usable.tolist())
    for outcome in outcomes:
        if outcome.status == USED and not next(fine):
            yield replace(outcome, status="not_embedded", detail="not finite, or of length 0")
        else:
            yield outcome
