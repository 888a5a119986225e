"""The one way audio comes in: read, check, convert where asked, crop.

Samples are float32 in [-1, 1], one channel, as a NumPy array of shape [samples].
"""

from __future__ import annotations

import struct
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from cmd_speaker.errors import DataError

SAMPLE_RATE = 16000
EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3")
LOSSY = (".ogg", ".opus", ".mp3")
MIN_SECONDS = 0.1
"""Ten frames: under that the convolutions of an encoder see padding only."""
SILENCE_DBFS = -80.0
DURATION_TOLERANCE = 0.02
"""Seconds by which a file may differ from the duration that a manifest states."""


class AudioInfo(NamedTuple):
    """What the header of an audio file says."""

    sample_rate: int
    channels: int
    samples: int

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate


def audio_files(folder: str | Path) -> list[Path]:
    """Every audio file below `folder`, sorted; raises `DataError` where there is none."""
    found = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
    if not found:
        raise DataError(
            "no audio files below this folder", file=folder, expected=" ".join(EXTENSIONS), found="none",
            fix="Check the path",
        )  # fmt: skip
    return found


def probe(path: str | Path) -> AudioInfo:
    """Sample rate, channels and length in samples, from the header alone.

    Raises `DataError` if the file is missing, empty, not audio or, for wav and ogg, cut off before its
    end; that a flac or mp3 file was cut off shows when it is decoded.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("no such audio file", file=path, fix="Check the path and the data root")
    if path.stat().st_size == 0:
        raise DataError("the file is empty (0 bytes)", file=path, fix="Copy or record it again")
    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise DataError(
            "not readable as audio",
            file=path,
            expected="wav, flac, ogg, opus or mp3",
            found=str(error.error_string).rstrip("."),
            fix="Convert it, for example with ffmpeg, or copy it again if it was cut off",
        ) from error
    _check_complete(path, info.format)
    return AudioInfo(info.samplerate, info.channels, info.frames)


def read_audio(
    path: str | Path,
    sample_rate: int = SAMPLE_RATE,
    *,
    start: int = 0,
    stop: int | None = None,
    seconds: float | None = None,
    convert: bool = False,
    min_seconds: float = MIN_SECONDS,
) -> np.ndarray:
    """Read one utterance as float32 [samples] at `sample_rate` Hz, mono.

    `start` and `stop` are in samples of the file. `seconds` is the duration that a manifest
    states; the segment must have it. A file at another rate or with several channels is an error
    unless `convert` is set (polyphase resampling, mean of the channels): an 8 kHz file lacks half
    the band, and two telephone channels are two speakers, so neither is done unasked.

    Raises `DataError` for anything that would yield no trustworthy embedding.
    """
    path = Path(path)
    info = probe(path)
    if not convert:
        _check_form(path, info, sample_rate)
    outside = start < 0 or start >= max(info.samples, 1)
    if outside or (stop is not None and not start < stop <= info.samples):
        raise DataError(
            "the segment lies outside the file",
            file=path,
            expected=f"0 <= start < stop <= {info.samples}",
            found=f"start {start}, stop {stop}",
            fix="Correct start and stop (in samples), or prepare the manifest again",
        )
    # Seeking in a lossy stream gives other samples than decoding up to there: take the segment afterwards.
    lossy = path.suffix.lower() in LOSSY
    try:
        if lossy:
            samples = soundfile.read(str(path), dtype="float32")[0][start:stop]
        else:
            samples = soundfile.read(str(path), start=start, stop=stop, dtype="float32")[0]
    except soundfile.LibsndfileError as error:
        raise DataError(
            "decoding failed",
            file=path,
            expected="audio up to the end that its header declares",
            found=str(error.error_string).rstrip("."),
            fix="Copy the file again",
        ) from error
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    declared = (info.samples if stop is None else stop) - start
    _check_length(path, len(samples), declared, info.sample_rate, seconds)
    if info.sample_rate != sample_rate:
        samples = resample(samples, info.sample_rate, sample_rate)
    check_samples(samples, sample_rate, path, min_seconds)
    return np.ascontiguousarray(samples)


def resample(samples: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """Polyphase resampling of [samples] from `rate_in` to `rate_out` Hz."""
    from scipy.signal import resample_poly

    common = gcd(rate_in, rate_out)
    return resample_poly(samples, rate_out // common, rate_in // common).astype(np.float32)


def check_samples(
    samples: np.ndarray, sample_rate: int, path: str | Path | None = None, min_seconds: float = MIN_SECONDS
) -> None:
    """Raise `DataError` if [samples] is too short, not finite or silent."""
    if not np.isfinite(samples).all():
        raise DataError(
            "samples are not finite",
            file=path,
            expected="finite numbers",
            found=f"{int((~np.isfinite(samples)).sum())} NaN or infinite samples",
            fix="Write the file again from its source",
        )
    if len(samples) < min_seconds * sample_rate:
        raise DataError(
            "too short to embed",
            file=path,
            expected=f"at least {min_seconds} s",
            found=f"{len(samples) / sample_rate:.3f} s",
            fix="Leave it out or use a longer recording",
        )
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    if level < 10 ** (SILENCE_DBFS / 20):
        raise DataError(
            "the file is silent",
            file=path,
            expected=f"a level above {SILENCE_DBFS:.0f} dBFS",
            found="digital silence" if level == 0 else f"{20 * np.log10(level):.0f} dBFS",
            fix="Leave it out or record it again",
        )


def random_crop(samples: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """`length` samples from a random place; a shorter utterance is repeated until it is long enough."""
    if len(samples) >= length:
        offset = int(rng.integers(len(samples) - length + 1))
        return samples[offset : offset + length]
    offset = int(rng.integers(len(samples)))
    return np.take(samples, np.arange(offset, offset + length), mode="wrap")


def _check_form(path: Path, info: AudioInfo, sample_rate: int) -> None:
    if info.sample_rate != sample_rate:
        raise DataError(
            "wrong sample rate",
            file=path,
            expected=f"{sample_rate} Hz",
            found=f"{info.sample_rate} Hz",
            fix="Resample it; cmd-speaker embed can: --convert",
        )
    if info.channels != 1:
        raise DataError(
            "more than one channel",
            file=path,
            expected="mono",
            found=f"{info.channels} channels",
            fix="Choose a channel; cmd-speaker embed can take their mean: --convert",
        )


def _check_length(path: Path, found: int, declared: int, rate: int, seconds: float | None) -> None:
    expected = declared / rate if seconds is None else seconds
    if abs(found / rate - expected) > DURATION_TOLERANCE or found < declared:
        raise DataError(
            "the audio does not have the stated length",
            file=path,
            expected=f"{expected:.3f} s",
            found=f"{found / rate:.3f} s",
            fix="The file was cut off or changed: copy it again or prepare the manifest again",
        )


def _check_complete(path: Path, container: str) -> None:
    """Find files that were cut off: libsndfile reads such wav and ogg files without complaint."""
    if container in ("WAV", "WAVEX"):
        missing = _wav_bytes_missing(path)
    elif container == "OGG":
        missing = 0 if _ogg_has_end(path) else 1
    else:
        missing = 0
    if missing:
        raise DataError(
            "the file is truncated",
            file=path,
            expected="data up to the end that its header declares",
            found="no whole end-of-stream page" if container == "OGG" else f"{missing} bytes missing",
            fix="Copy it again from its source",
        )


def _wav_bytes_missing(path: Path) -> int:
    """Bytes that the `data` chunk (RIFF/WAVE) declares but the file does not hold."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, length = header[:4], struct.unpack("<I", header[4:])[0]
            if name == b"data":
                # Writers to a pipe cannot go back and leave 0 or the largest number.
                streamed = length in (0, 0xFFFFFFFF) or length >= 0x7FFFF000
                return 0 if streamed else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)
    return 0


def _ogg_has_end(path: Path) -> bool:
    """Whether the last Ogg page is whole and carries the end-of-stream flag (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 70000))
        tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    # Byte 26 counts the entries of the table of segment lengths that precedes the segments.
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    end = page + 27 + tail[page + 26] + sum(segments)
    return len(tail) >= end and bool(tail[page + 5] & 4)
