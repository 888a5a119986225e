"""Kaldi's text tables (`wav.scp`, `utt2spk`, `text`, ...: a key, white space, a value) and their audio.

See Kaldi's documentation, "Data preparation". Commands in `wav.scp` (a value that ends in `|`) are
never run: values name files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from cmd_speaker.audio import AudioInfo
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.headers import probe_fit
from cmd_speaker.progress import track

TABLES = ("wav.scp", "utt2spk", "text", "spk2gender", "spk2age")
Tables = dict[str, dict[str, str]]
"""File name -> key -> value."""
AUDIO_SUFFIXES = (".WAV", ".wav", ".flac", ".opus")
"""What `find_audio` looks for where `wav.scp` names a file that is not there."""


def read_table(path: str | Path) -> dict[str, str]:
    """Key -> value in file order; the n-th key stands in row n (see `row_of`).

    A value may hold spaces (a transcript); white space around it is dropped, as are empty lines at the end.

    Raises `DataError` (no such file, not UTF-8 text, no rows) or `DataErrors` (every row that lacks a
    value or repeats a key).
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            "no such table",
            file=path,
            expected=path.name,
            found=folder_content(path.parent),
            fix="Copy the whole corpus, or give its top folder",
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            "the table is not text",
            file=path,
            expected="UTF-8",
            found=f"byte {error.start} is not",
            fix="Copy it again",
        ) from error
    if lines == [""]:
        raise DataError("the table has no rows", file=path, fix="Copy it again")
    table: dict[str, str] = {}
    rows: dict[str, int] = {}
    errors: list[DataError] = []

    def wrong(problem: str, expected: str, found: str, fix: str) -> None:
        errors.append(DataError(problem, file=path, row=row, expected=expected, found=found, fix=fix))

    for row, line in enumerate(lines, start=1):
        key, *value = line.strip().split(maxsplit=1) or [""]
        if not value:
            wrong(
                "no value", "a key and a value", f"'{key}' alone" if key else "an empty line", "Complete it"
            )
        elif key in table:
            same = f"the same key in row {rows[key]}"
            wrong(f"duplicate '{key}'", "each key once", same, "Remove or rename one of them")
        else:
            table[key], rows[key] = value[0], row
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {len(lines)} rows are wrong", errors)
    return table


def row_of(table: Mapping[str, str], key: str) -> int:
    """The row (the first line is 1) of a key in a table that `read_table` returned."""
    return list(table).index(key) + 1


def read_split(folder: str | Path) -> Tables:
    """The `TABLES` of one folder, by file name: every utterance has a speaker and a text, every speaker
    a gender and an age.

    `spk2gender` and `spk2age` may describe more speakers than there are; the other three must have the
    same keys, so that no utterance is lost unseen.

    Raises `DataError` or `DataErrors`: see `read_table`, and one error for each missing row.
    """
    files = [Path(folder) / name for name in TABLES]
    tables = {file.name: read_table(file) for file in files}
    wav, speaker = files[:2]
    speakers = list(tables["utt2spk"].values())
    first_row = {name: speakers.index(name) + 1 for name in dict.fromkeys(speakers)}
    rows = {file: {key: row for row, key in enumerate(tables[file.name], start=1)} for file in files[:3]}
    errors = []
    for file in files[1:3]:
        errors += _missing(wav, rows[wav], file, rows[file]) + _missing(file, rows[file], wav, rows[wav])
    for file in files[3:]:
        errors += _missing(speaker, first_row, file, tables[file.name])
    if errors:
        raise DataErrors(f"{folder}: the tables do not fit together, {len(errors)} rows are missing", errors)
    return tables


def read_parts(root: str | Path, parts: Sequence[str] = ("train", "test")) -> dict[str, Tables]:
    """`read_split` of the folders `parts` of `root`, which must share neither utterances nor speakers.

    Raises `DataError` or `DataErrors`: see `read_split`, and one error for each row of a later part that
    repeats an utterance or speaker of an earlier one.
    """
    split = {part: read_split(Path(root) / part) for part in parts}
    errors = []
    owner: dict[tuple[str, str], str] = {}
    for part, tables in split.items():
        for kind, names in (("utterance", tables["utt2spk"].keys()), ("speaker", tables["utt2spk"].values())):
            for row, name in enumerate(names, start=1):
                first = owner.setdefault((kind, name), part)
                if first != part:
                    problem, found = f"{kind} '{name}' belongs to two parts", f"'{name}' in {first} too"
                    file, fix = Path(root) / part / "utt2spk", "Copy the lists of the corpus again"
                    errors.append(
                        DataError(
                            problem, file=file, row=row, expected="disjoint parts", found=found, fix=fix
                        )
                    )
    if errors:
        raise DataErrors(f"{root}: {len(errors)} rows are in two parts", errors)
    return split


def _missing(file: Path, rows: Mapping[str, int], other: Path, keys: Mapping[str, object]) -> list[DataError]:
    """An error for each key that stands in a row of `file` and has none in `other`."""
    return [
        DataError(
            f"'{key}' has no row in {other.name}",
            file=file,
            row=row,
            expected=f"'{key}' in {other}",
            found="no such row",
            fix=f"Complete {other.name}, or copy both again",
        )
        for key, row in rows.items()
        if key not in keys
    ]


class Listed(NamedTuple):
    """An audio file that row `row` of a list names, relative to the corpus."""

    list: Path
    row: int
    entry: str


def list_audio(root: str | Path, parts: Mapping[str, Tables]) -> list[Listed]:
    """The audio files of all `wav.scp` tables of `read_parts`, in order."""
    return [
        Listed(Path(root) / part / "wav.scp", row, entry)
        for part, tables in parts.items()
        for row, entry in enumerate(tables["wav.scp"].values(), start=1)
    ]


def find_audio(root: str | Path, entry: str) -> Path | None:
    """The audio file of a `wav.scp` value relative to `root`, if need be with another of `AUDIO_SUFFIXES`."""
    named = Path(root) / entry
    candidates = [named] + [named.parent / (named.stem + suffix) for suffix in AUDIO_SUFFIXES]
    return next((path for path in candidates if path.is_file()), None)


def probe_listed(
    root: Path, listed: Sequence[Listed], *, full: bool = False
) -> list[tuple[Path, AudioInfo] | DataError]:
    """For each listed file its path, relative to `root`, and what its header says; or what is wrong.

    Wrong is a file that does not exist, is unreadable, not 16 kHz mono or under `audio.MIN_SECONDS` seconds.
    `full` decodes the files as well. One thread per core; a progress bar on a terminal.
    """

    def one(item: Listed) -> tuple[Path, AudioInfo] | DataError:
        """The answer for one file; an error is returned, so that the others are still looked at."""
        path = find_audio(root, item.entry)
        try:
            if path is None or Path(item.entry).is_absolute():
                expected = f"a path relative to {root}, of a file with this or another suffix"
                fix = f"Copy the audio again; suffixes tried: {' '.join(AUDIO_SUFFIXES)}"
                raise DataError("no such audio file", expected=expected, found=item.entry, fix=fix)
            info = probe_fit(path, full=full)
            return path.relative_to(root), info
        except DataError as error:
            return error.at(item.list, item.row)

    title = "Decoding audio" if full else "Reading audio headers"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(track(pool.map(one, listed), title, len(listed)))


def folder_content(folder: str | Path, shown: int = 8) -> str:
    """The first names in a folder, for a message that says what was found instead."""
    folder = Path(folder)
    if not folder.is_dir():
        return f"no folder {folder}"
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    more = f", ... ({len(names)} in all)" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "nothing") + more + f" in {folder}"
