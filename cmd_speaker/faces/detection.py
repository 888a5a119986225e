"""Which face of a picture is meant, and where it is: MTCNN (Zhang et al. 2016) of facenet-pytorch.

Its weights come with that package, which is in the extra `faces`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.faces.alignment import resize

LEAST_SIDE, MOST_SIDE, MOST_LENGTH = 160, 640, 2560
"""The size to which a picture is brought before a face is looked for [ours]: pixels between which its shorter side
shall be, and which its longer one never exceeds."""
LEAST_FACE = 20
"""Pixels of the least face that is looked for in such a picture: MTCNN's own default."""


@dataclass(frozen=True)
class Face:
    """The chosen face of a picture: `box` [4] (left, top, right, bottom) and `points` [5, 2] in its pixels.

    `points` are the eyes, the nose and the corners of the mouth, the picture's left before its right.
    `found` counts the faces of the picture of which the detector is sure.
    """

    box: np.ndarray
    probability: float
    points: np.ndarray
    found: int

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "box": self.box.tolist(), "points": self.points.tolist()}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Face:
        """From what `as_dict` gave."""
        return cls(**{**stored, "box": np.array(stored["box"]), "points": np.array(stored["points"])})


class FaceDetector:
    """MTCNN on `device`. Of several faces the largest of at least `sure` is chosen, else the most probable.

    Raises `DataError` where facenet-pytorch is missing.
    """

    def __init__(self, device: str = "cpu", sure: float = 0.9) -> None:
        import torch

        self.sure = sure
        with torch.random.fork_rng(devices=[]):
            self.network = facenet().MTCNN(
                min_face_size=LEAST_FACE, select_largest=False, device=torch.device(device)
            )

    def detect(self, pictures: Sequence[np.ndarray]) -> list[Face | None]:
        """The chosen face of each picture, uint8 [height, width, 3] of any size; None: there is none.

        Pictures that have one size when they are scaled go through the network together.
        """
        found: list[Face | None] = [None] * len(pictures)
        groups: dict[tuple[int, int], list[int]] = {}
        for place, picture in enumerate(pictures):
            groups.setdefault(_scaled_size(*picture.shape[:2]), []).append(place)
        for (height, width), places in groups.items():
            scaled = [resize(pictures[place], height, width) for place in places]
            for place, face in zip(places, self._detect_equal(scaled), strict=True):
                if face is not None:
                    found[place] = _unscaled(face, pictures[place].shape, (height, width))
        return found

    def _detect_equal(self, pictures: list[np.ndarray]) -> list[Face | None]:
        try:
            # Always as a batch: a single picture comes back in another form.
            boxes, probabilities, points = self.network.detect(np.stack(pictures), landmarks=True)
        except (IndexError, ValueError):
            # Where boxes lie outside a picture, or a picture is narrower than a face, MTCNN loses count and with
            # it the whole batch: nothing is found in the picture that does it, the others are looked at alone.
            if len(pictures) == 1:
                return [None]
            return [self._detect_equal([picture])[0] for picture in pictures]
        return [self._choose(*found) for found in zip(boxes, probabilities, points, strict=True)]

    def _choose(self, boxes: np.ndarray | None, probabilities: np.ndarray, points: np.ndarray) -> Face | None:
        if boxes is None:
            return None
        boxes, probabilities = np.asarray(boxes, np.float64), np.asarray(probabilities, np.float64)
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        sure = probabilities >= self.sure
        best = int(np.argmax(np.where(sure, areas, -1) if sure.any() else probabilities))
        chosen = np.asarray(points[best], np.float64)
        return Face(boxes[best], float(probabilities[best]), chosen, int(sure.sum()))


def facenet() -> ModuleType:
    """The package facenet-pytorch; raises `DataError` where it is not installed."""
    try:
        import facenet_pytorch
    except ImportError as error:
        raise DataError("faces need facenet-pytorch", fix="pip install 'cmd-speaker[faces]'") from error
    return facenet_pytorch


def _scaled_size(height: int, width: int) -> tuple[int, int]:
    shorter, longer = sorted((height, width))
    scale = min(max(LEAST_SIDE / shorter, 1), MOST_SIDE / shorter, MOST_LENGTH / longer)
    return max(1, round(scale * height)), max(1, round(scale * width))


def _unscaled(face: Face, shape: tuple[int, ...], scaled: tuple[int, int]) -> Face | None:
    """The face in the pixels of the picture as it was, whose `shape` begins with height and width.

    None where not a pixel of it is in the picture.
    """
    factors = np.array([shape[1] / scaled[1], shape[0] / scaled[0]])
    box = np.clip(face.box * np.tile(factors, 2), 0, np.tile([shape[1], shape[0]], 2))
    return replace(face, box=box, points=face.points * factors) if (box[2:] - box[:2]).min() >= 1 else None
