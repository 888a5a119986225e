"""Parts of a run over faces: what became of so many pictures, in one file that is whole or not there."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.faces.embedding import USED, Outcome
from cmd_speaker.faces.sources import FaceSource
from cmd_speaker.files import write_atomically


class Part(NamedTuple):
    """`embeddings` [k, D] are those of the outcomes that are used; `files` what `stamps` gave of the pictures."""

    outcomes: list[Outcome]
    embeddings: np.ndarray
    files: np.ndarray


def load_part(path: Path, sources: Sequence[FaceSource]) -> Part:
    """Raises `DataError` where it is damaged or of other pictures."""
    try:
        with np.load(path, allow_pickle=False) as file:
            outcomes = [Outcome.of(each) for each in json.loads(str(file["outcomes"]))]
            part = Part(outcomes, file["embeddings"], file["files"])
        used = sum(outcome.status == USED for outcome in outcomes)
        if [each.id for each in outcomes] != [each.id for each in sources] or len(part.embeddings) != used:
            raise ValueError(f"{len(outcomes)} pictures and {len(part.embeddings)} embeddings, or other ones")
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            "the part is damaged", file=path, found=str(error), fix="Delete it: it will be made again"
        ) from error
    return part


def save_part(path: Path, done: Sequence[tuple[list[Outcome], np.ndarray]], files: np.ndarray) -> None:
    """Write what was done batch by batch; raises `DataError` as `write_atomically` does."""
    outcomes = [outcome.as_dict() for found, _ in done for outcome in found]
    vectors = [each for _, each in done if len(each)]
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file, outcomes=np.array(json.dumps(outcomes)),
            embeddings=np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32), files=files,
        )  # fmt: skip


def stamps(sources: Sequence[FaceSource]) -> np.ndarray:
    """Size and time of change of each file, int64 [n, 2]; of one that is gone, -1."""
    found = []
    for source in sources:
        try:
            file = source.path.stat()
            found.append((file.st_size, file.st_mtime_ns))
        except OSError:
            found.append((-1, -1))
    return np.array(found, np.int64)


def is_done(path: Path, sources: Sequence[FaceSource], files: np.ndarray) -> bool:
    """Whether the part is there, and was made of these files as they are now; raises as `load_part` does."""
    return path.is_file() and np.array_equal(load_part(path, sources).files, files)


def refuse_other_size(path: Path, embeddings: np.ndarray, before: Sequence[np.ndarray]) -> None:
    """Raise `DataError` unless a part's embeddings have the size of those of the parts before."""
    if before and embeddings.shape[1:] != before[0].shape[1:]:
        raise DataError(
            "the part has embeddings of another size", file=path, expected=f"{before[0].shape[1]} numbers",
            found=embeddings.shape[1], fix="Delete it: it will be made again",
        )  # fmt: skip
