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
from cmd_speaker.errors import DataError
from cmd_speaker.export.parity import ACROSS_ENGINES, Parity, check_parity
from cmd_speaker.features import mean_normalise
from cmd_speaker.files import refuse_unwritable, write_atomically
from cmd_speaker.model import SpeakerModel

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
"""Of the graph; runs in ONNX Runtime 1.14 (2023) and later."""


class WaveformGraph(nn.Module):
    """[batch, samples] -> embeddings [batch, D]."""

    input = "waveforms"

    def __init__(self, encoder: SpeakerEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.encoder.student(mean_normalise(self.encoder.front_end(waveforms)))

    def example(self) -> Tensor:
        return torch.zeros(2, SAMPLE_RATE)

    def of_waveforms(self, waveforms: Tensor) -> Tensor:
        """What the graph is given for waveforms."""
        return waveforms


class FeatureGraph(WaveformGraph):
    """Features [batch, frames, mels] of the model's front-end -> embeddings [batch, D]."""

    input = "feats"

    def forward(self, feats: Tensor) -> Tensor:
        return self.encoder.student(mean_normalise(feats))

    def example(self) -> Tensor:
        return torch.zeros(2, 100, self.encoder.front_end.n_mels)

    def of_waveforms(self, waveforms: Tensor) -> Tensor:
        return self.encoder.front_end(waveforms)


def export_onnx(model: SpeakerModel, out: str | Path, *, features: bool = False) -> Parity:
    """Write `model`, which is on the CPU, as an ONNX file; with `features` its front-end stays outside.

    Raises `DataError` where a package is missing, the file cannot be written, or ONNX Runtime gives other
    embeddings.
    """
    out = Path(out)
    graph = FeatureGraph(model.encoder) if features else WaveformGraph(model.encoder)
    proto = build_proto(graph, out)
    parity = check_with_runtime(model, graph, proto, out)
    save_proto(proto, {**description(model, graph.input), "parity": str(parity)}, out)
    return parity


def build_proto(graph: WaveformGraph, out: Path) -> ModelProto:
    """The graph as ONNX, for a file `out`; raises `DataError` where packages or the folder forbid it."""
    require("onnx", "onnxscript", "onnxruntime")
    refuse_unwritable(out.parent)
    free = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        # The exporter warns of what it will do in later versions.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(), (graph.example(),), dynamo=True, verbose=False, opset_version=OPSET,
            input_names=[graph.input], output_names=["embs"], dynamic_shapes=({0: free, 1: free},),
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    # Where in which file of this machine each operation was written is nobody's business.
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    _name_axes(proto, graph.input)
    return proto


def _name_axes(proto: ModelProto, given: str) -> None:
    names = ("batch", "samples" if given == WaveformGraph.input else "frames")
    for value in (*proto.graph.input, *proto.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if axis.dim_param:
                axis.dim_param = name
    # Intermediate shapes are written in the exporter's own names of the axes.
    del proto.graph.value_info[:]


def check_with_runtime(model: SpeakerModel, graph: WaveformGraph, proto: ModelProto, out: Path) -> Parity:
    """Parity of ONNX Runtime on the CPU; features are those of the model's front-end."""
    runtime = require("onnxruntime")
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])

    @torch.inference_mode()
    def embed(waveforms: np.ndarray) -> np.ndarray:
        given = graph.of_waveforms(torch.from_numpy(waveforms)).numpy()
        return session.run(["embs"], {graph.input: given})[0]

    return check_parity(model, embed, f"ONNX Runtime {runtime.__version__}", ACROSS_ENGINES, out)


def description(model: SpeakerModel, given: str) -> dict[str, Any]:
    """What the metadata of every ONNX file says of the model."""
    return {
        "made_by": f"cmd-speaker {__version__}",
        "model": model.checksum,
        "architecture": model.description["architecture"],
        "front_end": json.dumps(model.description["front_end"]),
        "front_end_is": "inside" if given == WaveformGraph.input else "outside",
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
