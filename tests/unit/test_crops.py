"""Reading only the crop: the samples of reading everything, with less read."""

from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cmd_speaker.audio import Embedded, random_crop, read_audio, read_crop
from cmd_speaker.errors import DataError
from tests.refusals import refused

RATE = 16000
FORMS = {
    "pcm_u8": {"format": "WAV", "subtype": "PCM_U8"},
    "pcm_16": {"format": "WAV", "subtype": "PCM_16"},
    "pcm_24": {"format": "WAV", "subtype": "PCM_24"},
    "wavex": {"format": "WAVEX", "subtype": "PCM_16"},
    "float": {"format": "WAV", "subtype": "FLOAT"},
    "alaw": {"format": "WAV", "subtype": "ALAW"},
    "adpcm": {"format": "WAV", "subtype": "IMA_ADPCM"},
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "flac_24": {"format": "FLAC", "subtype": "PCM_24"},
    "vorbis": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3"},
}
LENGTH = RATE // 2


@pytest.fixture
def write(tmp_path):
    """`write(samples, form="pcm_16") -> path`."""

    def written(samples, form="pcm_16"):
        path = tmp_path / f"{form}.audio"
        soundfile.write(path, samples, RATE, **FORMS[form])
        return path

    return written


def noise(seconds=3.0, level=0.1, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).clip(-1, 1)


def embedded(path):
    """The same audio, out of memory."""
    return Embedded(path, partial(BytesIO, path.read_bytes()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("segment", [{}, {"start": 9000, "stop": 30000, "seconds": 21000 / RATE}])
def test_the_samples_are_those_of_reading_everything(write, form, segment):
    path = write(noise(), form)
    for seed in range(20):
        whole = random_crop(read_audio(path, **segment), LENGTH, np.random.default_rng(seed))
        for place in (path, embedded(path)):
            crop = read_crop(place, LENGTH, np.random.default_rng(seed), **segment)
            assert crop.dtype == np.float32
            np.testing.assert_array_equal(crop, whole)


@pytest.mark.parametrize("samples", [1600, LENGTH - 1, LENGTH, LENGTH + 1])
@pytest.mark.parametrize("form", ["pcm_16", "flac"])
def test_utterances_about_as_long_as_the_crop(write, form, samples):
    path = write(noise()[:samples], form)
    for seed in range(5):
        whole = random_crop(read_audio(path), LENGTH, np.random.default_rng(seed))
        crop = read_crop(path, LENGTH, np.random.default_rng(seed))
        np.testing.assert_array_equal(crop, whole)
        assert crop.shape == (LENGTH,)


class Counting(BytesIO):
    """Notes how many bytes were read."""

    read_bytes = 0

    def readinto(self, buffer):
        count = super().readinto(buffer)
        Counting.read_bytes += count
        return count


@pytest.mark.parametrize(("form", "share"), [("pcm_16", 0.05), ("flac", 0.15)])
def test_no_more_is_read_than_is_needed(write, form, share):
    """A crop of 0.5 s is 1/60 of 30 s; flac reads in blocks of 4,096 samples and looks for the place."""
    content = write(noise(30.0), form).read_bytes()
    for seed in range(5):
        Counting.read_bytes = 0
        read_crop(Embedded(Path("30 s"), lambda: Counting(content)), LENGTH, np.random.default_rng(seed))
        assert 0 < Counting.read_bytes < share * len(content)


@pytest.mark.parametrize("form", ["pcm_16", "flac"])
def test_a_pause_is_no_fault_and_silence_throughout_is(write, form):
    speech = noise()
    speech[: 2 * RATE] = 0
    path = write(speech, form)
    crops = [read_crop(path, LENGTH, np.random.default_rng(seed)) for seed in range(20)]
    assert 5 < sum(not crop.any() for crop in crops) < 20
    path = write(np.zeros(3 * RATE), form)
    assert refused(lambda: read_crop(path, LENGTH, np.random.default_rng(0)), str(path), "silent")


def test_samples_that_are_not_finite_are_found_in_the_crop(write):
    samples = noise()
    samples[::100] = np.nan
    path = write(samples, "float")
    assert refused(
        lambda: read_crop(path, LENGTH, np.random.default_rng(0)), str(path), "not finite", "80 NaN"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 2.5}, "stated length (expected 2.500 s, found 3.000 s)"),
        ({"start": 1000, "stop": 48001}, "the segment lies outside"),
        ({"stop": 1000}, "too short"),
    ],
)
def test_what_the_header_says_is_checked(write, options, message):
    path = write(noise())
    assert refused(lambda: read_crop(path, LENGTH, np.random.default_rng(0), **options), str(path), message)


def test_other_forms_and_cut_files(tmp_path, write):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "8k.wav", noise(), 8000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([noise(), noise()], axis=1), RATE)
    assert refused(lambda: read_crop(tmp_path / "8k.wav", LENGTH, rng), "wrong sample rate")
    assert refused(lambda: read_crop(tmp_path / "stereo.wav", LENGTH, rng), "more than one channel")
    assert refused(lambda: read_crop(tmp_path / "none.wav", LENGTH, rng), "no such audio file")
    path = write(noise())
    path.write_bytes(path.read_bytes()[:-10])
    assert refused(lambda: read_crop(path, LENGTH, rng), "the file is truncated", "10 bytes missing")
    assert refused(lambda: read_crop(embedded(path), LENGTH, rng), str(path), "10 bytes missing")


def test_a_flac_file_that_was_cut_off_shows_where_a_crop_needs_what_is_missing(write):
    path = write(noise(), "flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    messages = []
    for seed in range(20):
        start = int(np.random.default_rng(seed).integers(3 * RATE - LENGTH + 1))
        try:
            crop = read_crop(path, LENGTH, np.random.default_rng(seed))
        except DataError as error:
            messages.append(str(error))
            assert start + LENGTH > 0.4 * 3 * RATE
        else:
            np.testing.assert_allclose(crop, noise()[start : start + LENGTH], atol=1e-4)
    assert 0 < len(messages) < 20
    assert all("decoding failed" in each or "stated length" in each for each in messages)


def test_embedded_audio_is_named_in_errors():
    def closed():
        raise PermissionError(13, "Permission denied")

    assert refused(lambda: read_audio(Embedded(Path("a.tar/b"), closed)), "a.tar/b", "Permission denied")
