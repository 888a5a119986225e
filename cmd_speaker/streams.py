"""Audio that comes in pieces, so that a recording of any length needs bounded memory.

A block is float32 [samples]; all but the last may have any length. What is made of blocks does not depend on
where they are cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from math import ceil, gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from cmd_speaker.audio import (
    SAMPLE_RATE,
    AudioPlace,
    check_form,
    check_length,
    check_segment,
    decoding,
    info_of,
    opened,
    resample,
    seeks_exactly,
)

BLOCK = 1 << 18
"""Samples that are read of a file at once: 16 s at 16 kHz."""


class Window(NamedTuple):
    """A stretch of a recording: its place in samples, and its samples."""

    start: int
    samples: np.ndarray

    @property
    def stop(self) -> int:
        return self.start + len(self.samples)


def read_blocks(
    place: AudioPlace,
    *,
    start: int = 0,
    stop: int | None = None,
    seconds: float | None = None,
    convert: bool = False,
) -> Iterator[np.ndarray]:
    """What `read_audio` gives, in blocks; its checks of what is heard are left to the caller.

    Raises as `read_audio`, before the first block or after the last.
    """
    with opened(place) as (path, file):
        check_form(info_of(file), path, SAMPLE_RATE, convert=convert)
        end = check_segment(file.frames, start, stop, path)
        yield from resample_blocks(_decoded(file, path, start, end, seconds), file.samplerate, SAMPLE_RATE)


def _decoded(
    file: soundfile.SoundFile, path: Path, start: int, end: int, seconds: float | None
) -> Iterator[np.ndarray]:
    place = start if seeks_exactly(file) else 0
    with decoding(path):
        if place:
            file.seek(place)
    while place < end:
        with decoding(path):
            block = file.read(min(BLOCK, end - place), dtype="float32")
        if not len(block):
            break
        kept = block[max(0, start - place) :]
        place += len(block)
        if len(kept):
            yield kept.mean(axis=1) if kept.ndim == 2 else kept
    check_length(place - start, end - start, file.samplerate, seconds, path)


def resample_blocks(blocks: Iterable[np.ndarray], rate_in: int, rate_out: int) -> Iterator[np.ndarray]:
    """Blocks that, one after the other, are what `resample` makes of the whole.

    Its filter (SciPy's polyphase one) reaches 10 / min(1, rate_out / rate_in) samples to both sides: each block is
    resampled between as many of its neighbours' samples, which are then cut away.
    """
    if rate_in == rate_out:
        yield from blocks
        return
    up, down = rate_out // gcd(rate_in, rate_out), rate_in // gcd(rate_in, rate_out)
    # Cuts at multiples of `down` lie on the grid of the new samples.
    reach = ceil((10 * max(up, down) / up + 1) / down) * down
    held, before = np.empty(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        ready = (len(held) - before - reach) // down * down
        if ready <= 0:
            continue
        found = resample(held[: before + ready + reach], rate_in, rate_out)
        yield found[before * up // down : (before + ready) * up // down]
        kept = max(0, before + ready - reach)
        held, before = held[kept:], before + ready - kept
    if len(held) > before:
        yield resample(held, rate_in, rate_out)[before * up // down :]


def cut_windows(blocks: Iterable[np.ndarray], size: int, hop: int) -> Iterator[Window]:
    """Windows of `size` samples, each `hop` after the one before.

    The last one ends where the recording ends, so that nothing is left over; a recording shorter than `size` is
    one window.
    """
    held: deque[np.ndarray] = deque()
    begin, start, total, last = 0, 0, 0, -1
    for block in blocks:
        held.append(block)
        total += len(block)
        while start + size <= total:
            yield Window(start, _stretch(held, start - begin, start - begin + size))
            last, start = start, start + hop
        # As far back as a last window may reach.
        while held and begin + len(held[0]) <= min(start, total - size):
            begin += len(held.popleft())
    if last < 0 and total:
        yield Window(0, np.concatenate(held))
    elif last >= 0 and last + size < total:
        yield Window(total - size, _stretch(held, total - size - begin, total - begin))


def _stretch(blocks: Iterable[np.ndarray], start: int, stop: int) -> np.ndarray:
    """Samples `start` to `stop` of blocks that lie one after the other."""
    parts = []
    for block in blocks:
        parts.append(block[max(0, start) : max(0, stop)])
        start, stop = start - len(block), stop - len(block)
    return np.concatenate(parts)
