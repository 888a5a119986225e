"""What can be embedded: a manifest, a Kaldi wav.scp, a folder, a pattern or audio files."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cmd_speaker.audio import EXTENSIONS
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.files import leads_up
from cmd_speaker.kaldi import read_table
from cmd_speaker.manifest import Utterance, check_audio_files, load_manifest


class Inputs(NamedTuple):
    """Utterances and, where they come from one, the list that names them."""

    utterances: list[Utterance]
    list_path: Path | None


def find_inputs(inputs: Sequence[str], data_root: str | Path | None = None) -> Inputs:
    """Utterances of INPUT..., in order.

    One `.csv` is a manifest, one `.scp` a Kaldi list (paths relative to `data_root`, else to the working
    directory). A folder gives every audio file below it, with its path below the folder as id; patterns and
    files have the path as it is written as id.

    Raises `DataError` where nothing is found, an id occurs twice or a list is wrong.
    """
    first = Path(inputs[0])
    lists = [text for text in inputs if Path(text).suffix in (".csv", ".scp")]
    if "" in inputs or (lists and len(inputs) > 1):
        found = f"{lists[0]} among {len(inputs)} inputs" if lists else "an empty path"
        raise UsageError(
            f"expected one list (.csv, .scp), or folders, patterns and audio files, found {found}"
        )
    if first.suffix == ".csv":
        manifest = load_manifest(first, data_root)
        if not any(utterance.wav.is_file() for utterance in manifest):
            check_audio_files(manifest, data_root)
        return Inputs(list(manifest), first)
    if first.suffix == ".scp":
        return Inputs(_from_scp(first, data_root), first)
    utterances: list[Utterance] = []
    for text in inputs:
        utterances += _from_path(text)
    (name, count), *_ = Counter(utterance.id for utterance in utterances).most_common(1)
    if count > 1:
        raise DataError(
            f"the id '{name}' occurs twice", expected="each utterance once", found=f"{count} times",
            fix="Give each file once, or use a manifest with ids of its own",
        )  # fmt: skip
    return Inputs(utterances, None)


def audio_files(folder: str | Path) -> list[Path]:
    """Every audio file below `folder`, through links too, sorted.

    Links that lead nowhere are among them. Raises `DataError` where there is none, and `OSError` for a folder that
    may not be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    for path, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not leads_up(Path(path, name))]
        found += [Path(path, name) for name in names if Path(name).suffix.lower() in EXTENSIONS]
    if not found:
        raise DataError(
            "no audio files below this folder", file=folder, expected=" ".join(EXTENSIONS), found="none",
            fix="Check the path",
        )  # fmt: skip
    return sorted(found)


def _from_path(text: str) -> list[Utterance]:
    path = Path(text)
    if path.is_dir():
        return [Utterance(file.relative_to(path).as_posix(), file) for file in audio_files(path)]
    if glob.has_magic(text) and not path.exists():
        files = sorted(Path(match) for match in glob.glob(text, recursive=True))
        if not files:
            raise DataError("no file matches", file=text, expected="at least one file", found="none")
        return [Utterance(str(file), file) for file in files]
    return [Utterance(text, path)]


def _from_scp(path: Path, data_root: str | Path | None) -> list[Utterance]:
    root = Path(data_root) if data_root else Path()
    utterances = []
    for row, (name, value) in enumerate(read_table(path).items(), 1):
        if value.endswith("|"):
            raise DataError(
                f"'{name}' is a command, and commands of a list are not run", file=path, row=row,
                expected="a path", found=f"'{value}'", fix="Write the audio to files first",
            )  # fmt: skip
        utterances.append(Utterance(name, root / value, row=row))
    return utterances
