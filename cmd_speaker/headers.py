"""Durations of many audio files, fast: from the first bytes of plain wav and flac files."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from cmd_speaker.audio import AudioInfo, probe

FIRST_BYTES = 4096
"""Enough for the chunks that writers put before the samples."""
PCM, FLOAT = 1, 3
"""Format tags of RIFF/WAVE whose data chunk holds samples as they are."""


def read_header(path: str | Path) -> AudioInfo:
    """What `cmd_speaker.audio.probe` says, with one read for a plain wav or flac file.

    Everything else, and every file with which something may be wrong, is left to `probe`, which see for what
    is raised. As there, a flac file that was cut off shows only when it is decoded.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            start, size = file.read(FIRST_BYTES), os.fstat(file.fileno()).st_size
    except OSError:
        return probe(path)
    parse = {b"RIFF": _wav, b"fLaC": _flac}.get(start[:4])
    return (parse and parse(start, size)) or probe(path)


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
