"""The registry of format 1, `registry.json` with its embeddings beside it: read once, to become one of today's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.files import file_checksum, load_stamped
from cmd_speaker.recording import Recording
from cmd_speaker.registry.enrolled import Enrolled
from cmd_speaker.registry.store import REMAKE

FILE_NAME = "registry.json"
FORMAT_VERSION = 1
EMBEDDINGS = f"embeddings-{'[0-9a-f]' * 16}.safetensors"
"""By this name alone are they deleted: other embeddings may lie beside them."""


@dataclass(frozen=True)
class Former:
    """What a registry of format 1 holds."""

    model: str
    model_path: str
    speakers: dict[str, list[Enrolled]]


def is_former(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file()


def load_former(folder: Path) -> Former:
    """Read it; raises `DataError` where it was changed, or is of another version."""
    return load_stamped(folder / FILE_NAME, FORMAT_VERSION, "registry", partial(_parse, folder), REMAKE)


def remove_former(folder: Path) -> None:
    """Delete its files; `registry.json` last, so that it is done again where this is broken off."""
    # The names under which embeddings were written, before they took their own, included.
    for pattern in (EMBEDDINGS, f".{EMBEDDINGS}.*.tmp", f".{FILE_NAME}.*.tmp"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)  # another process may do the same
    (folder / FILE_NAME).unlink(missing_ok=True)


def _parse(folder: Path, content: dict[str, Any]) -> Former:
    rows = [(name, each) for name, own in content["speakers"].items() for each in own]
    speakers: dict[str, list[Enrolled]] = {name: [] for name in content["speakers"]}
    if rows:
        named = content["embeddings"]
        path = folder / Path(named["file"]).name
        embeddings = load_embeddings(path)
        if file_checksum(path) != named["sha256"] or embeddings.ids != [each["sha256"] for _, each in rows]:
            raise DataError(
                "the embeddings of the registry were changed", file=path, expected="those that were enrolled",
                found="others", fix=REMAKE,
            )  # fmt: skip
        model = str(content["model"]["checksum"])
        for (name, each), vector in zip(rows, embeddings.vectors, strict=True):
            recording = Recording(vector, float(each["seconds"]), model=model)
            speakers[name].append(Enrolled(str(each["file"]), str(each["sha256"]), recording))
    nobody = [name for name, own in speakers.items() if not own]
    if nobody:
        raise ValueError(f"'{nobody[0]}' has no recording")
    return Former(str(content["model"]["checksum"]), str(content["model"]["path"]), speakers)
