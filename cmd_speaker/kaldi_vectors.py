"""Embeddings in Kaldi's archives (`.ark`: ids, each with its vector) and tables of places in them (`.scp`).

See Kaldi's documentation, "Kaldi I/O mechanisms". Vectors are binary (float32 or float64) or text. All else is
refused unread, above all what the package kaldiio would execute: commands in an `.scp` (an entry with `|`)
and pickled objects in an archive.
"""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import write_atomically
from cmd_speaker.kaldi import read_table
from cmd_speaker.lists.lines import encode_ids

LONGEST = 1 << 20
"""Bytes in which an id, or a vector in text, must end."""
BINARY_TYPES: dict[bytes, np.dtype[Any]] = {b"FV ": np.dtype("<f4"), b"DV ": np.dtype("<f8")}
COPY = "Copy the vectors to a new archive with copy-vector SOURCE ark,scp:NEW.ark,NEW.scp"
Entry = np.ndarray | DataError
"""A vector, or why it cannot be read."""


def read_scp(path: Path) -> tuple[list[str], np.ndarray]:
    """Ids and vectors, float32 [N, D], in the order of the `.scp`; every archive is opened once.

    A relative name of an archive is looked for below the working directory, as Kaldi does, and then beside the
    `.scp`. Raises `DataError` or `DataErrors` for a table that `read_table` refuses, and with every row whose
    entry is a command or a range, or does not lead to a finite vector of the size of the others.
    """
    table = read_table(path)
    archives: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    entries: list[Entry] = [np.empty(0)] * len(table)
    for k, text in enumerate(table.values()):
        try:
            name, offset = _location(text)
        except DataError as error:
            entries[k] = error
        else:
            archives[name].append((k, offset))
    for name, places in archives.items():
        try:
            data = _map(_find(name, path.parent))
        except DataError as error:
            for k, _ in places:
                entries[k] = error
            continue
        for k, offset in places:
            try:
                entries[k] = _vector(data, offset)[0]
            except DataError as error:
                entries[k] = error
    return list(table), _stack(path, entries)


def read_ark(path: Path) -> tuple[list[str], np.ndarray]:
    """Ids and vectors, float32 [N, D], of a whole archive; the row in an error is the number of the vector.

    Raises `DataError` for an archive without vectors, and `DataErrors` for what is not a vector (nothing after
    it can be read), is not finite or has not the size of the others.
    """
    data = _map(path)
    ids: list[str] = []
    entries: list[Entry] = []
    position = 0
    while position < len(data):
        try:
            name, position = _id(data, position)
            vector, position = _vector(data, position)
        except DataError as error:
            entries.append(error)
            break
        ids.append(name)
        entries.append(vector)
    if not entries:
        raise DataError("the archive is empty", file=path, fix="Make it again")
    return ids, _stack(path, entries)


def write_ark(path: Path, ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write vectors [N, D] as a binary float32 archive; raises `DataError` for an id that is not one word."""
    with write_atomically(path) as temporary:
        _write(temporary, path, ids, vectors)


def write_scp(path: Path, ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write NAME.scp and its archive NAME.ark, which it names with its whole path: Kaldi reads it from any folder.

    An older NAME.scp is removed just before the archive appears, so that at no time one leads into a wrong
    archive. Raises as `write_ark` does.
    """
    ark = path.with_suffix(".ark").absolute()
    with write_atomically(path) as temporary_scp, write_atomically(ark) as temporary_ark:
        offsets = _write(temporary_ark, path, ids, vectors)
        lines = [f"{name} {ark}:{offset}\n" for name, offset in zip(ids, offsets, strict=True)]
        temporary_scp.write_text("".join(lines), encoding="utf-8", newline="\n")
        path.unlink(missing_ok=True)


def _write(file: Path, path: Path, ids: Sequence[str], vectors: np.ndarray) -> list[int]:
    """Write an archive and return where in it each vector starts."""
    header = b"\0BFV \4" + vectors.shape[1].to_bytes(4, "little")
    rows = np.ascontiguousarray(vectors, "<f4")
    offsets, position = [], 0
    with file.open("wb") as stream:
        for name, row in zip(encode_ids(path, ids).tolist(), rows, strict=True):
            stream.write(b"%b %b%b" % (name, header, row.tobytes()))
            offsets.append(position + len(name) + 1)
            position = offsets[-1] + len(header) + row.nbytes
    return offsets


def _location(text: str) -> tuple[str, int]:
    """The archive and the offset in an entry of an `.scp`; without an offset the vector is at its beginning."""
    problem = None
    if text.startswith("|") or text.endswith("|"):
        problem = "a command, which is never run"
    elif text.endswith("]"):
        problem = "a range of a matrix"
    if problem:
        raise DataError(problem, expected="ARCHIVE:OFFSET", found=f"'{text[:100]}'", fix=COPY)
    name, colon, offset = text.rpartition(":")
    return (name, int(offset)) if colon and offset.isdecimal() else (text, 0)


def _find(name: str, folder: Path) -> Path:
    for place in (Path(name), folder / name):
        if place.is_file():
            return place
    raise DataError(
        "no such archive",
        expected=f"{name} below {Path.cwd()} or {folder.absolute()}",
        found="none",
        fix="Run it from the folder in which the .scp was made, or correct the paths in the .scp",
    )


def _map(path: Path) -> mmap.mmap | bytes:
    """The content of a file, read as it is needed."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _id(data: mmap.mmap | bytes, start: int) -> tuple[str, int]:
    """The id at `start` of an archive, and where the vector starts."""
    stop = data.find(b" ", start, start + LONGEST)
    try:
        name = data[start:stop].decode() if stop > start else ""
    except UnicodeDecodeError:
        name = ""
    if not name:
        raise _no_vector("an id and a vector", data[start : start + 20])
    return name, stop + 1


def _vector(data: mmap.mmap | bytes, start: int) -> tuple[np.ndarray, int]:
    """The vector at `start` of an archive, a view if it is binary, and where it ends."""
    head = data[start : start + 10]
    if not head:
        raise _no_vector("a vector", f"the end of the archive: it has {len(data)} bytes")
    if head[:2] != b"\0B":
        return _text_vector(data, start)
    dtype = BINARY_TYPES.get(head[2:5])
    if dtype is None or head[5:6] != b"\4":
        raise _no_vector("a vector (FV or DV)", head[2:5])
    size = int.from_bytes(head[6:10], "little", signed=True)
    stop = start + 10 + size * dtype.itemsize
    if size < 1 or stop > len(data):
        raise _no_vector("a whole vector", f"one of {size} numbers that is cut off")
    return np.frombuffer(data, dtype, size, start + 10), stop


def _text_vector(data: mmap.mmap | bytes, start: int) -> tuple[np.ndarray, int]:
    stop = data.find(b"\n", start, start + LONGEST)
    stop = min(len(data), start + LONGEST) if stop < 0 else stop
    words = data[start:stop].split()
    if len(words) < 3 or (words[0], words[-1]) != (b"[", b"]"):
        raise _no_vector("a vector", data[start : start + 20])
    try:
        return np.array(words[1:-1], dtype=np.float64), stop + 1
    except ValueError as error:
        raise _no_vector("numbers", data[start : start + 20]) from error


def _stack(path: Path, entries: Sequence[Entry]) -> np.ndarray:
    """The vectors as a float32 matrix; raises `DataErrors` with every row that has none that fits."""
    size = next((len(entry) for entry in entries if isinstance(entry, np.ndarray)), 0)
    matrix = np.zeros((len(entries), size), np.float32)
    errors: dict[int, DataError] = {}
    # What overflows becomes infinite and is found below.
    with np.errstate(over="ignore"):
        for k, entry in enumerate(entries):
            if isinstance(entry, DataError):
                errors[k] = entry
            elif len(entry) != size:
                errors[k] = DataError(
                    "a vector of another size",
                    expected=f"{size} numbers as in the first",
                    found=len(entry),
                    fix="Put embeddings of one model into one file",
                )
            else:
                matrix[k] = entry
    for k in np.flatnonzero(~np.isfinite(matrix).all(axis=1)).tolist():
        errors[k] = DataError(
            "an embedding that is not finite",
            expected="finite float32 numbers",
            found="NaN or infinite numbers",
            fix="Check that audio file and the model, and embed it again",
        )
    if errors:
        listed = [errors[k].at(path, k + 1) for k in sorted(errors)]
        raise DataErrors(f"{path}: {len(errors)} of {len(entries)} embeddings cannot be read", listed)
    return matrix


def _no_vector(expected: str, found: bytes | str) -> DataError:
    return DataError("not a vector", expected=expected, found=found, fix=COPY)
