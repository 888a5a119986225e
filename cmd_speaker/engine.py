"""ONNX Runtime as the engine of a model on a CPU (the extra `export`).

The network is handed over as an ONNX graph, which is made in memory when a model is loaded.
"""

from __future__ import annotations

import io
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.errors import UsageError
from cmd_speaker.export.onnx import OPSET
from cmd_speaker.export.parity import ACROSS_ENGINES, check_parity
from cmd_speaker.model import SpeakerModel

ENGINES = ("torch", "onnxruntime")
PACKAGES = ("onnx", "onnxruntime")


class RuntimeEncoder(SpeakerEncoder):
    """An encoder whose student is computed by ONNX Runtime, on one thread of a CPU in each call.

    `student` is still the network in PyTorch: it is what is exported. Weights that are changed later have no
    effect on embeddings.
    """

    engine = "onnxruntime"

    def __init__(self, encoder: SpeakerEncoder) -> None:
        super().__init__(encoder.front_end, encoder.student)
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        # Several batches are computed side by side, as in `embed_read`, rather than one on several threads.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph = _graph(self.student)
        self.session = InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def embed(self, features: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {"feats": features.numpy()})[0])


def _graph(student: Any) -> bytes:
    """ONNX of `feats` [batch, frames, mels] -> `embs` [batch, D]."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # This exporter is deprecated, but ten times as fast as the one that makes files for others, and what it
        # makes is as fast. It does not know what front-ends do; a student it does.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            student,
            (torch.zeros(2, 100, student.n_mels),),
            file,  # type: ignore[arg-type]  # of this exporter alone
            dynamo=False,
            opset_version=OPSET,
            input_names=["feats"],
            output_names=["embs"],
            dynamic_axes={"feats": {0: "batch", 1: "frames"}, "embs": {0: "batch"}},
        )
    return file.getvalue()


def check_engine(engine: str, device: str | torch.device) -> None:
    """Raise `UsageError` for an engine that is not there, or not on this device."""
    if engine not in ENGINES:
        raise UsageError(f"unknown engine '{engine}': expected {' or '.join(ENGINES)}")
    if engine == "torch":
        return
    if torch.device(device).type != "cpu":
        raise UsageError(
            f"the engine onnxruntime computes on a CPU: leave the device {device} or the engine away"
        )
    try:
        for package in PACKAGES:
            import_module(package)
    except ImportError as error:
        raise UsageError(
            f"the engine onnxruntime needs {error.name}: pip install 'cmd-speaker[export]'"
        ) from error


def in_onnxruntime(model: SpeakerModel) -> SpeakerModel:
    """The same model, which is on the CPU and was saved, with ONNX Runtime as its engine.

    Raises `DataError` where ONNX Runtime gives other embeddings.
    """
    import onnxruntime

    assert model.folder is not None
    encoder = RuntimeEncoder(model.encoder).eval()

    @torch.inference_mode()
    def embed(waveforms: np.ndarray) -> np.ndarray:
        return encoder.embed(encoder.features(torch.from_numpy(waveforms))).numpy()

    client = f"ONNX Runtime {onnxruntime.__version__}"
    check_parity(model, embed, client, ACROSS_ENGINES, model.folder)
    return SpeakerModel(encoder, model.description, model.folder)
