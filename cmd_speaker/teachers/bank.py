"""The bank: every teacher input's embedding, computed once.

A folder with `embeddings.safetensors`, `index.csv` (level, key, identity, session, input, quality; one
row an embedding) and `bank.json` (which teacher and which inputs made it). A row is keyed by utterance,
session or identity; an utterance takes the most specific row there is, and where several rows have one key,
its utterances are dealt them in turn.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically, write_json
from cmd_speaker.manifest import Manifest, Utterance

LEVELS = ("utterance", "session", "identity")
INDEX = ("level", "key", "identity", "session", "input", "quality")
UNMATCHED = -1


class Teacher(Protocol):
    """What a bank needs of a teacher."""

    def embed(self, contents: Sequence[str], /) -> np.ndarray:
        """Un-normalised embeddings, float32 [n, D], of texts or of pictures' paths."""

    def identity(self) -> str:
        """A checksum over everything that decides the embeddings."""

    def source(self) -> str:
        """What is known of that before the teacher is fitted."""


@dataclass(frozen=True)
class TeacherInput:
    """One thing that a teacher sees, and whose utterances it stands for.

    `key` is an utterance's ID, a session's or an identity's key, see `key_of`; `session` is empty where the
    input belongs to a whole identity. `content` is the text, or the path of the picture; `checksum` the
    SHA-256 of the text or of the picture's file.
    """

    level: str
    key: str
    identity: str
    session: str
    checksum: str
    content: str


@dataclass(frozen=True)
class BankRow:
    """One teacher input: whom it belongs to, a checksum of the input, and its quality."""

    level: str
    key: str
    identity: str
    session: str
    input: str
    quality: float


@dataclass(frozen=True)
class Bank:
    """Teacher embeddings [rows, D] and what each belongs to."""

    embeddings: np.ndarray
    rows: list[BankRow]

    @property
    def distinct_inputs(self) -> int:
        return len({row.input for row in self.rows})

    def match(self, manifest: Manifest) -> tuple[np.ndarray, list[str]]:
        """Bank row of each utterance (int64 [n], -1 where there is none) and the level it matched at.

        The k-th utterance of a key, in the manifest's order, takes the key's row k modulo their number.
        """
        table: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, row in enumerate(self.rows):
            table[row.level, row.key].append(index)
        dealt: Counter[tuple[str, str]] = Counter()
        rows, levels = [], []
        for utterance in manifest:
            places = [(level, key_of(utterance, level)) for level in LEVELS]
            place = next((place for place in places if place in table), ("none", ""))
            choices = table.get(place, [UNMATCHED])
            rows.append(choices[dealt[place] % len(choices)])
            dealt[place] += 1
            levels.append(place[0])
        return np.array(rows, dtype=np.int64), levels


def coverage(levels: list[str]) -> str:
    """How many utterances matched at which level, in words."""
    counts = Counter(levels)
    return ", ".join(f"{counts[level]} by {level}" for level in (*LEVELS, "none") if counts[level])


def key_of(utterance: Utterance, level: str) -> str:
    """What a bank's row of this level has as its key if it is this utterance's."""
    session = f"{utterance.spk_id}/{utterance.fields.get('session', '')}"
    return {"utterance": utterance.id, "session": session, "identity": utterance.spk_id}[level]


def embed_inputs(inputs: Sequence[TeacherInput], teacher: Teacher) -> Bank:
    """The bank of these inputs, one row each; a row's quality is the norm of its embedding."""
    embeddings = teacher.embed([each.content for each in inputs]).astype(np.float32)
    norms = np.linalg.norm(embeddings, axis=1)
    rows = [
        BankRow(each.level, each.key, each.identity, each.session, each.checksum, round(float(norm), 6))
        for each, norm in zip(inputs, norms, strict=True)
    ]
    return Bank(embeddings, rows)


def build_bank(
    folder: str | Path, inputs: Sequence[TeacherInput], teacher: Teacher, rebuild_with: str
) -> Bank:
    """Embed the inputs and write the bank.

    `rebuild_with` is the command that makes it again, named when a stale bank is refused.
    """
    bank, folder = embed_inputs(inputs, teacher), Path(folder)
    with write_atomically(folder / "embeddings.safetensors") as temporary:
        save_file({"embeddings": bank.embeddings}, temporary)
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(INDEX)
        writer.writerows([getattr(row, name) for name in INDEX] for row in bank.rows)
    description = {
        "teacher": type(teacher).__name__,
        "teacher_sha256": teacher.identity(),
        "teacher_source": teacher.source(),
        "inputs_sha256": inputs_checksum(inputs),
        "rebuild_with": rebuild_with,
    }
    write_json(folder / "bank.json", description)
    return bank


def load_bank(folder: str | Path, inputs: Sequence[TeacherInput], source: str) -> Bank:
    """Read a bank; raise `DataError` if it is damaged, or was made from other inputs or by another teacher.

    `source` is the teacher's `source()`.
    """
    folder = Path(folder)
    try:
        description = json.loads((folder / "bank.json").read_text(encoding="utf-8"))
        embeddings = load_file(folder / "embeddings.safetensors")["embeddings"]
        with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
            rows = [_parse_row(row) for row in csv.DictReader(file)]
        stored, maker = description["inputs_sha256"], description["teacher_source"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(
            "the bank of teacher embeddings is damaged", file=folder, found=str(error),
            fix="Delete the folder and run the recipe again",
        ) from error  # fmt: skip
    if stored != inputs_checksum(inputs) or len(rows) != len(embeddings):
        raise DataError(
            "the bank was made from other teacher inputs than the manifest has now", file=folder,
            expected=f"inputs {inputs_checksum(inputs)[:12]}..., {len(inputs)} of them",
            found=f"{stored[:12]}..., {len(rows)} rows", fix=f"Build it again: {description['rebuild_with']}",
        )  # fmt: skip
    if maker != source:
        raise DataError(
            "the bank was made by another teacher", file=folder, expected=source, found=maker,
            fix=f"Build it again: {description['rebuild_with']}",
        )  # fmt: skip
    return Bank(embeddings, rows)


def text_inputs(manifest: Manifest) -> list[TeacherInput]:
    """Each speaker's description from the column `text`, sorted by speaker; nobody must have two."""
    texts: dict[str, str] = {}
    for utterance, text in zip(manifest, manifest.column("text"), strict=True):
        if not text:
            continue
        if texts.setdefault(utterance.spk_id, text) != text:
            raise DataError(
                f"speaker '{utterance.spk_id}' has two texts", file=manifest.path, row=utterance.row,
                expected=f"'{texts[utterance.spk_id]}'", found=f"'{text}'",
                fix="Give every utterance of a speaker the same text",
            )  # fmt: skip
    if not texts:
        raise DataError(
            "no utterance has a text for the teacher", file=manifest.path, fix="Fill the column 'text'"
        )
    return [
        TeacherInput("identity", speaker, speaker, "", _checksum(text), text)
        for speaker, text in sorted(texts.items())
    ]


def inputs_checksum(inputs: Sequence[TeacherInput]) -> str:
    """Over everything but the contents themselves, whose checksums are in it: a corpus may move."""
    rows = [[each.level, each.key, each.identity, each.session, each.checksum] for each in inputs]
    return _checksum(json.dumps(rows))


def _parse_row(row: dict[str, str]) -> BankRow:
    level, key, identity, session, checksum, quality = (row[name] for name in INDEX)
    return BankRow(level, key, identity, session, checksum, float(quality))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
