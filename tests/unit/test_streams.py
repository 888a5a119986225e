"""Audio in pieces: resampled, cut into windows, embedded, whatever the pieces are."""

import itertools
import tracemalloc

import numpy as np
import pytest
import soundfile

from cmd_speaker.audio import read_audio, resample
from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.errors import UsageError
from cmd_speaker.hearing import Hearing
from cmd_speaker.manifest import Utterance
from cmd_speaker.streams import cut_windows, read_blocks, resample_blocks
from tests.models import RATE, noise, small_model, write_noise
from tests.refusals import refused


@pytest.fixture(scope="module")
def model():
    return small_model()


def pieces(samples, seed, most=3000):
    """The same samples in blocks of random length, some empty."""
    cuts = np.cumsum(np.random.default_rng(seed).integers(0, most, len(samples)))
    return np.split(samples, cuts[cuts < len(samples)])


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(8000, RATE), (44100, RATE), (48000, RATE), (11025, RATE), (RATE, RATE)]
)
@pytest.mark.parametrize("length", [1, 500, 40001])
def test_resampling_in_blocks_is_resampling_the_whole(rate_in, rate_out, length):
    samples = noise(length / rate_in, seed=length, rate=rate_in)
    found = np.concatenate(list(resample_blocks(pieces(samples, seed=1), rate_in, rate_out)))
    expected = samples if rate_in == rate_out else resample(samples, rate_in, rate_out)
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize(("start", "stop"), [(0, None), (12345, 70001)])
def test_a_file_in_blocks_is_the_file(tmp_path, monkeypatch, extension, start, stop):
    monkeypatch.setattr("cmd_speaker.streams.BLOCK", 10000)
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, np.stack([noise(2, 1, 44100), noise(2, 2, 44100)], 1), 44100)
    found = np.concatenate(list(read_blocks(path, start=start, stop=stop, convert=True)))
    expected = read_audio(path, start=start, stop=stop, convert=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert refused(lambda: list(read_blocks(path)), "wrong sample rate", f"a.{extension}")


def test_a_manifests_duration_is_checked(tmp_path):
    path = write_noise(tmp_path / "a.wav", 1.0)
    assert refused(lambda: list(read_blocks(path, seconds=1.5)), "stated length", "1.500 s", "1.000 s")


@pytest.mark.parametrize(
    ("length", "size", "hop", "places"),
    [
        (10, 4, 4, [(0, 4), (4, 8), (6, 10)]),  # the last one ends with the recording
        (8, 4, 4, [(0, 4), (4, 8)]),
        (10, 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        (11, 4, 3, [(0, 4), (3, 7), (6, 10), (7, 11)]),
        (12, 3, 5, [(0, 3), (5, 8), (9, 12)]),  # gaps between windows
        (3, 4, 2, [(0, 3)]),  # shorter than a window
        (4, 4, 1, [(0, 4)]),
        (0, 4, 4, []),
    ],
)
@pytest.mark.parametrize("most", [2, 3, 100])
def test_where_windows_lie(length, size, hop, places, most):
    samples = np.arange(length, dtype=np.float32)
    found = list(cut_windows(pieces(samples, 0, most), size, hop))
    assert [(window.start, window.stop) for window in found] == places
    for window in found:
        assert window.samples.tolist() == list(range(window.start, window.stop))


def test_windows_have_the_embeddings_of_their_samples(model, tmp_path):
    path = write_noise(tmp_path / "a.wav", 2.3)
    samples = read_audio(path)
    found = model.embed_windows(path, window=1, hop=0.5)
    assert found.times.tolist() == [[0, 1], [0.5, 1.5], [1, 2], [1.3, 2.3]]
    for (start, stop), vector in zip(found.times, found.embeddings, strict=True):
        alone = model.embed(samples[round(start * RATE) : round(stop * RATE)])
        np.testing.assert_allclose(vector, alone, rtol=0, atol=1e-5)
    whole = model.recording(path, window=1, hop=0.5)
    np.testing.assert_allclose(whole.embedding, found.embeddings.mean(axis=0), rtol=0, atol=1e-6)
    assert (whole.seconds, whole.length, found.length) == (pytest.approx(2.3), 2.3, 2.3)
    assert np.array_equal(model.embed(samples, window=1, hop=0.5), whole.embedding)
    assert np.array_equal(model.embed(pieces(samples, 3), window=1, hop=0.5), whole.embedding)


def test_silent_windows_are_left_out_and_named(model):
    samples = np.concatenate([noise(1), np.zeros(RATE, np.float32), noise(1, 1)])
    found = model.embed_windows(samples, window=0.5)
    assert found.times.tolist() == [[0, 0.5], [0.5, 1], [2, 2.5], [2.5, 3]]
    assert found.left_out.tolist() == [[1, 1.5], [1.5, 2]]
    # Four of six windows, of 3 s.
    assert (found.mean().seconds, found.mean().length) == (pytest.approx(2), 3)
    silent = np.zeros(RATE, np.float32)
    assert refused(lambda: model.embed_windows(silent, window=0.5), "nothing of it", "none of 2")
    samples[100] = np.nan
    assert refused(lambda: model.embed_windows(samples, window=0.5), "not finite")


def test_live_windows_come_as_soon_as_they_can(model):
    """Of an endless stream, each window before the next chunk is asked for."""
    asked = []

    def endless():
        for number in itertools.count():
            asked.append(number)
            yield noise(0.25, number)

    found = model.stream_windows(endless(), window=1, hop=0.5)
    for number in range(5):
        window = next(found)
        assert (window.start, window.stop) == (0.5 * number, 0.5 * number + 1)
        assert len(asked) == 4 + 2 * number
        assert window.embedding.shape == (24,)


def test_a_long_recording_needs_little_memory(model):
    """Half an hour, 115 MB as samples, and 18 MB as the windows that are held at once."""

    def chunks():
        for number in range(180):
            yield noise(10, number % 3)

    tracemalloc.start()
    try:
        found = model.embed_windows(chunks(), window=0.5, hop=10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.times) == 181
    assert peak < 30e6


def test_wrong_choices():
    for choices in ({"hop": 1}, {"window": 0}, {"window": float("nan")}, {"window": 1, "hop": 0}):
        with pytest.raises(UsageError):
            Hearing(**choices)
    assert Hearing(window=2).hop_samples == 2 * RATE


def test_utterances_in_windows(model, tmp_path):
    path = write_noise(tmp_path / "a.wav", 2.0)
    (tmp_path / "bad.wav").write_text("no audio")
    rows = [
        Utterance("part", path, start=8000, stop=24000, row=2),
        Utterance("bad", tmp_path / "bad.wav", row=3),
        Utterance("all", path, row=4),
    ]
    errors = []
    found = dict(
        model.embed_utterances(rows, errors.append, hearing=Hearing(window=0.5), list_path="list.csv")
    )
    assert list(found) == ["part", "all"]
    assert [(error.file, error.row) for error in errors] == [("list.csv", 3)]
    expected = model.embed(read_audio(path, start=8000, stop=24000), window=0.5)
    assert np.array_equal(found["part"].embedding, expected)


def test_embed_in_windows_on_the_command_line(model, tmp_path):
    from cmd_speaker.cli import app

    model.save(tmp_path / "model")
    path = write_noise(tmp_path / "a.wav", 2.0)
    call = ["embed", str(tmp_path / "model"), str(path), "--out", str(tmp_path / "e.npz")]
    app([*call, "--window", "1", "--hop", "0.5"], standalone_mode=False)
    vector = load_embeddings(tmp_path / "e.npz").vectors[0]
    assert np.array_equal(vector, model.embed(path, window=1, hop=0.5))
