"""ONNX Runtime as the engine of a model: the embeddings are PyTorch's, and what cannot be is refused."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import cmd_speaker.engine
from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.encoder import SpeakerEncoder, embed_all
from cmd_speaker.extraction import extract, parts_folder
from cmd_speaker.inputs import find_inputs
from cmd_speaker.model import SpeakerModel
from tests.models import noise, small_model, write_noise
from tests.refusals import refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine") / "model"
    small_model(name="ecapa_tdnn").save(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return SpeakerModel.load(folder)


@pytest.fixture(scope="module")
def runtime(model):
    state = torch.get_rng_state()
    same = cmd_speaker.engine.in_onnxruntime(model)
    assert torch.equal(torch.get_rng_state(), state)
    return same


def assert_near(found, expected, tolerance=1e-5):
    norms = np.linalg.norm(expected, axis=-1, keepdims=True)
    assert (np.abs(found - expected) / norms).max() <= tolerance


def test_it_is_what_computes(model, runtime, monkeypatch):
    assert (model.engine, runtime.engine) == ("torch", "onnxruntime")
    assert runtime.encoder.session.get_session_options().intra_op_num_threads == 1
    monkeypatch.setattr(runtime.encoder.student, "forward", None)
    assert runtime.embed(noise(1)).shape == (24,)


@pytest.mark.parametrize("seconds", [0.1, 0.33, 1, 7.77, 31])
def test_the_embeddings_are_torchs(model, runtime, seconds):
    assert_near(runtime.embed(noise(seconds)), model.embed(noise(seconds)))


def test_a_batch_has_the_bits_of_the_single_file(runtime):
    audio = [(str(seed), noise(0.5 + seed % 2, seed)) for seed in range(9)]
    for (_, samples), (_, vector) in zip(audio, embed_all(runtime.encoder, audio), strict=True):
        assert np.array_equal(runtime.embed(samples), vector)


def test_threads_share_it(runtime):
    samples = [noise(0.3 + 0.1 * seed, seed) for seed in range(8)]
    alone = [runtime.embed(each) for each in samples]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert all(map(np.array_equal, pool.map(runtime.embed, samples), alone))


def test_windows_and_streams(model, runtime):
    samples = noise(3.2)
    found = runtime.embed_windows(samples, window=1, hop=0.5)
    assert_near(found.embeddings, model.embed_windows(samples, window=1, hop=0.5).embeddings)
    live = list(runtime.stream_windows(np.array_split(samples, 20), window=1, hop=0.5))
    assert np.array_equal([each.embedding for each in live], found.embeddings)


def test_it_is_still_the_same_model(model, runtime, tmp_path):
    """Registries and embeddings take it for the one that they know, also where it was saved again."""
    assert runtime.checksum == model.checksum
    again = SpeakerModel(runtime.encoder)
    again.save(tmp_path / "saved")
    assert again.checksum == model.checksum


def test_parts_of_another_engine_are_refused(model, runtime, tmp_path):
    for number in range(3):
        write_noise(tmp_path / "audio" / f"{number}.wav", 0.5, number)
    (tmp_path / "audio" / "bad.wav").write_bytes(b"")
    inputs, out = find_inputs([str(tmp_path / "audio")]), tmp_path / "e.npz"
    extract(runtime, inputs, out)
    assert parts_folder(out).exists()
    assert refused(
        lambda: extract(model, inputs, out), "another engine", "engine torch", "engine onnxruntime"
    )
    (tmp_path / "audio" / "bad.wav").unlink()
    write_noise(tmp_path / "audio" / "bad.wav", 0.5)
    extract(runtime, inputs, out)
    found = load_embeddings(out)
    assert found.model == model.checksum
    assert_near(found.vectors, np.stack([model.embed(each.wav) for each in inputs.utterances]))


def test_an_engine_that_is_not_there(folder, monkeypatch):
    monkeypatch.setattr("cmd_speaker.model.load_model_folder", lambda *_: pytest.fail("loaded before"))
    load = SpeakerModel.load
    assert refused(lambda: load(folder, engine="onnx"), "unknown engine 'onnx'", "torch or onnxruntime")
    assert refused(lambda: load(folder, "meta", engine="onnxruntime"), "no device 'meta'")
    assert refused(lambda: cmd_speaker.engine.check_engine("onnxruntime", "cuda:1"), "on a CPU", "cuda:1")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert refused(lambda: load(folder, engine="onnxruntime"), "needs onnx", "cmd-speaker[export]")


def test_other_embeddings_are_refused(model, monkeypatch):
    class Another(SpeakerEncoder):
        """Every embedding a thousandth too long."""

        def __init__(self, encoder):
            super().__init__(encoder.front_end, encoder.student)

        def embed(self, features):
            return 1.001 * super().embed(features)

    monkeypatch.setattr(cmd_speaker.engine, "RuntimeEncoder", Another)
    assert refused(
        lambda: cmd_speaker.engine.in_onnxruntime(model), "ONNX Runtime", "gives other embeddings", "model"
    )
