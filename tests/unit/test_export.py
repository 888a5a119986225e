"""Exports: what is written, and that a bad one is not."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.errors import DataError
from cmd_speaker.export import onnx as onnx_export
from cmd_speaker.export import speechbrain as speechbrain_export
from cmd_speaker.export.onnx import EmbeddingGraph, export_onnx
from cmd_speaker.export.parity import LENGTHS, Parity, check_parity, parity_signals
from cmd_speaker.export.sherpa_onnx import export_sherpa_onnx
from cmd_speaker.export.spectrum import ProductStft
from cmd_speaker.export.speechbrain import WholeRecordings, export_speechbrain, needs_package
from cmd_speaker.features import SpeechBrainFbank
from cmd_speaker.model import SpeakerModel
from tests.exports import small_model
from tests.refusals import refused


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("xvector") / "model", "xvector")


def embedder(model, change=lambda vectors: vectors):
    return lambda waveforms: change(np.stack([model.embed(samples) for samples in waveforms]))


def test_the_lengths_and_signals_of_the_check():
    assert LENGTHS == (0.1, 1.0, 3.7, 20.0)
    signals = parity_signals(1.0)
    assert signals.shape == (2, 16000)
    assert np.abs(signals).max() < 1
    assert (signals[:, 8000:11200] == 0).all(), "digital silence, where logarithms meet their floor"
    assert not np.array_equal(signals[0], signals[1])
    assert np.array_equal(signals, parity_signals(1.0))


def test_a_difference_is_relative_to_the_norm(model, tmp_path):
    """A shift of one component by 5e-5 of the norm passes and is what is reported; 2e-4 does not pass."""

    def shifted(share):
        def change(vectors):
            moved = vectors.astype(np.float64)
            moved[1, 3] += share * np.linalg.norm(vectors[1])
            return moved

        return embedder(model, change)

    found = check_parity(model, shifted(5e-5), "client 1", 1e-4, tmp_path / "x")
    assert found.largest == pytest.approx(5e-5, rel=1e-2)
    assert list(found.differences) == list(LENGTHS)
    assert refused(
        lambda: check_parity(model, shifted(2e-4), "client 1", 1e-4, tmp_path / "x"), "client 1", "0.0002 at"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v * np.nan, "nan at 0.1 s"),
        (lambda v: v[:, None], "[2, 1, 24]"),
        (lambda v: v[::-1], "at 0.1 s"),
    ],
)
def test_what_is_not_finite_or_of_another_shape_or_order_is_refused(model, tmp_path, change, message):
    with pytest.raises(DataError, match="gives other embeddings") as caught:
        check_parity(model, embedder(model, change), "client", 1e-4, tmp_path / "x")
    assert message in str(caught.value)


def test_a_parity_says_its_client_and_lengths():
    text = str(Parity("engine 2.0", {0.1: 1.5e-7, 20.0: 3e-6}))
    assert text == "engine 2.0: largest difference 3.0e-06 (0.1 s 1.5e-07, 20 s 3.0e-06)"


@pytest.mark.parametrize("features", [False, True])
def test_onnx(model, tmp_path, features):
    before = torch.random.get_rng_state()
    parity = export_onnx(model, tmp_path / "m.onnx", features=features)
    assert torch.equal(before, torch.random.get_rng_state()), "the global random state was moved"
    proto = onnx.load(tmp_path / "m.onnx")
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 18)]
    given, result = proto.graph.input[0], proto.graph.output[0]
    axes = [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim]
    assert (given.name, axes) == (
        ("feats", ["batch", "frames", 80]) if features else ("waveforms", ["batch", "samples"])
    )
    assert [axis.dim_param or axis.dim_value for axis in result.type.tensor_type.shape.dim] == ["batch", 24]
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata["model"] == model.checksum
    assert metadata["front_end_is"] == ("outside" if features else "inside")
    assert json.loads(metadata["front_end"]) == {"name": "kaldi_fbank", "arguments": {"n_mels": 80}}
    assert metadata["parity"] == str(parity)
    assert parity.client.startswith("ONNX Runtime ")
    assert b".py" not in (tmp_path / "m.onnx").read_bytes(), "a path of this machine"


def test_an_onnx_graph_that_computes_something_else_is_not_written(model, tmp_path, monkeypatch):
    """What an earlier export left there stays."""
    (tmp_path / "m.onnx").write_bytes(b"earlier")
    monkeypatch.setattr(onnx_export, "mean_normalise", lambda features: features)
    with pytest.raises(DataError, match="ONNX Runtime"):
        export_onnx(model, tmp_path / "m.onnx")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"earlier"]


def test_a_missing_package_is_told(model, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    assert refused(lambda: export_onnx(model, tmp_path / "m.onnx"), "onnxscript", "cmd-speaker[export]")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_told_before_the_graph_is_traced(model, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", None)
    (tmp_path / "folder.onnx").mkdir()
    assert refused(lambda: export_onnx(model, tmp_path / "m.pt"), "a name that ends in .onnx")
    assert refused(lambda: export_onnx(model, tmp_path / "folder.onnx"), "this export is a file")
    assert refused(lambda: export_onnx(SpeakerModel(model.encoder), tmp_path / "m.onnx"), "once it was saved")
    assert refused(lambda: export_sherpa_onnx(SpeakerModel(model.encoder), tmp_path / "m.onnx"), "was saved")


@pytest.mark.parametrize("samples", [1600, 16000, 16079, 40077])
def test_speechbrains_filterbank_with_its_spectrum_as_products(samples):
    front_end = SpeechBrainFbank()
    graph = EmbeddingGraph(SpeakerEncoder(front_end, torch.nn.Identity()))
    assert isinstance(graph.front_end.fbank.compute_STFT, ProductStft)
    assert not isinstance(front_end.fbank.compute_STFT, ProductStft), "the model itself was changed"
    signals = torch.from_numpy(parity_signals(samples / 16000))
    # In dB: 0.1 % of an energy.
    torch.testing.assert_close(graph.front_end(signals), front_end(signals), rtol=0, atol=4e-3)


@pytest.mark.parametrize(("front_end", "n_mels"), [("speechbrain_fbank", 80), ("kaldi_fbank", 40)])
def test_sherpa_onnx_cannot_have_other_features(tmp_path, front_end, n_mels):
    other = small_model(tmp_path / "model", "xvector", front_end, n_mels)
    assert refused(
        lambda: export_sherpa_onnx(other, tmp_path / "s.onnx"), f"{front_end} of {n_mels}", "--to onnx"
    )
    assert not (tmp_path / "s.onnx").exists()


def test_sherpa_onnx_takes_no_empty_metadata(model, tmp_path):
    assert refused(lambda: export_sherpa_onnx(model, tmp_path / "s.onnx", language=""), "no empty metadata")


@pytest.mark.parametrize("front_end", ["kaldi_fbank", "speechbrain_fbank"])
@pytest.mark.parametrize("student", ["ecapa_tdnn", "resnet34", "xvector"])
def test_speechbrain(tmp_path, student, front_end):
    other = small_model(tmp_path / "model", student, front_end)
    before = torch.random.get_rng_state()
    parity = export_speechbrain(other, tmp_path / "sb", licence="apache-2.0")
    assert torch.equal(before, torch.random.get_rng_state()), "the global random state was moved"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "sb"}
    assert {path.name for path in (tmp_path / "sb").iterdir()} == {
        "README.md", "embedding_model.ckpt", "hyperparams.yaml",
    }  # fmt: skip
    weights = (tmp_path / "sb" / "embedding_model.ckpt").read_bytes()
    assert weights == (tmp_path / "model" / "model.safetensors").read_bytes()
    text = (tmp_path / "sb" / "hyperparams.yaml").read_text()
    assert "paths:" not in text
    assert str(tmp_path) not in text
    alone = (student, front_end) == ("ecapa_tdnn", "speechbrain_fbank")
    assert needs_package(other.encoder) is ("cmd_speaker" in text) is not alone
    card = (tmp_path / "sb" / "README.md").read_text()
    assert str(parity) in card
    assert "license: apache-2.0" in card
    assert parity.largest <= 1e-5


def test_other_weights_are_not_written(model, tmp_path, monkeypatch):
    def changed(state):
        from safetensors.torch import save

        return save(
            {name: value * 1.001 if value.is_floating_point() else value for name, value in state.items()}
        )

    monkeypatch.setattr(speechbrain_export, "save", changed)
    with pytest.raises(DataError, match=r"SpeechBrain .* gives other embeddings"):
        export_speechbrain(model, tmp_path / "sb")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(model, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert refused(lambda: export_speechbrain(model, tmp_path / "sb"), "folder cannot be written", "No space")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_replaced(model, tmp_path):
    (tmp_path / "sb").mkdir()
    (tmp_path / "sb" / "mine.txt").write_text("precious")
    assert refused(lambda: export_speechbrain(model, tmp_path / "sb"), "this name is taken")
    assert [path.name for path in tmp_path.rglob("*")] == ["sb", "mine.txt"]


def test_padded_batches_are_refused(model):
    module = WholeRecordings(model.encoder.student)
    features = torch.randn(2, 50, 80)
    assert module(features, torch.ones(2)).shape == (2, 1, 24)
    assert refused(lambda: module(features, torch.tensor([0.5, 1.0])), "no padded batches", "0.500")


def test_an_export_is_of_the_loaded_model_too(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = SpeakerModel.load(tmp_path / "model")
    export_speechbrain(loaded, tmp_path / "sb")
    weights = load_file(tmp_path / "sb" / "embedding_model.ckpt")
    assert all(
        torch.equal(value, weights[name]) for name, value in loaded.encoder.student.state_dict().items()
    )
