"""What a corpus is, and how a folder is compared with it: what all corpora share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from cmd_speaker.audio import EXTENSIONS, SAMPLE_RATE
from cmd_speaker.errors import SHOWN_ERRORS, DataError
from cmd_speaker.files import file_checksum
from cmd_speaker.kaldi import Listed, folder_content, probe_listed

Status = Literal["ok", "note", "problem"]


class CheckRow(NamedTuple):
    """One thing looked at."""

    what: str
    expected: str
    found: str
    status: Status


@dataclass(frozen=True)
class CheckReport:
    """What `check_data` found, in the order in which it looked."""

    name: str
    path: Path
    rows: Sequence[CheckRow]

    @property
    def problems(self) -> list[CheckRow]:
        """The rows that keep the corpus from being used."""
        return [row for row in self.rows if row.status == "problem"]

    @property
    def ok(self) -> bool:
        """Whether the corpus can be used; notes do not count."""
        return not self.problems


@dataclass(frozen=True)
class ExpectedFile:
    """A list of the corpus: its lines in the official release and the SHA-256 of known versions."""

    path: str
    lines: int
    known: Mapping[str, str] = field(default_factory=dict)
    absent: str = ""
    """What happens where the file is not there; empty if it must be."""


@dataclass(frozen=True)
class Corpus:
    """A corpus: what it is called, who made it, its lists, and how the rest of it is looked at."""

    name: str
    title: str
    citation: str
    tree: str
    check: Callable[[Path, bool], list[CheckRow]]
    """Looks at what is in the folder besides `files`; the flag asks to decode the audio as well."""
    files: Sequence[ExpectedFile] = ()


def check_file(root: Path, expected: ExpectedFile) -> list[CheckRow]:
    """The rows about one list: whether it is there, its lines and, where versions are known, which it is."""
    path, wanted = root / expected.path, f"{expected.lines:,} lines"
    if not path.is_file():
        if expected.absent:
            return [CheckRow(expected.path, wanted, f"none; {expected.absent}", "note")]
        return [CheckRow(expected.path, wanted, f"none; {folder_content(path.parent)}", "problem")]
    lines = len(path.read_bytes().splitlines())
    status: Status = "ok" if lines == expected.lines else "note" if 0 < lines < expected.lines else "problem"
    part = " (a part)" if status == "note" else ""
    rows = [CheckRow(expected.path, wanted, f"{lines:,} lines{part}", status)]
    if expected.known:
        version = expected.known.get(file_checksum(path))
        found, status = (version, "ok") if version else ("an unknown list", "note")
        rows.append(CheckRow(f"{expected.path} SHA-256", "a known list", found, status))
    return rows


def check_listed(
    root: Path,
    full: bool,
    *,
    audio_folder: str,
    read_lists: Callable[[Path], tuple[list[CheckRow], list[Listed]]],
) -> list[CheckRow]:
    """The check of a corpus whose lists name every audio file.

    `read_lists` looks at how the lists fit together and returns the files that they name; audio under
    `audio_folder` that no list names is noted.
    """
    rows, listed = read_lists(root)
    return rows + _check_audio(root, listed, audio_folder, full)


def _check_audio(root: Path, listed: Sequence[Listed], audio_folder: str, full: bool) -> list[CheckRow]:
    results = probe_listed(root, listed, full=full)
    errors = [result for result in results if isinstance(result, DataError)]
    good = [result[0] for result in results if not isinstance(result, DataError)]
    kinds = ", ".join(f"{n:,} {suffix}" for suffix, n in sorted(Counter(p.suffix for p in good).items()))
    how = "decode" if full else "have a readable header"
    rows = [
        CheckRow(
            "audio",
            f"{len(listed):,} listed files, all {how}, {SAMPLE_RATE} Hz, mono",
            f"{len(good):,} good ({kinds or 'none there'}), {len(errors):,} bad",
            "problem" if errors or not listed else "ok",
        )
    ]
    rows += [CheckRow("audio", "a good file", str(error), "problem") for error in errors[:SHOWN_ERRORS]]
    on_disk = sum(p.suffix.lower() in EXTENSIONS for p in (root / audio_folder).rglob("*"))
    if not errors and on_disk > len(set(good)):
        rows.append(
            CheckRow("audio in no list", "none", f"{on_disk - len(set(good)):,} files, not used", "note")
        )
    if twice := len(good) - len(set(good)):
        rows.append(CheckRow("audio listed twice", "none", f"{twice:,} files", "problem"))
    return rows
