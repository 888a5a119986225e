"""Published trial lists, which are recognised by their bytes and never by their names."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from pathlib import Path
from typing import NamedTuple

from cmd_speaker.corpora.catalogue import CORPORA
from cmd_speaker.errors import DataError


class PublishedList(NamedTuple):
    """A trial list of VoxCeleb1 as the University of Oxford publishes it; checksums are of the unpacked file.

    The lists E and H were not at hand: their numbers and checksums are those of public recipes (PaddleSpeech's).
    """

    name: str
    version: str
    file: str
    trials: int
    md5: str
    sha256: str = ""
    """Where the list was at hand to calculate it."""
    first: bytes = b""
    """Likewise its first line."""

    @property
    def title(self) -> str:
        return f"{self.name} ({self.version}, {self.trials:,} trials)"


_FIRST_O = b"1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav"
PUBLISHED_LISTS = (
    PublishedList(
        "VoxCeleb1-O",
        "original",
        "veri_test.txt",
        37_720,
        "29fc7cc1c5d59f0816dc15d6e8be60f7",
        "303b2b657042a27bf465d4c8aa84e12765373cdc01046665241ccd5783bd5976",
        _FIRST_O,
    ),
    PublishedList(
        "VoxCeleb1-O",
        "cleaned",
        "veri_test2.txt",
        37_611,
        "b73110731c9223c1461fe49cb48dddfc",
        "0bc0a0fe3e557f1a75fb71e566d862d460709e80a4fe28e80e49bc0ab3a536ea",
        _FIRST_O,
    ),
    PublishedList(
        "VoxCeleb1-E", "original", "list_test_all.txt", 581_480, "b9ecf7aa49d4b656aa927a8092844e4a"
    ),
    PublishedList(
        "VoxCeleb1-E", "cleaned", "list_test_all2.txt", 579_818, "a53e059deb562ffcfc092bf5d90d9f3a"
    ),
    PublishedList(
        "VoxCeleb1-H", "original", "list_test_hard.txt", 552_536, "21c341b6b2168eea2634df0fb4b8fff1"
    ),
    PublishedList(
        "VoxCeleb1-H", "cleaned", "list_test_hard2.txt", 550_894, "857790e09d579a68eb2e339a090343c8"
    ),
)
VOXCELEB1_LISTS = {
    checksum: each.title for each in PUBLISHED_LISTS for checksum in (each.sha256, each.md5) if checksum
}
"""SHA-256 or MD5 -> what the list is."""


def read_list(path: str | Path) -> bytes:
    """The text of a trial list, unpacked where gzip packed it, every line ending in a line feed.

    Copies that differ in line ends, lack the last one or have a byte-order mark hold the same trials. Raises
    `DataError` where the file is missing, empty or cannot be unpacked.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
        if text.startswith(b"\x1f\x8b"):
            text = gzip.decompress(text)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            "the trial list cannot be read", file=path, expected="a text file, packed with gzip or not",
            found=str(error), fix="Copy it again",
        ) from error  # fmt: skip
    text = text.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not text.strip():
        raise DataError("the trial list is empty", file=path, expected="a trial a line", fix="Copy it again")
    return text if text.endswith(b"\n") else text + b"\n"


def recognise_list(path: str | Path) -> str | None:
    """What a trial list is, by the checksum of `read_list`, which see; None for an unknown list."""
    text = read_list(path)
    return list_name(hashlib.sha256(text).hexdigest()) or list_name(md5_of(text))


def md5_of(text: bytes) -> str:
    """MD5 in hexadecimal: the checksum under which VoxCeleb's lists were published."""
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def published_list(text: bytes) -> PublishedList | None:
    """Which of `PUBLISHED_LISTS` this text is, by its checksum alone; None: none of them."""
    checksum = md5_of(text)
    return next((each for each in PUBLISHED_LISTS if each.md5 == checksum), None)


def list_name(checksum: str) -> str | None:
    """The trial list whose unpacked file has this SHA-256 or MD5; None for an unknown list."""
    corpora = {
        checksum: f"{corpus.name} {file.path} ({title})"
        for corpus in CORPORA.values()
        for file in corpus.files
        for checksum, title in file.known.items()
    }
    return (VOXCELEB1_LISTS | corpora).get(checksum)
