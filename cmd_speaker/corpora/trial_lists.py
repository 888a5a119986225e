"""Published trial lists, which are recognised by their bytes and never by their names."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

from cmd_speaker.corpora.catalogue import CORPORA
from cmd_speaker.errors import DataError

VOXCELEB1_LISTS = {
    "303b2b657042a27bf465d4c8aa84e12765373cdc01046665241ccd5783bd5976": "VoxCeleb1-O (original, 37,720 trials)",
    "0bc0a0fe3e557f1a75fb71e566d862d460709e80a4fe28e80e49bc0ab3a536ea": "VoxCeleb1-O (cleaned, 37,611 trials)",
}
"""SHA-256 of `veri_test.txt` and `veri_test2.txt` as the University of Oxford publishes them."""


def recognise_list(path: str | Path) -> str | None:
    """What a trial list is, by its SHA-256 (unpacked, where it ends in .gz); None for an unknown list.

    Raises `DataError` where the file is missing or cannot be unpacked.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError) as error:
        raise DataError(
            "the trial list cannot be read", file=path, expected="a text file, packed with gzip or not",
            found=str(error), fix="Copy it again",
        ) from error  # fmt: skip
    return list_name(checksum)


def list_name(checksum: str) -> str | None:
    """The trial list whose unpacked file has this SHA-256; None for an unknown list."""
    corpora = {
        checksum: f"{corpus.name} {file.path} ({title})"
        for corpus in CORPORA.values()
        for file in corpus.files
        for checksum, title in file.known.items()
    }
    return (VOXCELEB1_LISTS | corpora).get(checksum)
