"""A recording of an enrolled speaker, and the bytes that a registry keeps of it."""

from __future__ import annotations

import struct
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.files import file_checksum
from cmd_speaker.recording import Recording

if TYPE_CHECKING:
    from cmd_speaker.model import SpeakerModel

HEAD = struct.Struct("<dI")
"""Seconds, and the number of the name's bytes in UTF-8, which follow."""
NAME_BLOCK = 64
"""Names are filled up to so many bytes: the size of an encrypted row tells little about the name."""
UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories that would break a line or a terminal, turn its direction, or cannot be seen."""
JOINERS = "\u200c\u200d"
"""Of category Cf, but Persian names and emojis are spelt with them."""
NAME_CHARACTERS = 1000


@dataclass(frozen=True, eq=False)
class Enrolled:
    """One recording of a speaker: its file (named in errors only) and SHA-256, and what the model made of it."""

    file: str
    sha256: str
    recording: Recording

    @classmethod
    def of_file(
        cls, model: SpeakerModel, path: str | Path, *, convert: bool = False, vad: bool = False
    ) -> Enrolled:
        """Read and embed an audio file; raises as `SpeakerModel.recording`."""
        recording = model.recording(path, convert=convert, vad=vad)
        return cls(Path(path).name, file_checksum(Path(path)), recording)


class Content(NamedTuple):
    """What a row keeps: whose voice, how long, and the embedding's float32 numbers."""

    name: str
    seconds: float
    vector: bytes


def clean_name(name: str) -> str:
    """The name without spaces around it, in Unicode's form NFC, as which names are the same or not.

    Raises `DataError` for a name that is empty, holds what cannot be seen or printed on a line, or is longer than
    1000 characters.
    """
    clean = unicodedata.normalize("NFC", name).strip()
    if not 0 < len(clean) <= NAME_CHARACTERS or any(
        unicodedata.category(character) in UNPRINTABLE and character not in JOINERS for character in clean
    ):
        shown = repr(name if len(name) <= NAME_CHARACTERS else f"{name[:40]}...")
        raise DataError(
            "no name for a speaker", found=shown,
            expected=f"1 to {NAME_CHARACTERS} characters on one line, of any language, that can be seen",
        )  # fmt: skip
    return clean


def pack(name: str, recording: Recording) -> bytes:
    text = name.encode()
    filled = text + b"\0" * (-len(text) % NAME_BLOCK)
    return HEAD.pack(recording.seconds, len(text)) + filled + vector_bytes(recording.embedding)


def vector_bytes(vector: np.ndarray) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def unpack(content: bytes) -> Content:
    seconds, length = HEAD.unpack_from(content)
    start = HEAD.size
    name = content[start : start + length].decode()
    return Content(name, seconds, content[start + length + -length % NAME_BLOCK :])
