"""The form that sherpa-onnx takes: features in, and the metadata of a model of WeSpeaker.

sherpa-onnx computes Kaldi's filterbank itself (80 mels, Povey window, no dither, `snip_edges` off, up to 400 Hz
below the Nyquist frequency) and subtracts the mean. It ends its process where metadata is missing, so that it is
asked in one of its own.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.export.onnx import EmbeddingGraph, build_proto, description, require, save_proto
from cmd_speaker.export.parity import ACROSS_ENGINES, Parity, check_parity
from cmd_speaker.features import KaldiFbank
from cmd_speaker.model import SpeakerModel

MELS = 80


def export_sherpa_onnx(
    model: SpeakerModel, out: str | Path, *, language: str = "unknown", url: str = "unknown"
) -> Parity:
    """Write `model`, which is on the CPU, for `sherpa_onnx.SpeakerEmbeddingExtractor`.

    `language` and `url` are what its metadata says. Raises `DataError` for a front-end that sherpa-onnx does not
    compute, for a missing package, where the file cannot be written, and where sherpa-onnx gives other embeddings.
    """
    out = Path(out)
    if not language or not url:
        raise UsageError("sherpa-onnx takes no empty metadata: say a language and a url, or leave them away")
    graph = EmbeddingGraph(model.encoder, features=True)
    metadata = {
        "framework": "wespeaker",
        "language": language,
        "url": url,
        "normalize_samples": 0,
        "feature_normalize_type": "global-mean",
        **description(model, graph),
        "comment": "cmd-speaker",
    }
    front_end = model.encoder.front_end
    if type(front_end) is not KaldiFbank or front_end.n_mels != MELS:
        found = model.description["front_end"]
        raise DataError(
            "sherpa-onnx cannot compute what this model hears", expected=f"front-end kaldi_fbank of {MELS} mels",
            found=f"{found['name']} of {front_end.n_mels}", fix="Export it with --to onnx, front-end inside",
        )  # fmt: skip
    require("sherpa_onnx")
    proto = build_proto(graph, out)
    with TemporaryDirectory() as folder:
        draft = Path(folder) / "model.onnx"
        save_proto(proto, metadata, draft)
        client = f"sherpa-onnx {version('sherpa-onnx')}"
        parity = check_parity(
            model, lambda waves: embed_with_sherpa(draft, waves), client, ACROSS_ENGINES, out
        )
    save_proto(proto, {**metadata, "parity": str(parity)}, out)
    return parity


def embed_with_sherpa(file: Path, waveforms: np.ndarray) -> np.ndarray:
    """Embeddings [batch, D] that sherpa-onnx computes of waveforms [batch, samples], in a process of its own.

    Raises `DataError` with what it printed where the process ends without them.
    """
    with TemporaryDirectory() as folder:
        given, result = Path(folder) / "waveforms.npy", Path(folder) / "embeddings.npy"
        np.save(given, waveforms)
        command = [
            sys.executable,
            "-m",
            "cmd_speaker.export.sherpa_client",
            str(file),
            str(given),
            str(result),
        ]
        process = subprocess.run(command, capture_output=True, text=True)
        if process.returncode or not result.is_file():
            lines = (process.stderr or process.stdout).strip().splitlines()
            raise DataError(
                "sherpa-onnx does not take this file",
                file=file,
                found=lines[-1] if lines else process.returncode,
            )
        return np.load(result)
