"""Audio files that were cut off although libsndfile reads them without complaint: wav and ogg."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from cmd_speaker.errors import DataError


def check_complete(stream: BinaryIO, size: int, path: Path) -> None:
    """Raise `DataError`, about `path`, where a wav or ogg file of `size` bytes ends before its declared end.

    Anything else passes: that a flac or mp3 file was cut off shows when it is decoded. The stream is left at
    its beginning.
    """
    stream.seek(0)
    start, found = stream.read(4), ""
    if start == b"RIFF" and (missing := _wav_bytes_missing(stream, size)):
        found = f"{missing} bytes missing"
    elif start == b"OggS" and not _ogg_has_end(stream, size):
        found = "no whole end-of-stream page"
    if found:
        raise DataError(
            "the file is truncated",
            file=path,
            expected="data up to the end that its header declares",
            found=found,
            fix="Copy it again from its source",
        )
    stream.seek(0)


def _wav_bytes_missing(stream: BinaryIO, size: int) -> int:
    """Bytes that the `data` chunk (RIFF/WAVE) declares but the file does not hold."""
    stream.seek(12)
    while len(header := stream.read(8)) == 8:
        name, length = header[:4], struct.unpack("<I", header[4:])[0]
        if name == b"data":
            # Writers to a pipe cannot go back and leave 0 or the largest number.
            streamed = length in (0, 0xFFFFFFFF) or length >= 0x7FFFF000
            return 0 if streamed else max(0, stream.tell() + length - size)
        stream.seek(length + length % 2, 1)
    return 0


def _ogg_has_end(stream: BinaryIO, size: int) -> bool:
    """Whether the last Ogg page is whole and carries the end-of-stream flag (RFC 3533, section 6)."""
    stream.seek(max(0, size - 70000))
    tail = stream.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    # Byte 26 counts the entries of the table of segment lengths that precedes the segments.
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    end = page + 27 + tail[page + 26] + sum(segments)
    return len(tail) >= end and bool(tail[page + 5] & 4)
