"""What makes an embedding of a face, chosen by name or file."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from cmd_speaker.errors import UsageError
from cmd_speaker.faces.detection import Face
from cmd_speaker.faces.inception import PUBLISHED, InceptionEncoder
from cmd_speaker.faces.onnx_encoder import ArcFaceInput, OnnxEncoder


class FaceEncoder(Protocol):
    """`model` names the encoder, its weights and what it is given, for the file of embeddings."""

    model: str

    def crop(self, picture: np.ndarray, face: Face | None) -> np.ndarray:
        """What the encoder sees of a picture, uint8 [H, W, 3]; without a face the whole picture, resized."""

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Crops uint8 [n, H, W, 3] -> float32 [n, D], as the encoder gives them."""


def open_encoder(
    name: str | Path, device: str = "cpu", form: ArcFaceInput | None = None, batch_size: int = 32
) -> FaceEncoder:
    """InceptionResnetV1 by the name of what it was trained on or from a .pt file, or any encoder as .onnx.

    `form` says what the ONNX graph is given; ArcFace's unless said. Raises `UsageError` for another name or
    device, `DataError` for a file that holds no such encoder.
    """
    name, suffix = str(name), Path(name).suffix.lower()
    if suffix == ".onnx":
        return OnnxEncoder(Path(name), device, form or ArcFaceInput(), batch_size)
    if form is not None:
        raise UsageError(f"colours, mean and scale are those of an ONNX encoder, not of '{name}'")
    if suffix == ".pt":
        return InceptionEncoder.from_file(Path(name), device)
    if name not in PUBLISHED:
        raise UsageError(
            f"unknown face encoder '{name}': expected {', '.join(PUBLISHED)}, or a file .pt or .onnx"
        )
    return InceptionEncoder.published(name, device)
