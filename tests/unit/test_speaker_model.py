"""`SpeakerModel`: what it takes, and that threads may share it."""

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch

import cmd_speaker.hearing
from cmd_speaker.audio import read_audio
from cmd_speaker.model import SpeakerModel
from tests.models import small_model, write_noise
from tests.refusals import refused


@pytest.fixture(scope="module")
def model():
    return small_model(name="ecapa_tdnn")


@pytest.fixture
def wav(tmp_path):
    return write_noise(tmp_path / "a.wav", 1.3)


@pytest.fixture
def samples(wav):
    return read_audio(wav)


def test_every_form_of_the_same_audio_has_the_same_bits(model, wav, samples):
    expected = model.embed(wav)
    pcm = soundfile.read(wav, dtype="int16")[0]
    live = (samples[start : start + 1000] for start in range(0, len(samples), 1000))
    with wav.open("rb") as file:
        forms = [
            str(wav), samples, torch.from_numpy(samples), wav.read_bytes(), file, io.BytesIO(wav.read_bytes()),
            live, pcm, torch.from_numpy(pcm), [pcm[:5000], torch.from_numpy(samples[5000:])],
            pcm.astype(">i2"), samples.astype(">f8"),
        ]  # fmt: skip
        for form in forms:
            assert np.array_equal(model.embed(form), expected), type(form)
        assert not file.closed


def test_a_pipe(model, wav):
    """Decoders go back and forth, which a pipe does not let them."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as sink, os.fdopen(reading, "rb") as source:
        writer = threading.Thread(target=lambda: (sink.write(wav.read_bytes()), sink.close()))
        writer.start()
        assert np.array_equal(model.embed(source), model.embed(wav))
        writer.join()


def test_from_where_an_open_file_stands(model, wav):
    """Audio that lies within something else."""
    file = io.BytesIO(b"header" + wav.read_bytes())
    file.seek(6)
    assert np.array_equal(model.embed(file), model.embed(wav))


def test_one_channel_as_torchaudio_loads_it(model, samples):
    assert np.array_equal(model.embed(torch.from_numpy(samples)[None]), model.embed(samples))


def test_a_tensor_that_is_being_learnt(model, samples):
    assert np.array_equal(model.embed(torch.from_numpy(samples).requires_grad_()), model.embed(samples))
    coarse = torch.from_numpy(samples).bfloat16()
    assert np.array_equal(model.embed(coarse), model.embed(coarse.float()))


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_any_sample_rate(model, tmp_path, rate):
    """A file with `convert`, and its samples with their rate, whole or in chunks, are the same."""
    path = write_noise(tmp_path / "a.wav", 1.1, rate=rate)
    samples = soundfile.read(path, dtype="float32")[0]
    expected = model.embed(path, convert=True)
    assert np.array_equal(model.embed(samples, rate), expected)
    live = np.array_split(samples, 17)
    np.testing.assert_allclose(model.embed(live, rate), expected, rtol=0, atol=1e-5)
    assert refused(lambda: model.embed(path), "wrong sample rate", f"{rate} Hz")


def test_what_are_no_samples(model):
    assert refused(lambda: model.embed(np.zeros((2, 16000), np.float32)), "one channel", "(2, 16000)")
    assert refused(lambda: model.embed(np.ones(16000, np.uint8)), "no samples", "uint8")
    assert refused(lambda: model.embed(np.ones(16000, np.complex64)), "no samples", "complex64")
    assert refused(lambda: model.embed([]), "too short")
    assert refused(lambda: model.embed(np.ones(16000, np.float32), 0), "no sample rate", "0 Hz")
    assert refused(lambda: model.embed(b"nothing of that kind" * 20), "audio in memory", "not readable")
    assert refused(lambda: model.embed(io.BytesIO()), "audio in an open file", "empty")
    assert refused(lambda: model.embed(io.StringIO("RIFF")), "open as text", "'rb'")


def test_a_recording_says_how_long_it_is(model, wav):
    found = model.recording(wav)
    assert (found.seconds, found.length) == (pytest.approx(1.3), pytest.approx(1.3))


def test_what_is_too_long_for_the_memory_is_refused_before_it_is_decoded(model, wav, samples, monkeypatch):
    monkeypatch.setattr(cmd_speaker.hearing, "MAX_SECONDS", 1.0)
    said = ("too long to embed as a whole", "at most 1 s", "--window")
    monkeypatch.setattr("cmd_speaker.audio._decode_utterance", lambda *_: pytest.fail("decoded"))
    assert refused(lambda: model.embed(wav), "a.wav", *said)
    assert refused(lambda: model.embed(samples), *said)

    def endless():
        while True:
            yield samples[:1600]

    assert refused(lambda: model.embed(endless()), *said)


def test_threads_share_a_model(model, tmp_path):
    """Of many threads each gets the bits that it would get alone, and torch's threads are left as they were."""
    paths = [write_noise(tmp_path / f"{n}.wav", 0.3 + 0.1 * n, n) for n in range(6)]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        alone = [model.embed(path) for path in paths]
        ready = threading.Barrier(8)

        def work(k):
            ready.wait()
            return [(n, model.embed(paths[n])) for n in np.random.default_rng(k).permutation(6).tolist() * 3]

        with ThreadPoolExecutor(8) as pool:
            found = [pair for own in pool.map(work, range(8)) for pair in own]
        assert torch.get_num_threads() == 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2, "of threads that begin later"
    finally:
        torch.set_num_threads(before)
    assert len(found) == 8 * 18
    assert all(np.array_equal(vector, alone[n]) for n, vector in found)


def test_verify_without_calibration_gives_a_score_and_no_decision(model, wav, tmp_path):
    other = write_noise(tmp_path / "b.wav", 1.0, seed=5)
    for each in (model, _saved(model, tmp_path)):
        found = each.verify(wav, other)
        assert found.score == pytest.approx(model.similarity(wav, other), abs=1e-6)
        assert (found.llr, found.threshold, found.same_speaker) == (None, None, None)


def _saved(model, tmp_path):
    SpeakerModel(model.encoder).save(tmp_path / "model")
    return SpeakerModel.load(tmp_path / "model")
