"""A part of a training manifest, for studies of how much data a teacher is worth."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from pathlib import Path

from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically


def training_subset(manifest: Path, out: Path, *, speakers: int = 0, utterances_per_speaker: int = 0) -> Path:
    """Write as `out` the manifest of so many speakers with so many utterances each, 0: all; its path.

    Where both are 0, that is `manifest` itself and nothing is written. Who is taken does not depend on the seed
    of a run, and a smaller part lies within every larger one: speakers and utterances are put in the order of the
    SHA-256 of their names. A speaker with fewer utterances keeps them all. Raises `DataError` for more speakers
    than there are.
    """
    if not speakers and not utterances_per_speaker:
        return manifest
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file, skipinitialspace=True)
    identifier, speaker = header.index("ID"), header.index("spk_id")
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_speaker[row[speaker]].append(row[identifier])
    if speakers > len(by_speaker):
        raise DataError(
            "more training speakers than there are", file=manifest, expected=f"at most {len(by_speaker)}, 0: all",
            found=speakers, fix="Choose a smaller training_speakers",
        )  # fmt: skip
    taken = sorted(by_speaker, key=by_hash)[: speakers or None]
    kept = {
        name
        for who in taken
        for name in sorted(by_speaker[who], key=by_hash)[: utterances_per_speaker or None]
    }
    with write_atomically(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [header, *(row for row in rows if row[identifier] in kept)]
        )
    return out


def by_hash(name: str) -> str:
    """The key that sorts names in an order that no seed and no other name changes: their SHA-256."""
    return hashlib.sha256(name.encode()).hexdigest()
