"""Parts of an extraction: what became of so many utterances, in one file that is whole or not there."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically
from cmd_speaker.manifest import Utterance
from cmd_speaker.recording import Recording

SECOND = 10**9
DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass
class Part:
    """`names` are those of all its utterances; each has a recording or a place in `errors`, in their order.

    `made_of` is the checksum of the extraction's settings. `files` int64 [n, 2]: bytes of the audio files, and
    when they were changed (in ns), before they were read; -1 for one that was not there.
    """

    made_of: str
    names: list[str]
    files: np.ndarray
    recordings: dict[str, Recording] = field(default_factory=dict)
    errors: list[DataError] = field(default_factory=list)

    @classmethod
    def of(cls, utterances: Sequence[Utterance], made_of: str) -> Part:
        """One of which nothing is done yet."""
        return cls(made_of, [each.id for each in utterances], np.array(list(_files(utterances))))


def save_part(path: Path, part: Part) -> None:
    """Raises `DataError` as `write_atomically` does."""
    done = part.recordings.values()
    told = {
        "made_of": part.made_of,
        "names": part.names,
        "embedded": list(part.recordings),
        "seconds": [each.seconds for each in done],
        "lengths": [each.length for each in done],
        "errors": [_as_dict(error) for error in part.errors],
    }
    vectors = [each.embedding for each in done]
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file, told=np.array(json.dumps(told)), files=part.files,
            embeddings=np.stack(vectors) if vectors else np.empty((0, 0), np.float32),
        )  # fmt: skip


def load_part(path: Path, utterances: Sequence[Utterance], made_of: str) -> Part:
    """Raises `DataError` where it is damaged, or of other utterances or settings."""
    try:
        with np.load(path, allow_pickle=False) as file:
            told, vectors, files = json.loads(str(file["told"])), file["embeddings"], file["files"]
        known = zip(told["embedded"], vectors, told["seconds"], told["lengths"], strict=True)
        recordings = {name: Recording(vector, *lengths) for name, vector, *lengths in known}
        errors = [DataError(**each) for each in told["errors"]]
        part = Part(told["made_of"], told["names"], files, recordings, errors)
        if part.made_of != made_of or part.names != [each.id for each in utterances]:
            raise ValueError("that of another model, list or choice")
        if len(recordings) + len(part.errors) != len(utterances):
            raise ValueError(f"{len(recordings)} embeddings and {len(part.errors)} errors")
    except DAMAGED as error:
        raise DataError(
            "the part is damaged or does not belong here", file=path,
            expected=f"what became of {len(utterances)} utterances", found=str(error),
            fix="Delete it: it will be made again",
        ) from error  # fmt: skip
    return part


def is_done(path: Path, utterances: Sequence[Utterance], made_of: str) -> bool:
    """Whether the part is there, and none of its audio files was changed since; raises as `load_part` does.

    A file that is not there is no change: parts can be joined where the audio is not.
    """
    if not path.is_file():
        return False
    then = load_part(path, utterances, made_of).files.tolist()
    return all(
        size < 0 or (size == size_then and _same_time(changed, changed_then))
        for (size_then, changed_then), (size, changed) in zip(then, _files(utterances), strict=True)
    )


def _files(utterances: Sequence[Utterance]) -> Iterator[tuple[int, int]]:
    """Size and time of change of each audio file; of one that is not there, -1 and -1."""
    for utterance in utterances:
        try:
            file = utterance.wav.stat()
            yield file.st_size, file.st_mtime_ns
        except (OSError, ValueError):  # The latter for a path with a zero byte.
            yield -1, -1


def _same_time(a: int, b: int) -> bool:
    """Of two times in ns; tar and scp copy whole seconds only."""
    return a == b or (a // SECOND == b // SECOND and 0 in (a % SECOND, b % SECOND))


def _as_dict(error: DataError) -> dict[str, Any]:
    texts = {name: getattr(error, name) for name in ("file", "expected", "found", "fix")}
    known = {name: None if value is None else str(value) for name, value in texts.items()}
    return {"problem": error.problem, "row": error.row, **known}
