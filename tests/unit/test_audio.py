"""What comes in as audio, and what is refused: each message names the file, what was expected and found."""

import struct

import numpy as np
import pytest
import soundfile

from cmd_speaker.audio import probe, random_crop, read_audio
from cmd_speaker.errors import DataError
from cmd_speaker.streams import read_blocks

RATE = 16000


def sine(seconds=2.0, rate=RATE, hertz=440.0, level=0.3):
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(path, samples, rate=RATE, **form):
    soundfile.write(path, samples, rate, **form)
    return path


def assert_refused(read, path, *parts, **arguments):
    """The message of the error, which must name the file and hold `parts`."""
    with pytest.raises(DataError) as caught:
        read(path, **arguments)
    message = str(caught.value)
    for part in (str(path), *parts):
        assert part in message
    return message


FORMS = {
    "wav": {"format": "WAV", "subtype": "PCM_16"},
    "wavex": {"format": "WAVEX", "subtype": "PCM_16"},
    "flac": {"format": "FLAC"},
    "vorbis": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3"},
}


@pytest.mark.parametrize("form", FORMS)
def test_reads_every_format_in_full(tmp_path, form):
    path = write(tmp_path / f"a.{form}", sine(), **FORMS[form])
    assert probe(path) == (RATE, 1, 2 * RATE)
    samples = read_audio(path, seconds=2.0)
    assert samples.shape == (2 * RATE,)
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous
    # Away from the ends, where the lossy formats overlap their windows.
    assert np.abs(samples - sine())[2000:-2000].max() < (0.03 if form in ("vorbis", "opus", "mp3") else 1e-4)


def test_missing_file(tmp_path):
    assert_refused(probe, tmp_path / "none.wav", "no such audio file", "data root")
    assert_refused(read_audio, tmp_path / "none.wav", "no such audio file")
    assert_refused(read_audio, tmp_path, "no such audio file")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    assert_refused(probe, path, "empty (0 bytes)")


@pytest.mark.parametrize("suffix", ["wav", "flac", "txt"])
def test_not_audio(tmp_path, suffix):
    path = tmp_path / f"page.{suffix}"
    path.write_text("<html>404: not found</html>" * 50)
    assert_refused(probe, path, "not readable as audio", "expected wav, flac, ogg, opus or mp3", "found")


@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("form", FORMS)
def test_truncated_file(tmp_path, form, part):
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * RATE)
    path = write(tmp_path / f"cut.{form}", noise, **FORMS[form])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    if form in ("flac", "mp3"):
        message = {
            "flac": "decoding failed (expected audio up to the end",
            "mp3": "stated length (expected 4.000 s",
        }
        assert_refused(read_audio, path, message[form])
        return
    missing = len(content) - int(len(content) * part)
    found = (
        f"found {missing} bytes missing" if form.startswith("wav") else "found no whole end-of-stream page"
    )
    for read in (probe, read_audio):
        assert_refused(read, path, "truncated", found)


def test_ogg_without_its_last_page(tmp_path):
    path = write(tmp_path / "cut.opus", sine(3.0), **FORMS["opus"])
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"OggS")])
    assert_refused(probe, path, "truncated", "no whole end-of-stream page")


def test_wav_with_other_chunks_around_its_data(tmp_path):
    path = write(tmp_path / "tagged.wav", sine())
    content = path.read_bytes()
    data = content.index(b"data")
    # A chunk of odd length is followed by a byte of padding (RIFF).
    before = content[:data] + b"note" + struct.pack("<I", 3) + b"abc\0" + content[data:]
    path.write_bytes(before + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert len(read_audio(path)) == 2 * RATE
    path.write_bytes(before[:-10])
    assert_refused(probe, path, "truncated", "found 10 bytes missing")


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF])
def test_wav_from_a_pipe_is_accepted(tmp_path, length):
    path = write(tmp_path / "pipe.wav", sine(), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 4, 0xFFFFFFFF)
    struct.pack_into("<I", content, content.index(b"data") + 4, length)
    path.write_bytes(content)
    np.testing.assert_allclose(read_audio(path), sine(), atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_other_sample_rate(tmp_path, rate):
    path = write(tmp_path / "rate.wav", sine(2.0, rate), rate)
    assert_refused(
        read_audio, path, "wrong sample rate", "expected 16000 Hz", f"found {rate} Hz", "--convert"
    )
    samples = read_audio(path, convert=True, seconds=2.0)
    assert samples.shape == (2 * RATE,)
    # The same 440 Hz, but for the ends, where the filter of the resampler reaches over the edge.
    assert np.abs(samples - sine())[400:-400].max() < 1e-3


def test_stereo(tmp_path):
    left, right = sine(), sine(hertz=700.0)
    path = write(tmp_path / "two.wav", np.stack([left, right], axis=1))
    assert_refused(
        read_audio, path, "more than one channel", "expected mono", "found 2 channels", "--convert"
    )
    np.testing.assert_allclose(read_audio(path, convert=True), (left + right) / 2, atol=1e-4)


def test_samples_that_are_not_finite(tmp_path):
    samples = sine()
    samples[[5, 900]] = np.nan, np.inf
    path = write(tmp_path / "nan.wav", samples, subtype="FLOAT")
    assert_refused(
        read_audio, path, "not finite", "expected finite numbers", "found 2 NaN or infinite samples"
    )


def test_silence(tmp_path):
    path = write(tmp_path / "silent.wav", np.zeros(RATE))
    assert_refused(read_audio, path, "silent", "expected a level above -80 dBFS", "found digital silence")
    # A sine of amplitude a has the level a / sqrt(2): 20 log10(0.3e-4 / sqrt(2)) = -93.5 dBFS.
    path = write(tmp_path / "faint.wav", sine(level=0.3e-4), subtype="FLOAT")
    assert_refused(read_audio, path, "silent", "found -93 dBFS")
    # 20 log10(3e-4 / sqrt(2)) = -73.5 dBFS.
    assert len(read_audio(write(tmp_path / "quiet.wav", sine(level=3e-4), subtype="FLOAT"))) == 2 * RATE


def test_too_short(tmp_path):
    path = write(tmp_path / "short.wav", sine(0.02))
    assert_refused(read_audio, path, "too short", "expected at least 0.1 s", "found 0.020 s")
    assert len(read_audio(write(tmp_path / "enough.wav", sine(0.1)))) == 1600


def test_stated_duration(tmp_path):
    path = write(tmp_path / "a.wav", sine(2.0))
    read_audio(path, seconds=2.01)
    assert_refused(read_audio, path, "stated length", "expected 2.030 s", "found 2.000 s", seconds=2.03)
    assert_refused(read_audio, path, "stated length", "expected 1.970 s", "found 2.000 s", seconds=1.97)
    assert len(read_audio(path, start=8000, stop=24000, seconds=1.0)) == 16000
    assert_refused(read_audio, path, "expected 2.000 s", "found 1.000 s", start=8000, stop=24000, seconds=2.0)


def test_segment(tmp_path):
    path = write(tmp_path / "a.wav", sine())
    np.testing.assert_array_equal(read_audio(path, start=100, stop=5000), read_audio(path)[100:5000])
    assert len(read_audio(path, start=30000)) == 2000


@pytest.mark.parametrize(
    ("start", "stop"), [(-1, None), (32000, None), (0, 32001), (5000, 3000), (5000, 5000), (0, -1)]
)
def test_segment_outside_the_file(tmp_path, start, stop):
    path = write(tmp_path / "a.wav", sine())
    found = f"found start {start}, stop {stop}"
    expected = "expected 0 <= start < stop <= 32000"
    assert_refused(read_audio, path, "the segment lies outside", expected, found, start=start, stop=stop)


def test_random_crop_is_a_piece_of_the_utterance():
    samples = np.arange(1000)
    crop = random_crop(samples, 300, np.random.default_rng(1))
    assert len(crop) == 300
    np.testing.assert_array_equal(crop, samples[crop[0] : crop[0] + 300])
    np.testing.assert_array_equal(random_crop(samples, 1000, np.random.default_rng(1)), samples)


def test_random_crop_repeats_a_short_utterance():
    samples = np.arange(7)
    crop = random_crop(samples, 20, np.random.default_rng(2))
    np.testing.assert_array_equal(crop, (crop[0] + np.arange(20)) % 7)


@pytest.mark.parametrize(("samples", "length", "places"), [(20, 11, 10), (10, 15, 10)])
def test_random_crop_takes_every_place_alike(samples, length, places):
    # 5,000 draws from 10 places: 500 each, standard deviation sqrt(5000 * 0.1 * 0.9) = 21; 5 deviations.
    rng = np.random.default_rng(3)
    starts = [random_crop(np.arange(samples), length, rng)[0] for _ in range(5000)]
    counts = np.bincount(starts, minlength=places)
    assert len(counts) == places
    assert np.abs(counts - 500).max() < 5 * 21


def test_random_crop_follows_its_generator():
    samples = np.arange(100000)
    draws = [
        [random_crop(samples, 10, rng)[0] for _ in range(5)] for rng in map(np.random.default_rng, (4, 4, 5))
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


@pytest.mark.parametrize("read", [read_audio, lambda path, **options: list(read_blocks(path, **options))])
def test_a_sample_rate_that_nobody_records_at(tmp_path, read):
    """Its filter has 20 taps for each Hz: of a damaged header more than the memory holds."""
    path = write(tmp_path / "a.wav", sine())
    content = bytearray(path.read_bytes())
    for rate in (1, 999, 384_001, 2**31 - 1):
        content[24:28] = struct.pack("<I", rate)
        path.write_bytes(content)
        assert assert_refused(read, path, "no sample rate", f"{rate} Hz", convert=True)


def test_a_coding_that_cannot_seek(tmp_path):
    """GSM 6.10, of telephone systems: only from its beginning, and in pieces whose length is given."""
    path = write(tmp_path / "a.wav", sine(), subtype="GSM610")
    whole = read_audio(path)
    assert len(whole) == pytest.approx(2 * RATE, abs=320)
    assert np.array_equal(np.concatenate(list(read_blocks(path))), whole)
    assert np.array_equal(read_audio(path, start=5000, stop=9000), whole[5000:9000])
    assert np.array_equal(np.concatenate(list(read_blocks(path, start=5000, stop=9000))), whole[5000:9000])


def test_a_segment_beyond_the_end_of_a_flac_that_was_cut_off(tmp_path):
    path = write(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE))
    path.write_bytes(path.read_bytes()[:20000])
    for read in (read_audio, lambda path, **options: list(read_blocks(path, **options))):
        assert assert_refused(read, path, "decoding failed", start=30000)


def test_a_path_that_the_system_refuses(tmp_path):
    assert assert_refused(read_audio, tmp_path / f"{'x' * 300}.wav", "cannot be opened", "too long")
