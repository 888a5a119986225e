"""A face encoder as an ONNX file, as ArcFace (Deng et al. 2019) is passed on: any size of picture and embedding.

Needs onnxruntime, which is in the extra `faces`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.faces.alignment import ARCFACE_PIXELS, crop_points, resize
from cmd_speaker.faces.detection import Face
from cmd_speaker.files import file_checksum, json_checksum

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class ArcFaceInput:
    """What the graph is given: (pixel - mean) / scale of a picture whose colours are `rgb` or `bgr`."""

    colours: str = "rgb"
    mean: float = 127.5
    scale: float = 127.5

    def __post_init__(self) -> None:
        if self.colours not in ("rgb", "bgr") or self.scale == 0:
            raise UsageError(f"expected colours rgb or bgr and a scale other than 0, found {self}")


class OnnxEncoder:
    """A graph with one input, [n, 3, H, W] or [n, H, W, 3], and an embedding [n, D] as its first output.

    n may be fixed, H and W free (then 112). `batch_size` pictures go at once unless the graph says how many.
    Raises `DataError` where onnxruntime is missing or the graph is another.
    """

    def __init__(self, path: Path, device: str, form: ArcFaceInput, batch_size: int) -> None:
        self.path, self.form = path, form
        self.session = _open(path, device)
        inputs = self.session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        channels = next((axis for axis in (1, 3) if len(shape) == 4 and shape[axis] == 3), None)
        if channels is None or inputs[0].type not in TYPES:
            raise self._refused(", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs))
        self.channels_first, self.dtype, self.input = channels == 1, TYPES[inputs[0].type], inputs[0].name
        sides = shape[2:] if self.channels_first else shape[1:3]
        self.height, self.width = (_fixed(side) or ARCFACE_PIXELS for side in sides)
        self.batch = _fixed(shape[0])
        self.batch_size = self.batch or batch_size
        self.output = self.session.get_outputs()[0].name
        self._try()
        given = f"{form.colours}, ({form.mean:g}, {form.scale:g})"
        self.model = f"{path.name}, SHA-256 {_checksum(path)}, {given}"

    def crop(self, picture: np.ndarray, face: Face | None) -> np.ndarray:
        if face is None:
            return resize(picture, self.height, self.width)
        return crop_points(picture, face.points, self.height, self.width)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        parts = [self._run(crops[k : k + self.batch_size]) for k in range(0, len(crops), self.batch_size)]
        return np.concatenate([part.reshape(len(part), -1) for part in parts]).astype(np.float32)

    def _run(self, crops: np.ndarray) -> np.ndarray:
        images = crops[..., ::-1] if self.form.colours == "bgr" else crops
        images = (images.astype(np.float32) - self.form.mean) / self.form.scale
        if self.batch:
            images = np.concatenate(
                [images, np.zeros((self.batch - len(crops), *images.shape[1:]), np.float32)]
            )
        if self.channels_first:
            images = images.transpose(0, 3, 1, 2)
        found = self.session.run([self.output], {self.input: np.ascontiguousarray(images, self.dtype)})[0]
        return np.asarray(found)[: len(crops)]

    def _try(self) -> None:
        """Two black pictures: what a graph says of the shape of its output is often wrong."""
        count = min(2, self.batch_size)
        try:
            found = self._run(np.zeros((count, self.height, self.width, 3), np.uint8))
        # onnxruntime's own errors have no common base but Exception.
        except Exception as error:
            if self.batch or count == 1:
                raise self._refused(str(error).partition("\n")[0]) from error
            # Some graphs say that n is free, and have a 1 somewhere inside.
            self.batch = self.batch_size = 1
            self._try()
            return
        if found.ndim < 2 or found.shape != (count, found.shape[1], *[1] * (found.ndim - 2)):
            raise self._refused(f"an output {self.output} {list(found.shape)} for {count} pictures")

    def _refused(self, found: str) -> DataError:
        return DataError(
            "not a face encoder", file=self.path,
            expected="one input of floats [n, 3, H, W] or [n, H, W, 3] and a first output [n, D]", found=found,
            fix="Give the graph of the encoder alone, without detector or classifier",
        )  # fmt: skip


def _checksum(path: Path) -> str:
    """SHA-256 of the graph, and of the files beside it that hold weights: over 2 GB they must.

    Each of these is named in a protobuf entry of the key "location" and a value of at most 127 bytes.
    """
    graph = path.read_bytes()
    entries = re.finditer(rb"\n\x08location\x12([\x01-\x7f])", graph)
    names = {graph[entry.end() : entry.end() + entry[1][0]].decode(errors="replace") for entry in entries}
    beside = [file_checksum(file) for name in sorted(names) if (file := path.parent / name).is_file()]
    return json_checksum([file_checksum(path), *beside]) if beside else file_checksum(path)


def _fixed(side: int | str | None) -> int | None:
    """A number in the shape of an input; a free one has a name, nothing or, in some exports, -1."""
    return side if isinstance(side, int) and side > 0 else None


def _open(path: Path, device: str) -> Any:
    runtime = _runtime()
    kind = device.split(":")[0]
    provider = PROVIDERS.get(kind)
    if provider not in runtime.get_available_providers():
        raise UsageError(
            f"onnxruntime cannot use the device '{device}': expected one of "
            f"{', '.join(runtime.get_available_providers())}; a GPU needs the package onnxruntime-gpu"
        )
    if not path.is_file():
        raise DataError("no such face encoder", file=path, fix="Check the path")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    place = {"device_id": int(device.split(":")[1])} if ":" in device else {}
    try:
        return runtime.InferenceSession(str(path), options, providers=[(provider, place)])
    # onnxruntime's own errors have no common base but Exception.
    except Exception as error:
        raise DataError(
            "not an ONNX graph that onnxruntime can load", file=path, found=str(error).partition("\n")[0],
            fix="Export it again, or copy it again, with the file of its weights beside it if it has one",
        ) from error  # fmt: skip


def _runtime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError(
            "an ONNX encoder needs onnxruntime", fix="pip install 'cmd-speaker[faces]'"
        ) from error
    return onnxruntime
