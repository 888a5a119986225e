"""Enrolled speakers on disk: a folder with `registry.json` and their embeddings.

The registry belongs to one model, by its checksum: embeddings of different models cannot be compared.
`registry.json` names the file of the embeddings with its checksum and is replaced last, so that an enrolment
is there as a whole or not at all. Nothing in the folder is ever run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.decision import Recording
from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.files import file_checksum, json_checksum, load_stamped, locked, save_stamped

FILE_NAME = "registry.json"
FORMAT_VERSION = 1
REMAKE = "Copy it again from its source, or begin one with cmd-speaker enroll --model MODEL"


@dataclass(frozen=True, eq=False)
class Enrolled:
    """One recording of an enrolled speaker: its file's name and SHA-256, and what the model made of it."""

    file: str
    sha256: str
    recording: Recording


@dataclass(frozen=True, eq=False)
class Registry:
    """Names with their recordings. `model` is the checksum of the model, `model_path` where it was last seen.

    `checksum` is that of the `registry.json` that was read, None for a new registry.
    """

    folder: Path
    model: str
    model_path: str
    speakers: Mapping[str, tuple[Enrolled, ...]] = field(default_factory=dict)
    checksum: str | None = None

    def enrol(self, name: str, recordings: list[Enrolled]) -> Registry:
        """With more recordings of `name`, who may be new.

        Raises `DataError` as `check_name` does, and for a recording that is enrolled already.
        """
        check_name(name)
        known = {each.sha256: other for other, own in self.speakers.items() for each in own}
        for each in recordings:
            if each.sha256 in known:
                raise DataError(
                    "this recording is enrolled already", file=each.file, expected="each recording once",
                    found=f"it stands under '{known[each.sha256]}'", fix="Leave it out, or forget that name first",
                )  # fmt: skip
            known[each.sha256] = name
        own = (*self.speakers.get(name, ()), *recordings)
        return replace(self, speakers={**self.speakers, name: own})

    def forget(self, name: str) -> Registry:
        """Without `name`; raises `DataError` where nobody is called so."""
        if name not in self.speakers:
            raise DataError(
                f"nobody called '{name}' is enrolled",
                file=self.folder,
                expected=", ".join(self.speakers) or None,
            )
        return replace(self, speakers={other: own for other, own in self.speakers.items() if other != name})

    def model_folder(self) -> Path:
        """Where the model was last seen; not necessarily still there."""
        return self.folder / self.model_path

    def check_model(self, checksum: str, folder: str | Path) -> None:
        """Raise `DataError` unless the model in `folder`, whose checksum is given, is the registry's."""
        if checksum != self.model:
            raise DataError(
                "the registry belongs to another model", file=self.folder,
                expected=f"the model {self.model[:12]}...", found=f"{checksum[:12]}... in {folder}",
                fix="Give the model of the enrolment with --model, or enrol again under this one",
            )  # fmt: skip

    def save(self) -> None:
        """Write the registry, whole or not at all; embeddings that it no longer has are deleted.

        Raises `DataError` where another process has changed it since it was read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            self._replace()

    def _replace(self) -> None:
        path = self.folder / FILE_NAME
        found = file_checksum(path) if path.is_file() else None
        if found != self.checksum:
            raise DataError(
                "the registry was changed meanwhile", file=path, expected=f"checksum {self.checksum}",
                found=found, fix="Run the command again",
            )  # fmt: skip
        rows = [each for own in self.speakers.values() for each in own]
        content: dict[str, Any] = {
            "model": {"checksum": self.model, "path": self.model_path},
            "embeddings": None,
            "speakers": {
                name: [
                    {"file": each.file, "sha256": each.sha256, "seconds": each.recording.seconds}
                    for each in own
                ]
                for name, own in self.speakers.items()
            },
        }
        if rows:
            ids = [each.sha256 for each in rows]
            target = self.folder / f"embeddings-{json_checksum(ids)[:16]}.safetensors"
            vectors = np.stack([each.recording.embedding for each in rows])
            save_embeddings(target, Embeddings(ids, vectors))
            content["embeddings"] = {"file": target.name, "sha256": file_checksum(target)}
        save_stamped(path, FORMAT_VERSION, content)
        for file in self.folder.glob("embeddings-*.safetensors"):
            if not rows or file.name != content["embeddings"]["file"]:
                file.unlink()


def check_name(name: str) -> None:
    """Raise `DataError` for a name that is empty or cannot be printed on a line."""
    if not name.strip() or not name.isprintable():
        raise DataError("no name for a speaker", expected="letters and digits", found=repr(name))


def relative_to(folder: Path, model: Path) -> str:
    """The way from the registry's folder to the model, so that both can be moved together."""
    try:
        return Path(os.path.relpath(model.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on Windows: another drive
        return model.resolve().as_posix()


def load_registry(folder: str | Path) -> Registry:
    """Read a registry; raises `DataError` where it is missing, was changed, or is of another version."""
    folder = Path(folder)
    with locked(folder):
        return load_stamped(folder / FILE_NAME, FORMAT_VERSION, "registry", partial(_parse, folder), REMAKE)


def _parse(folder: Path, content: dict[str, Any]) -> Registry:
    rows = [(name, each) for name, own in content["speakers"].items() for each in own]
    vectors = _load_vectors(content["embeddings"], [each["sha256"] for _, each in rows], folder)
    speakers: dict[str, tuple[Enrolled, ...]] = {name: () for name in content["speakers"]}
    for (name, each), vector in zip(rows, vectors, strict=True):
        recording = Recording(vector, float(each["seconds"]))
        speakers[name] = (*speakers[name], Enrolled(str(each["file"]), each["sha256"], recording))
    nobody = [name for name, own in speakers.items() if not own]
    if nobody:
        raise ValueError(f"'{nobody[0]}' has no recording")
    model = content["model"]
    return Registry(
        folder, str(model["checksum"]), str(model["path"]), speakers, file_checksum(folder / FILE_NAME)
    )


def _load_vectors(named: dict[str, str], ids: list[str], folder: Path) -> np.ndarray:
    """The embeddings of the recordings `ids`, [N, D]; raises `DataError` where they are not those enrolled."""
    if not ids:
        return np.empty((0, 0), dtype=np.float32)
    path = folder / Path(named["file"]).name
    embeddings = load_embeddings(path)
    if file_checksum(path) != named["sha256"] or embeddings.ids != ids:
        raise DataError(
            "the embeddings of the registry were changed", file=path, expected="those that were enrolled",
            found="others", fix=REMAKE,
        )  # fmt: skip
    return embeddings.vectors
