"""The record that a preparation leaves beside its manifests, so that runs share them and need not repeat it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmd_speaker.errors import DataError
from cmd_speaker.files import file_checksum, load_stamped, save_stamped, write_atomically

RECORD, VERSION = "preparation.json", 1


@dataclass(frozen=True)
class Preparation:
    """A corpus as it was prepared in `folder`.

    `options` are those that decide what the files hold, by the names that recipes give them, `data_folder` among
    them; lists and tables stand there by checksum. `files` maps the name of each file to its SHA-256.
    """

    folder: Path
    corpus: str
    options: Mapping[str, Any]
    counts: Mapping[str, int]
    notes: Sequence[str]
    files: Mapping[str, str]

    def file(self, name: str) -> Path | None:
        """The path of a file, None where the preparation made none of that name."""
        return self.folder / name if name in self.files else None

    def differences(self, corpus: str, asked: Mapping[str, Any]) -> list[str]:
        """The options that are asked for and are others here; what is asked as None or empty may be anything."""
        found = {"corpus": self.corpus, **self.options}
        wanted = {"corpus": corpus, **asked}
        return [k for k, value in wanted.items() if value not in (None, [], {}) and found.get(k) != value]

    def refuse_others(self, corpus: str, asked: Mapping[str, Any]) -> None:
        """Raise `DataError` where there are `differences`."""
        if differing := self.differences(corpus, asked):
            raise DataError(
                f"these manifests were prepared with another {', '.join(differing)}", file=self.folder / RECORD,
                expected=_in_words({"corpus": corpus, **asked}, differing),
                found=_in_words({"corpus": self.corpus, **self.options}, differing),
                fix="Prepare the corpus again, or ask for what is there",
            )  # fmt: skip

    def copy_to(self, folder: Path) -> Preparation:
        """The same in another folder; the record, which makes it whole, comes last."""
        forget_preparation(folder)
        for name in (*self.files, RECORD):
            with write_atomically(folder / name) as temporary:
                shutil.copyfile(self.folder / name, temporary)
        return load_preparation(folder)


def forget_preparation(folder: Path) -> None:
    """Called before the first file is written: what a killed preparation leaves is not taken for whole."""
    (folder / RECORD).unlink(missing_ok=True)


def record_preparation(
    folder: Path,
    corpus: str,
    data_folder: str | Path,
    options: Mapping[str, Any],
    counts: Mapping[str, int],
    notes: Sequence[str],
    names: Iterable[str],
) -> Mapping[str, str]:
    """Write the record of those of the files `names` in `folder` that are there; returns them by checksum."""
    options = {"data_folder": str(Path(data_folder).resolve()), **options}
    files = {name: file_checksum(folder / name) for name in names if (folder / name).is_file()}
    content = {"corpus": corpus, "options": options, "counts": counts, "notes": list(notes), "files": files}
    save_stamped(folder / RECORD, VERSION, content)
    return files


def load_preparation(folder: str | Path) -> Preparation:
    """What was prepared in `folder`.

    Raises `DataError` where there is no record, or a file is missing or not as it was written.
    """
    folder, fix = Path(folder), "Prepare the corpus again"
    found = load_stamped(
        folder / RECORD,
        VERSION,
        "record of a preparation",
        lambda content: Preparation(folder, **content),
        fix,
    )
    for name, checksum in found.files.items():
        path = folder / name
        if not path.is_file():
            raise DataError("a prepared file is missing", file=path, expected=f"what {RECORD} lists", fix=fix)
        if file_checksum(path) != checksum:
            raise DataError(
                "a prepared file was changed", file=path, expected=f"SHA-256 {checksum[:12]}...", fix=fix
            )
    return found


def _in_words(values: Mapping[str, Any], keys: Iterable[str]) -> str:
    return "; ".join(f"{key}: {_short(values.get(key))}" for key in keys)


def _short(value: Any) -> str:
    """A value; of a mapping to checksums the names, each with the beginning of its checksum."""
    if isinstance(value, dict):
        return ", ".join(f"{name} ({str(checksum)[:8]})" for name, checksum in value.items()) or "none"
    return "none" if value is None else str(value)
