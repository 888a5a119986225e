"""The one way audio comes in: read, check, convert where asked, crop.

Samples are float32 in [-1, 1], one channel, as a NumPy array of shape [samples].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from cmd_speaker.containers import check_complete
from cmd_speaker.errors import DataError

SAMPLE_RATE = 16000
EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3")
SAMPLED = ("PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Codings of a sample each, wav's and flac's: seeking gives the samples that decoding up to there gives."""
RATES = (1_000, 384_000)
"""Lowest and highest sample rate, in Hz, that is converted."""
MIN_SECONDS = 0.1
"""Ten frames: under that the convolutions of an encoder see padding only."""
SILENCE_DBFS = -80.0
SILENCE = 10 ** (SILENCE_DBFS / 20)
"""Level, the root of the mean square, below which there is nothing to hear."""
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


@dataclass(frozen=True)
class Embedded:
    """A whole audio file that lies within something else: `open` gives its bytes, `path` names it in errors."""

    path: Path
    open: Callable[[], BinaryIO]


AudioPlace = str | Path | Embedded
"""Where audio is read from."""


def probe(place: AudioPlace) -> AudioInfo:
    """Sample rate, channels and length in samples, from the header alone.

    Raises `DataError` if the file is missing, empty, not audio or, for wav and ogg, cut off before its
    end; that a flac or mp3 file was cut off shows when it is decoded.
    """
    with opened(place) as (_, file):
        return info_of(file)


def read_audio(
    place: AudioPlace,
    sample_rate: int = SAMPLE_RATE,
    *,
    start: int = 0,
    stop: int | None = None,
    seconds: float | None = None,
    convert: bool = False,
    min_seconds: float = MIN_SECONDS,
    max_seconds: float | None = None,
) -> np.ndarray:
    """Read one utterance as float32 [samples] at `sample_rate` Hz, mono.

    `start` and `stop` are in samples of the file. `seconds` is the duration that a manifest
    states; the segment must have it. A file at another rate or with several channels is an error
    unless `convert` is set (polyphase resampling, mean of the channels): an 8 kHz file lacks half
    the band, and two telephone channels are two speakers, so neither is done unasked. What is longer than
    `max_seconds` is refused before it is decoded.

    Raises `DataError` for anything that would yield no trustworthy embedding.
    """
    with opened(place) as (path, file):
        check_form(info_of(file), path, sample_rate, convert=convert)
        end, rate = check_segment(file.frames, start, stop, path), file.samplerate
        check_not_too_long((end - start) / rate, max_seconds, path)
        samples = _decode_utterance(file, path, start, end, seconds)
    if rate != sample_rate:
        samples = resample(samples, rate, sample_rate)
    check_samples(samples, sample_rate, path, min_seconds)
    return np.ascontiguousarray(samples)


def read_crop(
    place: AudioPlace,
    length: int,
    rng: np.random.Generator,
    *,
    start: int = 0,
    stop: int | None = None,
    seconds: float | None = None,
) -> np.ndarray:
    """What `random_crop(read_audio(place, ...), length, rng)` gives, decoding no more than is needed.

    Wav and flac are decoded only where the crop is; other forms, and what is shorter than the crop, as a whole.
    `read_audio`'s checks of the header are all made, those of the samples on the crop alone. But a pause is no
    fault: only where a crop is silent is the whole utterance held against silence. Raises as `read_audio`.
    """
    with opened(place) as (path, file):
        check_form(info_of(file), path, SAMPLE_RATE)
        end = check_segment(file.frames, start, stop, path)
        if end - start > length and seeks_exactly(file):
            check_length(end - start, end - start, SAMPLE_RATE, seconds, path)
            first = start + _crop_start(end - start, length, rng)
            crop = _decode_utterance(file, path, first, first + length)
            check_finite(crop, path)
            if level_of(crop) < SILENCE:
                check_samples(_decode_utterance(file, path, start, end), SAMPLE_RATE, path)
            return crop
        samples = _decode_utterance(file, path, start, end, seconds)
    check_samples(samples, SAMPLE_RATE, path)
    return random_crop(samples, length, rng)


def resample(samples: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """Polyphase resampling of [samples] from `rate_in` to `rate_out` Hz."""
    from scipy.signal import resample_poly

    common = gcd(rate_in, rate_out)
    return resample_poly(samples, rate_out // common, rate_in // common).astype(np.float32)


def check_samples(
    samples: np.ndarray, sample_rate: int, path: str | Path | None = None, min_seconds: float = MIN_SECONDS
) -> None:
    """Raise `DataError` if [samples] is too short, not finite or silent."""
    check_finite(samples, path)
    if len(samples) < min_seconds * sample_rate:
        raise DataError(
            "too short to embed", file=path, expected=f"at least {min_seconds} s",
            found=f"{len(samples) / sample_rate:.3f} s", fix="Leave it out or use a longer recording",
        )  # fmt: skip
    level = level_of(samples)
    if level < SILENCE:
        raise DataError(
            "the file is silent", file=path, expected=f"a level above {SILENCE_DBFS:.0f} dBFS",
            found="digital silence" if level == 0 else f"{20 * np.log10(level):.0f} dBFS",
            fix="Leave it out or record it again",
        )  # fmt: skip


def check_not_too_long(seconds: float, most: float | None, path: str | Path | None = None) -> None:
    """Raise `DataError` for a recording of more than `most` seconds, which would be held as a whole."""
    if most is not None and seconds > most:
        raise DataError(
            "too long to embed as a whole", file=path, expected=f"at most {most:g} s", found=f"{seconds:.0f} s",
            fix="Embed it in windows; cmd-speaker embed does: --window 10",
        )  # fmt: skip


def random_crop(samples: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """`length` samples from a random place; a shorter utterance is repeated until it is long enough."""
    if len(samples) >= length:
        start = _crop_start(len(samples), length, rng)
        return samples[start : start + length]
    start = int(rng.integers(len(samples)))
    return np.take(samples, np.arange(start, start + length), mode="wrap")


def check_segment(total: int, start: int, stop: int | None, path: Path) -> int:
    """The end of a segment of a file of `total` samples; raises `DataError` where it lies outside."""
    outside = start < 0 or start >= max(total, 1)
    if outside or (stop is not None and not start < stop <= total):
        raise DataError(
            "the segment lies outside the file",
            file=path,
            expected=f"0 <= start < stop <= {total}",
            found=f"start {start}, stop {stop}",
            fix="Correct start and stop (in samples), or prepare the manifest again",
        )
    return total if stop is None else stop


def check_length(found: int, declared: int, rate: int, seconds: float | None, path: Path) -> None:
    """Raise `DataError` unless `found` samples are the `declared` ones and last the manifest's `seconds`."""
    expected = declared / rate if seconds is None else seconds
    if abs(found / rate - expected) > DURATION_TOLERANCE or found < declared:
        raise DataError(
            "the audio does not have the stated length",
            file=path,
            expected=f"{expected:.3f} s",
            found=f"{found / rate:.3f} s",
            fix="The file was cut off or changed: copy it again or prepare the manifest again",
        )


@contextmanager
def opened(place: AudioPlace) -> Iterator[tuple[Path, soundfile.SoundFile]]:
    """What to call the audio in errors, and its decoder, once its container was found whole."""
    path = place.path if isinstance(place, Embedded) else Path(place)
    try:
        if not isinstance(place, Embedded) and not path.is_file():
            raise DataError("no such audio file", file=path, fix="Check the path and the data root")
        stream = place.open() if isinstance(place, Embedded) else path.open("rb")
    except OSError as error:
        raise DataError("the file cannot be opened", file=path, found=error.strerror) from error
    with stream:
        size = stream.seek(0, 2)
        if size == 0:
            raise DataError("the file is empty (0 bytes)", file=path, fix="Copy or record it again")
        check_complete(stream, size, path)
        try:
            file = soundfile.SoundFile(stream)
        except soundfile.LibsndfileError as error:
            raise DataError(
                "not readable as audio",
                file=path,
                expected="wav, flac, ogg, opus or mp3",
                found=str(error.error_string).rstrip("."),
                fix="Convert it, for example with ffmpeg, or copy it again if it was cut off",
            ) from error
        with file:
            yield path, file


def info_of(file: soundfile.SoundFile) -> AudioInfo:
    return AudioInfo(file.samplerate, file.channels, file.frames)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Raise `DataError` where libsndfile cannot decode what the block asks for."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise DataError(
            "decoding failed", file=path, expected="audio up to the end that its header declares",
            found=str(error.error_string).rstrip("."), fix="Copy the file again",
        ) from error  # fmt: skip


def seeks_exactly(file: soundfile.SoundFile) -> bool:
    return file.subtype in SAMPLED and file.format != "OGG"


def _decode_utterance(
    file: soundfile.SoundFile, path: Path, start: int, end: int, seconds: float | None = None
) -> np.ndarray:
    """Samples `start` to `end`, the mean of the channels; they must be there and last `seconds`."""
    with decoding(path):
        if seeks_exactly(file):
            file.seek(start)
            samples = file.read(end - start, dtype="float32")
        else:
            # Seeking gives other samples than decoding up to there: take the segment afterwards.
            samples = file.read(end, dtype="float32")[start:]
    check_length(len(samples), end - start, file.samplerate, seconds, path)
    return samples.mean(axis=1) if samples.ndim == 2 else samples


def level_of(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _crop_start(total: int, length: int, rng: np.random.Generator) -> int:
    return int(rng.integers(total - length + 1))


def check_finite(samples: np.ndarray, path: str | Path | None) -> None:
    if not np.isfinite(samples).all():
        raise DataError(
            "samples are not finite", file=path, expected="finite numbers",
            found=f"{int((~np.isfinite(samples)).sum())} NaN or infinite samples",
            fix="Write the file again from its source",
        )  # fmt: skip


def check_rate(rate: int, path: Path | None = None) -> None:
    """Raise `DataError` for a sample rate that nobody records at, whose filter may need more than all memory."""
    low, high = RATES
    if not low <= rate <= high:
        raise DataError(
            "no sample rate of audio", file=path, expected=f"{low} to {high} Hz", found=f"{rate} Hz",
            fix="Give the rate at which it was recorded; of a file, copy it again",
        )  # fmt: skip


def check_form(info: AudioInfo, path: Path, sample_rate: int, *, convert: bool = False) -> None:
    """Raise `DataError` for another rate or several channels; with `convert`, for what cannot be converted."""
    if convert:
        check_rate(info.sample_rate, path)
        return
    if info.sample_rate != sample_rate:
        raise DataError(
            "wrong sample rate", file=path, expected=f"{sample_rate} Hz", found=f"{info.sample_rate} Hz",
            fix="Resample it; cmd-speaker embed can: --convert",
        )  # fmt: skip
    if info.channels != 1:
        raise DataError(
            "more than one channel", file=path, expected="mono", found=f"{info.channels} channels",
            fix="Choose a channel; cmd-speaker embed can take their mean: --convert",
        )  # fmt: skip
