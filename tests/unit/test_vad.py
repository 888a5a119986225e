"""Speech and what is none: found, taken out, reported, and refused where nothing is left."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch

from cmd_speaker.errors import UsageError
from cmd_speaker.extraction import extract
from cmd_speaker.hearing import Hearing
from cmd_speaker.inputs import find_inputs
from cmd_speaker.vad import SpeechDetector, speech_detector
from tests.conftest import voice
from tests.models import RATE, noise, small_model
from tests.refusals import refused


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def speech():
    """Three seconds of six syllables between one second and two seconds of faint noise."""
    rng = np.random.default_rng(1)
    syllables = [voice(125, 0.97, 0.44, rng).astype(np.float32) for _ in range(6)]
    spoken = [part for k, each in enumerate(syllables) for part in (each, 0.003 * noise(0.06, k))]
    return np.concatenate([0.003 * noise(1, 1), *spoken, 0.003 * noise(2, 2)])


def test_speech_is_found_where_it_is(speech):
    segments = speech_detector().segments(speech)
    assert segments[0, 0] == pytest.approx(1.0 * RATE, abs=0.1 * RATE)
    assert segments[-1, 1] == pytest.approx(4.0 * RATE, abs=0.2 * RATE)
    kept = speech_detector().speech(speech)
    expected = np.concatenate([speech[start:stop] for start, stop in segments])
    assert np.array_equal(kept, expected)
    assert speech_detector().speech(noise(1)).shape == (0,)


def test_what_is_kept_is_what_is_embedded_and_reported(model, speech):
    kept = speech_detector().speech(speech)
    found = model.recording(speech, vad=True)
    assert np.array_equal(found.embedding, model.embed(kept))
    assert (found.seconds, found.length) == (len(kept) / RATE, 6.0)
    assert not np.allclose(found.embedding, model.embed(speech), atol=1e-3)
    assert model.similarity(speech, kept, vad=True) > model.similarity(speech, kept)


def test_windows_without_speech_are_left_out(model, speech):
    found = model.embed_windows(speech, window=1, vad=True)
    assert found.times.tolist() == [[1, 2], [2, 3], [3, 4]]
    assert found.left_out.tolist() == [[0, 1], [4, 5], [5, 6]]
    assert 2 < found.mean().seconds <= 3


def test_nobody_speaks(model):
    assert refused(lambda: model.embed(noise(2), vad=True), "nobody speaks", "0.00 of 2.00 s")
    assert refused(lambda: model.embed(noise(2), vad=True, window=1), "somebody speaks", "none of 2")


def test_a_list_reports_what_was_kept(model, speech, tmp_path):
    for name, samples in (("a", speech), ("b", noise(1)), ("c", speech[RATE:])):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, "FLOAT")
    model.save(tmp_path / "model")
    done = extract(model, find_inputs([str(tmp_path / "*.wav")]), tmp_path / "e.npz", Hearing(vad=True))
    kept = sum(len(speech_detector().speech(samples)) for samples in (speech, speech[RATE:])) / RATE
    assert (done.kept, done.length) == (pytest.approx(kept), pytest.approx(11.0))
    assert [str(error.file).endswith("b.wav") for error in done.errors] == [True]


def test_threads_share_a_detector(speech):
    """A network that another thread is listening with would remember what that one has heard."""
    sounds = [np.roll(speech, 5000 * k) for k in range(4)]
    alone = [SpeechDetector().segments(sound).tolist() for sound in sounds]
    shared = SpeechDetector()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: shared.segments(sounds[k % 4]).tolist(), range(16)))
    assert found == alone * 4


def test_the_package_takes_no_threads_from_torch(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("silero_vad")]:
        monkeypatch.delitem(sys.modules, name)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        SpeechDetector()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_without_the_package_nothing_is_begun(model, speech, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    monkeypatch.setattr("cmd_speaker.hearing.speech_detector", SpeechDetector)
    soundfile.write(tmp_path / "a.wav", speech, RATE)
    model.save(tmp_path / "model")
    found = find_inputs([str(tmp_path / "a.wav")])
    with pytest.raises(UsageError, match=r"cmd-speaker\[vad\]"):
        extract(model, found, tmp_path / "e.npz", Hearing(vad=True))
    assert not list(tmp_path.glob("*.parts"))
