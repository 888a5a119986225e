"""From what people have (files, arrays, tensors, bytes, open files, live chunks) to what a model hears."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, NamedTuple, TypeAlias, cast

import numpy as np
import torch

from cmd_speaker.audio import (
    MIN_SECONDS,
    SAMPLE_RATE,
    SILENCE,
    AudioPlace,
    Embedded,
    check_finite,
    check_not_too_long,
    check_rate,
    check_samples,
    level_of,
    read_audio,
)
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.manifest import Utterance
from cmd_speaker.streams import read_blocks, resample_blocks
from cmd_speaker.vad import speech_detector

Samples: TypeAlias = np.ndarray | torch.Tensor
"""Of one channel, [n] or [1, n]: floating point in [-1, 1], or integers of 16 or 32 bits."""
AudioLike: TypeAlias = str | Path | bytes | BinaryIO | Samples | Iterable[Samples]
"""A path, the bytes of an audio file, an open one, samples, or samples in chunks."""
MAX_SECONDS = 1200.0
"""Longest recording that is embedded as a whole: an ECAPA-TDNN of 1,024 channels holds some 8 GB of it at once."""
IN_MEMORY = 64_000_000
"""Bytes of an open file that are held in memory, and not on the disk."""


@dataclass(frozen=True)
class Hearing:
    """What is done to a recording before it is embedded.

    `convert` allows other sample rates and several channels; `vad` takes out what is no speech; with a `window`,
    in seconds, the embedding is the mean of those of windows, each `hop` seconds (a window, unless given) after
    the one before, and memory is bounded.
    """

    convert: bool = False
    vad: bool = False
    window: float | None = None
    hop: float | None = None

    def __post_init__(self) -> None:
        if self.window is None:
            if self.hop is not None:
                raise UsageError("a hop is that of windows: give a window too")
            return
        if not MIN_SECONDS <= self.window <= MAX_SECONDS:
            raise UsageError(f"window {self.window}: expected {MIN_SECONDS} to {MAX_SECONDS:g} seconds")
        if self.hop is not None and not 1 / SAMPLE_RATE <= self.hop < float("inf"):
            raise UsageError(f"hop {self.hop}: expected a number of seconds above 0")

    @property
    def window_samples(self) -> int:
        assert self.window is not None
        return round(self.window * SAMPLE_RATE)

    @property
    def hop_samples(self) -> int:
        return self.window_samples if self.hop is None else round(self.hop * SAMPLE_RATE)

    def check(self) -> None:
        """Raise `UsageError` where something that this needs is not installed."""
        if self.vad:
            speech_detector()


class Heard(NamedTuple):
    """What is to be embedded, float32 [n] at 16 kHz, and the length of the recording in seconds."""

    samples: np.ndarray
    length: float

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def hear(samples: np.ndarray, hearing: Hearing, path: str | Path | None = None) -> Heard:
    """Checked samples at 16 kHz, and of them only speech where that is asked for.

    Raises `DataError` where nothing is left.
    """
    length = len(samples) / SAMPLE_RATE
    if hearing.vad:
        samples = speech_detector().speech(samples)
        if len(samples) < MIN_SECONDS * SAMPLE_RATE:
            raise DataError(
                "nobody speaks", file=path, expected=f"at least {MIN_SECONDS} s of speech",
                found=f"{len(samples) / SAMPLE_RATE:.2f} of {length:.2f} s",
                fix="Leave it out, or embed it without looking for speech",
            )  # fmt: skip
    return Heard(samples, length)


def hear_window(samples: np.ndarray, hearing: Hearing, path: Path | None = None) -> Heard | None:
    """As `hear`, but None where nothing is left: a pause is no fault of a recording."""
    check_finite(samples, path)
    length = len(samples) / SAMPLE_RATE
    if level_of(samples) < SILENCE:
        return None
    if hearing.vad:
        samples = speech_detector().speech(samples)
    return Heard(samples, length) if len(samples) >= MIN_SECONDS * SAMPLE_RATE else None


def read_utterance(
    utterance: Utterance, *, convert: bool = False, max_seconds: float | None = None
) -> np.ndarray:
    """The samples of one row of a manifest or list, float32 [n] at 16 kHz; raises as `read_audio` does."""
    return read_audio(
        utterance.wav,
        start=utterance.start,
        stop=utterance.stop,
        seconds=utterance.duration,
        convert=convert,
        max_seconds=max_seconds,
    )


def hear_audio(audio: AudioLike, sample_rate: int, hearing: Hearing) -> Heard:
    """A recording as a whole; raises as `read_audio` and `hear` do."""
    place, path = _place(audio), path_of(audio)
    if place is not None:
        samples = read_audio(place, convert=hearing.convert, max_seconds=MAX_SECONDS)
        return hear(samples, hearing, path)
    blocks, seconds = [], 0.0
    for block in audio_blocks(audio, sample_rate, hearing):
        blocks.append(block)
        seconds += len(block) / SAMPLE_RATE
        check_not_too_long(seconds, MAX_SECONDS)
    samples = np.concatenate([np.empty(0, np.float32), *blocks])
    check_samples(samples, SAMPLE_RATE)
    return hear(samples, hearing)


def audio_blocks(audio: AudioLike, sample_rate: int, hearing: Hearing) -> Iterator[np.ndarray]:
    """A recording of any length in blocks, float32 [n] at 16 kHz; `sample_rate` is that of samples and chunks."""
    place = _place(audio)
    if place is not None:
        return read_blocks(place, convert=hearing.convert)
    check_rate(sample_rate)
    chunks = [audio] if isinstance(audio, np.ndarray | torch.Tensor) else cast(Iterable[Samples], audio)
    return resample_blocks((_as_samples(chunk) for chunk in chunks), sample_rate, SAMPLE_RATE)


def path_of(audio: AudioLike) -> Path | None:
    """What to call audio in errors; None for samples, which have no name."""
    if isinstance(audio, str | Path):
        return Path(audio)
    if isinstance(audio, bytes):
        return Path("audio in memory")
    if not hasattr(audio, "read"):
        return None
    name = getattr(audio, "name", None)
    return Path(name if isinstance(name, str) else "audio in an open file")


def _place(audio: AudioLike) -> AudioPlace | None:
    """Where to read audio that is a file in some form, else None."""
    path = path_of(audio)
    if path is None or isinstance(audio, str | Path):
        return path
    if isinstance(audio, bytes):
        return Embedded(path, partial(BytesIO, audio))
    return Embedded(path, partial(_spooled, cast(BinaryIO, audio)))


def _spooled(file: BinaryIO) -> BinaryIO:
    """What is left of an open file, which may be a pipe; decoders want to go back and forth."""
    if isinstance(file.read(0), str):
        raise UsageError("the file is open as text: open audio as bytes, with open(path, 'rb')")
    copy = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
    shutil.copyfileobj(file, copy)
    return cast(BinaryIO, copy)


def _as_samples(chunk: Samples) -> np.ndarray:
    """float32 [n]; raises `DataError` for what are no samples of one channel."""
    if isinstance(chunk, torch.Tensor):
        # NumPy has no bfloat16.
        chunk = (chunk.float() if chunk.is_floating_point() else chunk).detach().cpu().numpy()
    samples = np.asarray(chunk)
    if samples.ndim == 2 and len(samples) == 1:
        samples = samples[0]
    if samples.ndim != 1:
        raise DataError(
            "samples must be of one channel", expected="[samples] or [1, samples]", found=samples.shape,
            fix="Choose a channel, or take their mean",
        )  # fmt: skip
    if samples.dtype.kind == "i" and samples.dtype.itemsize in (2, 4):
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    if samples.dtype.kind != "f":
        raise DataError(
            "these are no samples", expected="floating point in [-1, 1], int16 or int32", found=samples.dtype
        )
    return np.ascontiguousarray(samples, np.float32)
