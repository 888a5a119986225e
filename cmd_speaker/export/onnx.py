"""ONNX with any batch and any length, for ONNX Runtime: waveforms in, or features in (the extra `export`).

A graph takes `waveforms` [batch, samples] at 16 kHz in [-1, 1], or `feats` [batch, frames, mels], and gives `embs`
[batch, D]; `feats` and `embs` are WeSpeaker's names. Features need no normalisation: the graph subtracts the mean
of every recording, and doing so twice changes nothing. Nothing in a batch may be padded.
"""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cmd_speaker import __version__
from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.export.parity import ACROSS_ENGINES, Parity, check_parity
from cmd_speaker.export.spectrum import exact_front_end
from cmd_speaker.features import mean_normalise
from cmd_speaker.files import refuse_unwritable, write_atomically
from cmd_speaker.model import SpeakerModel
from cmd_speaker.progress import track

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
"""Version of the operators in a graph."""


class EmbeddingGraph(nn.Module):
    """Waveforms [batch, samples], or with `features` [batch, frames, mels] -> embeddings [batch, D]."""

    def __init__(self, encoder: SpeakerEncoder, *, features: bool = False) -> None:
        super().__init__()
        self.features, self.student = features, encoder.student
        self.front_end = nn.Identity() if features else exact_front_end(encoder.front_end)
        self.input, self.axes = (
            ("feats", ("batch", "frames")) if features else ("waveforms", ("batch", "samples"))
        )
        self.example = (
            torch.zeros(2, 100, encoder.front_end.n_mels) if features else torch.zeros(2, SAMPLE_RATE)
        )

    def forward(self, given: Tensor) -> Tensor:
        return self.student(mean_normalise(self.front_end(given)))


def export_onnx(model: SpeakerModel, out: str | Path, *, features: bool = False) -> Parity:
    """Write `model`, which is on the CPU, as an ONNX file; with `features` its front-end stays outside.

    Raises as `build_proto` does, `UsageError` for a model that was never saved, and `DataError` where ONNX Runtime
    gives other embeddings.
    """
    out = Path(out)
    graph = EmbeddingGraph(model.encoder, features=features)
    metadata = description(model, graph)
    proto = build_proto(graph, out)
    parity = check_with_runtime(model, graph, proto, out)
    save_proto(proto, {**metadata, "parity": str(parity)}, out)
    return parity


def build_proto(graph: EmbeddingGraph, out: Path) -> ModelProto:
    """The graph as ONNX, for a file `out`.

    Raises `DataError` for a missing package and where `out` cannot be written, `UsageError` for a name that is not
    `.onnx` and a model that is not on the CPU.
    """
    require("onnx", "onnxscript", "onnxruntime")
    if out.suffix != ".onnx" or out.is_dir():
        raise UsageError(f"this export is a file: expected a name that ends in .onnx, found {out}")
    device = next(graph.student.parameters()).device
    if device.type != "cpu":
        raise UsageError(
            f"a model is exported from the CPU: expected SpeakerModel.load(MODEL), found one on {device}"
        )
    refuse_unwritable(out.parent)
    free = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        # The exporter warns of what it will do in later versions.
        warnings.simplefilter("ignore")
        for traced in track([graph.eval()], "Tracing the graph"):
            program = torch.onnx.export(
                traced, (graph.example,), dynamo=True, verbose=False, opset_version=OPSET,
                input_names=[graph.input], output_names=["embs"], dynamic_shapes=({0: free, 1: free},),
            )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    # Where in which file of this machine each operation was written is nobody's business.
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    _name_axes(proto, graph.axes)
    return proto


def _name_axes(proto: ModelProto, names: tuple[str, ...]) -> None:
    for value in (*proto.graph.input, *proto.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if axis.dim_param:
                axis.dim_param = name
    # Intermediate shapes are written in the exporter's own names of the axes.
    del proto.graph.value_info[:]


def check_with_runtime(model: SpeakerModel, graph: EmbeddingGraph, proto: ModelProto, out: Path) -> Parity:
    """Parity of ONNX Runtime on the CPU; features are those of the model's front-end."""
    runtime = require("onnxruntime")
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])

    @torch.inference_mode()
    def embed(waveforms: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(waveforms)
        given = model.encoder.front_end(given) if graph.features else given
        return session.run(["embs"], {graph.input: given.numpy()})[0]

    return check_parity(model, embed, f"ONNX Runtime {runtime.__version__}", ACROSS_ENGINES, out)


def description(model: SpeakerModel, graph: EmbeddingGraph) -> dict[str, Any]:
    """What the metadata of every ONNX file says of the model."""
    return {
        "made_by": f"cmd-speaker {__version__}",
        "model": model.checksum,
        "architecture": model.description["architecture"],
        "front_end": json.dumps(model.description["front_end"]),
        "front_end_is": "outside" if graph.features else "inside",
        "sample_rate": SAMPLE_RATE,
        "output_dim": model.embedding_size,
    }


def save_proto(proto: ModelProto, metadata: dict[str, Any], out: Path) -> None:
    """Write the graph with its metadata, whole or not at all."""
    onnx = require("onnx")
    onnx.helper.set_model_props(proto, {name: str(value) for name, value in metadata.items()})
    onnx.checker.check_model(proto)
    with write_atomically(out) as temporary:
        temporary.write_bytes(proto.SerializeToString())


def require(*packages: str) -> ModuleType:
    """The last of these packages; raises `DataError` where one is missing."""
    try:
        return [import_module(package) for package in packages][-1]
    except ImportError as error:
        raise DataError(f"this export needs {error.name}", fix="pip install 'cmd-speaker[export]'") from error
