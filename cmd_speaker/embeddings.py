"""The file between a model and everything that scores: utterance ids with a float32 matrix.

`.npz` holds the arrays `ids` (strings) and `embeddings`; `.safetensors` holds the tensor `embeddings`
and, in its metadata under `ids`, the ids as a JSON list. Both may say, under `model`, which model made them.
`.scp` and `.ark` are Kaldi's. None of them can carry code.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.files import refuse_overwriting, refuse_unreplaceable, refuse_unwritable, write_atomically
from cmd_speaker.lists.lines import encode_ids

Contents = tuple[list[str], np.ndarray, str | None]
"""Ids, vectors and model of a file."""
EXTENSIONS = (".npz", ".safetensors", ".scp", ".ark")
REMAKE = "Make it again with cmd-speaker embed"


@dataclass
class Embeddings:
    """One embedding per utterance: `vectors` is float32 [N, D] and row k belongs to `ids[k]`.

    `model` is the checksum in the description of the model that made them; None where that is not known.
    """

    ids: list[str]
    vectors: np.ndarray
    path: Path | None = None
    model: str | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def index(self) -> dict[str, int]:
        """Utterance id -> row of `vectors`; raises `DataError` where an id occurs twice."""
        index = {name: row for row, name in enumerate(self.ids)}
        if len(index) < len(self.ids):
            seen: dict[str, int] = {}
            for row, name in enumerate(self.ids):
                first = seen.setdefault(name, row)
                if first != row:
                    raise DataError(
                        f"duplicate id '{name}'",
                        file=self.path,
                        expected="each id once",
                        found=f"embeddings {first + 1} and {row + 1}",
                        fix="Give every utterance an id of its own and embed again",
                    )
        return index


def load_embeddings(path: str | Path) -> Embeddings:
    """Read an embeddings file, recognised by its extension.

    Raises `DataError` for a missing or damaged file, missing arrays, another dtype or shape than float32
    [N, D], a number of ids other than N, and embeddings that are not finite.
    """
    path = Path(path)
    check_extension(path)
    if not path.is_file():
        raise DataError("no such embeddings file", file=path, fix="Make it with cmd-speaker embed")
    ids, vectors, model = _READERS[path.suffix.lower()](path)
    _check(ids, vectors, path)
    return Embeddings(ids, vectors, path, model)


def save_embeddings(path: str | Path, embeddings: Embeddings) -> None:
    """Write an embeddings file in the form that its extension names; either all of it appears or nothing.

    With `NAME.scp` the archive `NAME.ark` is written beside it. Kaldi's files do not keep the model. Raises
    `DataError` as `load_embeddings` would for the file, and where it cannot be written.
    """
    path = Path(path)
    check_extension(path)
    _check(embeddings.ids, embeddings.vectors, path)
    _WRITERS[path.suffix.lower()](path, embeddings)


def check_savable(path: Path, ids: Sequence[str], read: Sequence[Path | None]) -> None:
    """Raise, before embeddings of `ids` are made, what `save_embeddings` would raise afterwards.

    Raises `UsageError` where it would write over a file of those that are `read`.
    """
    check_extension(path)
    kind = path.suffix.lower()
    files = [path, path.with_suffix(".ark")] if kind == ".scp" else [path]
    refuse_overwriting(files, read)
    refuse_unwritable(path.parent)
    for file in files:
        refuse_unreplaceable(file)
    if kind in (".scp", ".ark"):
        encode_ids(path, ids)


def check_extension(path: Path) -> None:
    if path.suffix.lower() not in EXTENSIONS:
        raise DataError(
            "unknown kind of embeddings file",
            file=path,
            expected=", ".join(EXTENSIONS),
            found=f"'{path.suffix}'",
            fix="Name the file accordingly",
        )


def _write_npz(path: Path, embeddings: Embeddings) -> None:
    arrays: dict[str, Any] = {
        "ids": np.array(embeddings.ids, dtype=np.str_),
        "embeddings": embeddings.vectors,
    }
    if embeddings.model is not None:
        arrays["model"] = np.array(embeddings.model)
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _read_npz(path: Path) -> Contents:
    if not zipfile.is_zipfile(path):
        raise _damaged(path, "another kind of file, or part of one")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ("ids", "embeddings") if name not in file.files]
            if missing:
                raise _lacks(path, "arrays ids and embeddings", f"only {', '.join(file.files) or 'nothing'}")
            ids, vectors = file["ids"], file["embeddings"]
            model = file["model"] if "model" in file.files else None
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            raise DataError(
                "an array holds Python objects, which are never loaded",
                file=path,
                expected="ids as strings, embeddings as float32",
                found="dtype object",
                fix="Save the ids as numpy.array(ids, dtype=str)",
            ) from error
        raise _damaged(path, error) from error
    if ids.dtype.kind != "U" or ids.ndim != 1:
        raise DataError(
            "wrong ids",
            file=path,
            expected="a list of strings",
            found=f"{ids.dtype} {list(ids.shape)}",
            fix="Save the ids as numpy.array(ids, dtype=str)",
        )
    if model is not None and (model.dtype.kind != "U" or model.ndim != 0):
        raise DataError(
            "wrong name of the model",
            file=path,
            expected="one string",
            found=f"{model.dtype} {list(model.shape)}",
            fix=REMAKE,
        )
    return ids.tolist(), vectors, None if model is None else str(model)


def _write_safetensors(path: Path, embeddings: Embeddings) -> None:
    from safetensors.numpy import save

    # In ASCII: the name of a file may not be Unicode, and then an id made of it cannot be encoded.
    metadata = {"ids": json.dumps(embeddings.ids)}
    if embeddings.model is not None:
        metadata["model"] = embeddings.model
    content = save({"embeddings": np.ascontiguousarray(embeddings.vectors)}, metadata=metadata)
    with write_atomically(path) as temporary:
        temporary.write_bytes(_with_sorted_header(content))


def _with_sorted_header(content: bytes) -> bytes:
    """The same file: safetensors puts metadata in another order each time, and a checksum should not change."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), ensure_ascii=False, sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _read_safetensors(path: Path) -> Contents:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names, metadata = list(file.keys()), file.metadata() or {}
            if "embeddings" not in names:
                raise _lacks(path, "a tensor embeddings", f"only {', '.join(names) or 'nothing'}")
            stored = file.get_slice("embeddings")
            if stored.get_dtype() != "F32":
                raise _not_a_matrix(path, f"{stored.get_dtype()} {stored.get_shape()}")
            vectors = file.get_tensor("embeddings")
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise _damaged(path, error) from error
    if "ids" not in metadata:
        raise _lacks(path, "ids in the metadata", f"only {', '.join(metadata) or 'nothing'}")
    try:
        ids: Any = json.loads(metadata["ids"])
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
        raise DataError(
            "wrong ids", file=path, expected="a JSON list of strings", found=type(ids).__name__, fix=REMAKE
        )
    return ids, vectors, metadata.get("model")


def _read_kaldi(path: Path) -> Contents:
    from cmd_speaker.kaldi_vectors import read_ark, read_scp

    ids, vectors = read_scp(path) if path.suffix.lower() == ".scp" else read_ark(path)
    return ids, vectors, None


def _write_kaldi(path: Path, embeddings: Embeddings) -> None:
    from cmd_speaker.kaldi_vectors import write_ark, write_scp

    embeddings.index()  # An id that occurs twice could not be read again.
    write = write_scp if path.suffix.lower() == ".scp" else write_ark
    write(path, embeddings.ids, embeddings.vectors)


_READERS: dict[str, Callable[[Path], Contents]] = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".scp": _read_kaldi,
    ".ark": _read_kaldi,
}
_WRITERS: dict[str, Callable[[Path, Embeddings], None]] = {
    ".npz": _write_npz,
    ".safetensors": _write_safetensors,
    ".scp": _write_kaldi,
    ".ark": _write_kaldi,
}


def _check(ids: list[str], vectors: np.ndarray, path: Path) -> None:
    if vectors.dtype != np.float32 or vectors.ndim != 2:
        raise _not_a_matrix(path, f"{vectors.dtype} {list(vectors.shape)}")
    if len(ids) != len(vectors):
        raise DataError(
            "ids and embeddings differ in number",
            file=path,
            expected=f"{len(vectors)} ids",
            found=len(ids),
            fix=REMAKE,
        )
    if vectors.size == 0:
        raise DataError(
            "there are no embeddings",
            file=path,
            expected="at least one",
            found=list(vectors.shape),
            fix=REMAKE,
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(
            f"the embedding of '{ids[bad[0]]}' is not finite",
            file=path,
            expected="finite numbers",
            found=f"NaN or infinite numbers in {len(bad)} of {len(ids)} embeddings",
            fix="Check that audio file and the model, and embed it again",
        )


def _lacks(path: Path, expected: str, found: str) -> DataError:
    return DataError("not an embeddings file", file=path, expected=expected, found=found, fix=REMAKE)


def _not_a_matrix(path: Path, found: str) -> DataError:
    return DataError(
        "wrong embeddings",
        file=path,
        expected="a float32 matrix [N, D]",
        found=found,
        fix="Convert them with numpy.asarray(embeddings, dtype=numpy.float32)",
    )


def _damaged(path: Path, error: Exception | str) -> DataError:
    return DataError(
        "the file is damaged", file=path, expected=f"a whole {path.suffix} file", found=error, fix=REMAKE
    )
