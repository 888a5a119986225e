"""The model folder: `model.safetensors` beside `model.json`, readable without running any of its code.

`model.json` holds the architecture and its arguments, the front-end, the sample rate, the checksum of
the weights, a self-test (the embedding of a fixed signal) and its own checksum. Names are looked up in
the tables of `cmd_speaker.students` and `cmd_speaker.features`; nothing else is ever instantiated.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.encoder import SpeakerEncoder, embed_all
from cmd_speaker.errors import DataError
from cmd_speaker.features import FRONT_ENDS
from cmd_speaker.files import as_json, file_checksum, json_checksum, write_atomically, write_json
from cmd_speaker.students import STUDENTS

FORMAT_VERSION = 1
SELF_TEST_SECONDS = 1.0
SELF_TEST_TOLERANCE = 1e-3
"""Largest difference between two machines' embeddings, relative to the embedding's norm."""
UNFIT = (
    KeyError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError, AssertionError, SafetensorError
)  # fmt: skip
"""What comes of arguments and weights that were made up."""


def self_test_signal() -> np.ndarray:
    """A fixed signal, float32 [16000]: a chirp from 100 Hz to 7 kHz and noise from a congruential generator."""
    n = int(SELF_TEST_SECONDS * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    chirp = np.sin(2 * np.pi * (100 * time + 0.5 * (7000 - 100) / SELF_TEST_SECONDS * time**2))
    state, noise = 1, np.empty(n)
    for i in range(n):  # Numerical Recipes' constants; independent of any library's generator
        state = (1664525 * state + 1013904223) % 2**32
        noise[i] = state / 2**31 - 1
    return (0.3 * chirp + 0.1 * noise).astype(np.float32)


def save_model_folder(
    folder: str | Path, encoder: SpeakerEncoder, provenance: dict[str, Any]
) -> dict[str, Any]:
    """Write `encoder` (on any device) into `folder`; `provenance` says what it was trained on.

    Returns the description, as `load_model_folder` does.
    """
    folder = Path(folder)
    encoder = encoder.eval()
    weights = folder / "model.safetensors"
    with write_atomically(weights) as temporary:
        save_file({k: v.contiguous().cpu() for k, v in encoder.student.state_dict().items()}, temporary)
    description = {
        "format_version": FORMAT_VERSION,
        "architecture": _name_of(encoder.student, STUDENTS),
        "arguments": encoder.student.config(),
        "front_end": {
            "name": _name_of(encoder.front_end, FRONT_ENDS),
            "arguments": encoder.front_end.config(),
        },
        "normalisation": "sentence_mean",
        "sample_rate": SAMPLE_RATE,
        "weights_sha256": file_checksum(weights),
        # PyTorch's, whatever engine the encoder has: the same model has the same checksum.
        "self_test": _self_test_embedding(SpeakerEncoder(encoder.front_end, encoder.student)).tolist(),
        "provenance": provenance,
    }
    description["checksum"] = json_checksum(description)
    write_json(folder / "model.json", description)
    return description


def load_model_folder(
    folder: str | Path, device: str | torch.device = "cpu"
) -> tuple[SpeakerEncoder, dict[str, Any]]:
    """Read a model folder, verify both checksums and the self-test; encoder in evaluation mode.

    Raises `DataError` where a file is missing, was changed, or names something this version lacks.
    """
    folder = Path(folder)
    path, weights = folder / "model.json", folder / "model.safetensors"
    for file in (path, weights):
        if not file.is_file():
            raise DataError(
                "not a model folder", file=folder, expected="model.json and model.safetensors",
                found=", ".join(sorted(p.name for p in folder.glob("*"))[:8]) or "nothing",
                fix="Give the folder `model` of a training run",
            )  # fmt: skip
    try:
        return _load(path, weights, device)
    except UNFIT as error:
        raise DataError(
            "the model folder does not fit together", file=folder,
            expected="weights and arguments of one of this version's architectures",
            found=f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}",
            fix="Copy the model folder again from its source",
        ) from error  # fmt: skip


def _load(path: Path, weights: Path, device: str | torch.device) -> tuple[SpeakerEncoder, dict[str, Any]]:
    description = _read_description(path)
    if file_checksum(weights) != description["weights_sha256"]:
        raise DataError(
            "the weights were changed or cut off", file=weights,
            expected=f"SHA-256 {description['weights_sha256'][:12]}...",
            found=f"{file_checksum(weights)[:12]}...", fix="Copy the model folder again from its source",
        )  # fmt: skip
    student = _load_student(description, weights, path)
    front_end = description["front_end"]
    if front_end["arguments"]["n_mels"] != student.n_mels:
        raise ValueError(f"{student.n_mels} mels, but {front_end['arguments']['n_mels']} of the front-end")
    encoder = SpeakerEncoder(_build(FRONT_ENDS, front_end["name"], front_end["arguments"], path), student)
    encoder.to(device).eval()
    _run_self_test(encoder, description["self_test"], path)
    return encoder, description


def _load_student(description: dict[str, Any], weights: Path, path: Path) -> Any:
    """Built without memory for its weights, and without drawing any, until those of the file are known to fit."""
    with torch.device("meta"):
        student = _build(STUDENTS, description["architecture"], description["arguments"], path)
    tensors = load_file(weights)
    declared = {name: tensor.shape for name, tensor in student.state_dict().items()}
    if declared != {name: tensor.shape for name, tensor in tensors.items()}:
        raise ValueError("weights of other names or shapes than the arguments give")
    student.to_empty(device="cpu").load_state_dict(tensors)
    return student


def _read_description(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        description = json.loads(text)
        canonical = as_json(description) == text
        stored = description.pop("checksum")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(
            "not readable as a model description", file=path, found=str(error),
            fix="Copy the model folder again from its source",
        ) from error  # fmt: skip
    if stored != json_checksum(description) or not canonical:
        raise DataError(
            "the model description was changed", file=path, expected=f"checksum {stored}",
            found=json_checksum(description) if canonical else "other white space",
            fix="Copy the model folder again from its source",
        )  # fmt: skip
    if description["format_version"] > FORMAT_VERSION:
        raise DataError(
            "the model was written by a newer version", file=path, expected=f"format {FORMAT_VERSION}",
            found=description["format_version"], fix="Upgrade cmd-speaker",
        )  # fmt: skip
    for key, value in (("sample_rate", SAMPLE_RATE), ("normalisation", "sentence_mean")):
        if description[key] != value:
            raise DataError(
                f"unknown {key}", file=path, expected=value, found=description[key], fix="Upgrade cmd-speaker"
            )
    return description | {"checksum": stored}


def _run_self_test(encoder: SpeakerEncoder, expected: list[float], path: Path) -> None:
    stored = np.array(expected, dtype=np.float32)
    found = _self_test_embedding(encoder)
    difference = float(np.abs(found - stored).max() / np.linalg.norm(stored))
    if not difference <= SELF_TEST_TOLERANCE:
        raise DataError(
            "the self-test failed: this machine does not give the model's own embedding", file=path,
            expected=f"a difference of at most {SELF_TEST_TOLERANCE}", found=f"{difference:.2g}",
            fix="Do not use these embeddings; check the versions of torch and cmd-speaker",
        )  # fmt: skip


def _self_test_embedding(encoder: SpeakerEncoder) -> np.ndarray:
    device = next(encoder.student.parameters()).device
    return next(embed_all(encoder, [("self-test", self_test_signal())], device=device))[1]


def _name_of(module: nn.Module, table: dict[str, type[nn.Module]]) -> str:
    return next(name for name, kind in table.items() if kind is type(module))


def _build(table: dict[str, type[nn.Module]], name: str, arguments: dict[str, Any], path: Path) -> nn.Module:
    if name not in table:
        raise DataError(
            "the model names something this version does not know", file=path,
            expected=" or ".join(table), found=name, fix="Upgrade cmd-speaker",
        )  # fmt: skip
    return table[name](**arguments)
