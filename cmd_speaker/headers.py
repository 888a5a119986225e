"""Many audio files at once, fast: which can be used, and how long they are, from the first bytes of each."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cmd_speaker.audio import MIN_SECONDS, SAMPLE_RATE, AudioInfo, AudioPlace, Embedded, probe, read_audio
from cmd_speaker.errors import DataError
from cmd_speaker.progress import track

FIRST_BYTES = 4096
"""Enough for the chunks that writers put before the samples."""
AT_ONCE = 64
"""Files that a thread takes together: handing over each of a million costs more than reading it."""
PCM, FLOAT = 1, 3
"""Format tags of RIFF/WAVE whose data chunk holds samples as they are."""


def read_header(place: AudioPlace) -> AudioInfo:
    """What `cmd_speaker.audio.probe` says, with one read for a plain wav or flac file.

    Everything else, and every file with which something may be wrong, is left to `probe`, which see for what
    is raised. As there, a flac file that was cut off shows only when it is decoded.
    """
    try:
        with place.open() if isinstance(place, Embedded) else open(place, "rb", buffering=0) as file:
            start, size = file.read(FIRST_BYTES), file.seek(0, os.SEEK_END)
    except OSError:
        return probe(place)
    parse = {b"RIFF": _wav, b"fLaC": _flac}.get(start[:4])
    return (parse and parse(start, size)) or probe(place)


def probe_fit(place: AudioPlace, *, full: bool = False) -> AudioInfo:
    """What the header of a file says that can be trained on or scored; `full` decodes it as well.

    Raises `DataError` as `read_header` does, and unless it is 16 kHz mono, `MIN_SECONDS` seconds at least.
    """
    info = read_header(place)
    if (info.sample_rate, info.channels) != (SAMPLE_RATE, 1) or info.seconds < MIN_SECONDS:
        path = place.path if isinstance(place, Embedded) else place
        found = f"{info.sample_rate} Hz, {info.channels} channel(s), {info.seconds:.3f} s"
        expected = f"{SAMPLE_RATE} Hz, 1 channel, at least {MIN_SECONDS} s"
        fix = f"Convert it, for example: ffmpeg -i IN -ac 1 -ar {SAMPLE_RATE} OUT.flac; or leave it out"
        raise DataError("not fit for use", file=path, expected=expected, found=found, fix=fix)
    if full:
        read_audio(place)
    return info


def probe_files(paths: Sequence[Path], *, full: bool = False) -> list[AudioInfo | DataError]:
    """For each file what `probe_fit` says, or what is wrong; one thread per core, with a progress bar."""

    def some(start: int) -> list[AudioInfo | DataError]:
        return [_probe_or_error(path, full) for path in paths[start : start + AT_ONCE]]

    title = "Decoding audio" if full else "Reading audio headers"
    starts = range(0, len(paths), AT_ONCE)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [result for part in track(pool.map(some, starts), title, len(starts)) for result in part]


def _probe_or_error(path: Path, full: bool) -> AudioInfo | DataError:
    """An error is returned, so that the other files are still looked at."""
    try:
        return probe_fit(path, full=full)
    except DataError as error:
        return error


def _wav(start: bytes, size: int) -> AudioInfo | None:
    """From a RIFF/WAVE file of `size` bytes whose data chunk is whole; None where that is not plain."""
    place, form = 12, None
    while start[8:12] == b"WAVE" and place + 8 <= len(start):
        name, length = struct.unpack_from("<4sI", start, place)
        if name == b"fmt " and place + 24 <= len(start):
            form = struct.unpack_from("<HHIIH", start, place + 8)
        elif name == b"data":
            tag, channels, rate, _, block = form or (0, 0, 0, 0, 0)
            whole = 0 < length <= size - place - 8
            if tag in (PCM, FLOAT) and whole and channels and rate and block:
                return AudioInfo(rate, channels, length // block)
            return None
        place += 8 + length + length % 2
    return None


def _flac(start: bytes, size: int) -> AudioInfo | None:
    """From STREAMINFO, the first metadata block (RFC 9639, section 8.2); None where it does not tell all."""
    del size  # how long the packed samples are, the header does not say
    if len(start) < 26 or start[4] & 0x7F:
        return None
    # 20 bits sample rate, 3 bits channels less one, 5 bits sample size, 36 bits samples.
    bits = int.from_bytes(start[18:26], "big")
    rate, channels, samples = bits >> 44, (bits >> 41 & 7) + 1, bits & (1 << 36) - 1
    return AudioInfo(rate, channels, samples) if rate and samples else None
