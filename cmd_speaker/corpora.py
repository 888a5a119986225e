"""What each corpus should look like, and whether a folder does: `cmd-speaker check-data`.

Counts are those of the official release. A folder that holds a part of it is fine and noted; what
does not fit together, is missing or unreadable is a problem.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from cmd_speaker.audio import EXTENSIONS, SAMPLE_RATE
from cmd_speaker.errors import SHOWN_ERRORS, CmdSpeakerError, DataError, UsageError
from cmd_speaker.files import file_checksum
from cmd_speaker.kaldi import TABLES, Listed, folder_content, list_audio, probe_listed, read_parts

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
    """A corpus: what it is called, who made it, and the files it consists of."""

    name: str
    title: str
    citation: str
    tree: str
    files: Sequence[ExpectedFile]
    audio_folder: str
    check_lists: Callable[[Path], tuple[list[CheckRow], list[Listed]]]
    """Looks at how the lists fit together; also returns the audio files that they name."""


def find_corpus(name: str) -> Corpus:
    """The corpus of that name; raises `UsageError` with the known names, and the one probably meant."""
    if name in CORPORA:
        return CORPORA[name]
    near = difflib.get_close_matches(name.lower(), CORPORA, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"unknown data set '{name}'; known: {', '.join(sorted(CORPORA))}.{meant}")


def check_data(name: str, path: str | Path, *, full: bool = False) -> CheckReport:
    """Compare the folder `path` with what the corpus `name` should look like.

    Audio is judged by its headers; `full` decodes every file. Problems are rows of the report.

    Raises `UsageError` (unknown name) or `DataError` (no such folder).
    """
    corpus, root = find_corpus(name), Path(path)
    if not root.is_dir():
        raise DataError(
            f"no such folder for {corpus.title}", file=root, expected=f"\n{corpus.tree}", found="nothing",
            fix="Give the top folder of the corpus",
        )  # fmt: skip
    rows = [row for expected in corpus.files for row in _check_file(root, expected)]
    list_rows, listed = corpus.check_lists(root)
    return CheckReport(name, root, rows + list_rows + _check_audio(corpus, root, listed, full))


def _check_file(root: Path, expected: ExpectedFile) -> list[CheckRow]:
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


def _check_audio(corpus: Corpus, root: Path, listed: Sequence[Listed], full: bool) -> list[CheckRow]:
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
    on_disk = sum(p.suffix.lower() in EXTENSIONS for p in (root / corpus.audio_folder).rglob("*"))
    if not errors and on_disk > len(set(good)):
        rows.append(
            CheckRow("audio in no list", "none", f"{on_disk - len(set(good)):,} files, not used", "note")
        )
    if twice := len(good) - len(set(good)):
        rows.append(CheckRow("audio listed twice", "none", f"{twice:,} files", "problem"))
    return rows


def _check_parts(root: Path) -> tuple[list[CheckRow], list[Listed]]:
    """Kaldi folders `train` and `test`: tables that fit together, no speaker in both."""
    expected = "complete and disjoint parts"
    try:
        parts = read_parts(root)
    except CmdSpeakerError as error:
        return [CheckRow("tables", expected, str(error), "problem")], []
    rows = []
    for part, tables in parts.items():
        found = f"{len(set(tables['utt2spk'].values())):,} speakers, {len(tables['utt2spk']):,} utterances"
        rows.append(CheckRow(f"{part} tables", expected, found, "ok"))
    return rows, list_audio(root, parts)


def _check_utterance_table(root: Path) -> tuple[list[CheckRow], list[Listed]]:
    """`utterances.csv`, whose speakers stand in `speakers.csv`."""
    files = [root / "speakers.csv", root / "utterances.csv"]
    if not all(file.is_file() for file in files):
        return [], []
    texts = [file.read_text(encoding="utf-8-sig", errors="replace").splitlines() for file in files]
    speakers, utterances = (list(csv.DictReader(lines)) for lines in texts)
    known = {row.get("speaker") for row in speakers}
    found = f"{len(known):,} speakers, {len(utterances):,} utterances"
    unknown = sorted({str(row.get("speaker")) for row in utterances} - {str(name) for name in known})
    if unknown:
        found += f", {len(unknown):,} speakers in utterances.csv only: {', '.join(unknown[:5])}"
    rows = [CheckRow("tables", "tables that fit together", found, "problem" if unknown else "ok")]
    # Row 1 holds the names of the columns.
    return rows, [Listed(files[1], n, row.get("path") or "") for n, row in enumerate(utterances, start=2)]


CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="speechocean762",
            title="speechocean762 (250 non-native English readers)",
            citation="J. Zhang et al., speechocean762: An Open-Source Non-native English Speech Corpus For "
            "Pronunciation Assessment, Interspeech 2021 (OpenSLR 101)",
            tree="""speechocean762/
  train/  wav.scp utt2spk text spk2gender spk2age
  test/   wav.scp utt2spk text spk2gender spk2age [trials.txt]
  WAVE/   SPEAKER0001/000010011.WAV ...""",
            files=(
                *(
                    ExpectedFile(f"{split}/{name}", 125 if name.startswith("spk2") else 2500)
                    for split in ("train", "test")
                    for name in TABLES
                ),
                ExpectedFile(
                    "test/trials.txt",
                    45000,
                    {"e833d2f870450544bea7f2be27daacfca39427f1ad33909338113e21eaf91a19": "96 test speakers"},
                    absent="not in the official release: the preparation draws a list",
                ),
            ),
            audio_folder="WAVE",
            check_lists=_check_parts,
        ),
        Corpus(
            name="librispeech_mini",
            title="librispeech_mini (261 LibriSpeech readers)",
            citation="V. Panayotov et al., LibriSpeech: an ASR corpus based on public domain audio books, "
            "ICASSP 2015; a selection of 396 utterances",
            tree="""librispeech_mini/
  speakers.csv    speaker,subset,gender,language,n_utterances,n_sessions,seconds
  utterances.csv  path,speaker,session,subset,seconds,source_utterance
  wav/            ls00019/198/19-198-0000.opus ...""",
            files=(
                ExpectedFile(
                    "speakers.csv",
                    262,
                    {"1df59897e7ce908944fb569aaafffb3cd59c832e7002aeaa51eef05a8a4de894": "261 speakers"},
                ),
                ExpectedFile(
                    "utterances.csv",
                    397,
                    {"f4556d2b4303656cd8f33c38bcc96b273c32c4972eefdecbdecc2891f27e4440": "396 utterances"},
                ),
            ),
            audio_folder="wav",
            check_lists=_check_utterance_table,
        ),
    )
}
VOXCELEB1_LISTS = {
    "303b2b657042a27bf465d4c8aa84e12765373cdc01046665241ccd5783bd5976": "VoxCeleb1-O (original, 37,720 trials)",
    "0bc0a0fe3e557f1a75fb71e566d862d460709e80a4fe28e80e49bc0ab3a536ea": "VoxCeleb1-O (cleaned, 37,611 trials)",
}
"""SHA-256 of `veri_test.txt` and `veri_test2.txt` as the University of Oxford publishes them."""


def recognise_list(path: str | Path) -> str | None:
    """What a trial list is, by its SHA-256 (unpacked, where it ends in .gz); None for an unknown list.

    Raises `DataError` where the file is missing or cannot be unpacked.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError) as error:
        raise DataError(
            "the trial list cannot be read", file=path, expected="a text file, packed with gzip or not",
            found=str(error), fix="Copy it again",
        ) from error  # fmt: skip
    return list_name(checksum)


def list_name(checksum: str) -> str | None:
    """The trial list whose unpacked file has this SHA-256; None for an unknown list."""
    corpora = {
        checksum: f"{corpus.name} {file.path} ({title})"
        for corpus in CORPORA.values()
        for file in corpus.files
        for checksum, title in file.known.items()
    }
    return (VOXCELEB1_LISTS | corpora).get(checksum)
