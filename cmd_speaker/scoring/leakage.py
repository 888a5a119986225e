"""Data that shape the scores (a mean, a cohort, PLDA's training set) must not be the data that are scored.

A mean or cohort taken from the test list gives error rates that nobody gets who has one recording to judge,
so they are refused:

- the embeddings file that is scored, even where the trials use a part of it: which part would decide;
- an utterance of the trials, by its id;
- an embedding of the trials under another id, bit by bit the same;
- where the speakers of both are known, a speaker of the trials.

Utterances that are in the file that is scored but in no trial may be in another file too: only what occurs in
a trial is looked at, block by block, so that the check costs what the trials cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, odd: its powers weight the numbers of a row."""
FIX = "Take a training set that shares nothing with the trials"


class _Watched(NamedTuple):
    """Data that the trials must not use: which scored rows share an id or a speaker with it, bool [N], and the
    sorted hashes of its own rows."""

    role: str
    data: Embeddings
    same_id: np.ndarray
    same_speaker: np.ndarray
    hashes: np.ndarray


class LeakageCheck:
    """Watches which rows of `scored` the trials use; `speakers` maps its utterances, and others, to speakers."""

    def __init__(self, scored: Embeddings, speakers: Mapping[str, str] | None = None) -> None:
        self.scored = scored
        self._speakers = speakers or {}
        self._watched: list[_Watched] = []

    def add(self, role: str, data: Embeddings, speakers: Mapping[str, str] | None = None) -> None:
        """Watch for `data`, called `role` in errors; `speakers` are those of its utterances.

        Raises `DataError` where `data` is the file that is scored.
        """
        if data is self.scored or _same_file(data.path, self.scored.path):
            raise DataError(
                f"the {role} would be taken from the embeddings that are scored", file=data.path,
                expected="another file", found="the same", fix=FIX,
            )  # fmt: skip
        ids = set(data.ids)
        known = {**self._speakers, **(speakers or {})}
        theirs = {known[name] for name in data.ids if name in known}
        self._watched.append(
            _Watched(
                role,
                data,
                np.fromiter((name in ids for name in self.scored.ids), bool, len(self.scored)),
                np.fromiter((self._speakers.get(name) in theirs for name in self.scored.ids), bool),
                np.sort(row_hashes(data.vectors)),
            )
        )

    def check(self, rows: np.ndarray) -> None:
        """Raise `DataError` where one of the `rows` of the scored embeddings, which trials use, is watched for."""
        if not self._watched:
            return
        hashes = row_hashes(self.scored.vectors[rows])
        for watched in self._watched:
            for which, what in (
                (watched.same_id, "is in the {} too"),
                (watched.same_speaker, "is of a speaker of the {}"),
            ):
                if which[rows].any():
                    raise self._error(watched, rows[which[rows]], what)
            places = np.minimum(np.searchsorted(watched.hashes, hashes), len(watched.hashes) - 1)
            suspects = rows[watched.hashes[places] == hashes]
            vectors = watched.data.vectors
            for row in suspects.tolist():
                if (vectors == self.scored.vectors[row]).all(axis=1).any():
                    raise self._error(watched, np.array([row]), "has the same embedding as one of the {}")

    def _error(self, watched: _Watched, rows: np.ndarray, what: str) -> DataError:
        name = self.scored.ids[rows[0]]
        speaker = f" ('{self._speakers[name]}')" if what.startswith("is of") else ""
        return DataError(
            f"'{name}', which occurs in the trials, {what.format(watched.role)}{speaker}", file=watched.data.path,
            expected="nothing of the trials", found=f"{len(rows)} or more such utterances", fix=FIX,
        )  # fmt: skip


def row_hashes(vectors: np.ndarray) -> np.ndarray:
    """A 64-bit number for each row of float32 [N, D], equal for rows that are equal bit by bit: uint64 [N]."""
    bits = np.ascontiguousarray(vectors).view(np.uint32)
    with np.errstate(over="ignore"):
        weights = np.multiply.accumulate(np.full(bits.shape[1], MULTIPLIER))
        hashes = np.empty(len(bits), dtype=np.uint64)
        for start in range(0, len(bits), 4096):
            hashes[start : start + 4096] = bits[start : start + 4096].astype(np.uint64) @ weights
    return hashes


def _same_file(a: Path | None, b: Path | None) -> bool:
    return a is not None and b is not None and a.samefile(b)
