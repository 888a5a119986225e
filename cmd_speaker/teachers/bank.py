"""The bank: every teacher input's embedding, computed once.

A folder with `embeddings.safetensors`, `index.csv` (level, key, identity, session, input, quality; one
row an embedding) and `bank.json` (which teacher and which inputs made it). A row is keyed by utterance,
session or identity; an utterance takes the most specific row there is.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
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
    """What a bank needs of a teacher of texts."""

    def embed(self, texts: list[str], /) -> np.ndarray: ...
    def identity(self) -> str: ...
    def source(self) -> str: ...


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
        """Bank row of each utterance (int64 [n], -1 where there is none) and the level it matched at."""
        tables = {level: {r.key: i for i, r in enumerate(self.rows) if r.level == level} for level in LEVELS}
        rows, levels = [], []
        for utterance in manifest:
            found = [(tables[level].get(_key(utterance, level)), level) for level in LEVELS]
            row, level = next((f for f in found if f[0] is not None), (UNMATCHED, "none"))
            rows.append(row)
            levels.append(level)
        return np.array(rows, dtype=np.int64), levels


def coverage(levels: list[str]) -> str:
    """How many utterances matched at which level, in words."""
    counts = Counter(levels)
    return ", ".join(f"{counts[level]} by {level}" for level in (*LEVELS, "none") if counts[level])


def build_text_bank(folder: str | Path, manifest: Manifest, teacher: Teacher, rebuild_with: str) -> Bank:
    """Embed each speaker's text of the manifest's column `text`, one row an identity, and write the bank.

    `rebuild_with` is the command that makes it again, named when a stale bank is refused.
    """
    inputs = text_inputs(manifest)
    embeddings = teacher.embed(list(inputs.values()))
    norms = np.linalg.norm(embeddings, axis=1)
    rows = [
        BankRow("identity", speaker, speaker, "", _checksum(text), round(float(norm), 6))
        for (speaker, text), norm in zip(inputs.items(), norms, strict=True)
    ]
    folder = Path(folder)
    with write_atomically(folder / "embeddings.safetensors") as temporary:
        save_file({"embeddings": embeddings.astype(np.float32)}, temporary)
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(INDEX)
        writer.writerows([getattr(row, name) for name in INDEX] for row in rows)
    description = {
        "teacher": type(teacher).__name__,
        "teacher_sha256": teacher.identity(),
        "teacher_source": teacher.source(),
        "inputs_sha256": inputs_checksum(inputs),
        "rebuild_with": rebuild_with,
    }
    write_json(folder / "bank.json", description)
    return Bank(embeddings.astype(np.float32), rows)


def load_bank(folder: str | Path, inputs: dict[str, str], source: str) -> Bank:
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
            expected=f"inputs {inputs_checksum(inputs)[:12]}..., {len(inputs)} identities",
            found=f"{stored[:12]}..., {len(rows)} rows", fix=f"Build it again: {description['rebuild_with']}",
        )  # fmt: skip
    if maker != source:
        raise DataError(
            "the bank was made by another teacher", file=folder, expected=source, found=maker,
            fix=f"Build it again: {description['rebuild_with']}",
        )  # fmt: skip
    return Bank(embeddings, rows)


def text_inputs(manifest: Manifest) -> dict[str, str]:
    """Speaker -> description, from the column `text`; one speaker must not have two."""
    inputs: dict[str, str] = {}
    for utterance, text in zip(manifest, manifest.column("text"), strict=True):
        if not text:
            continue
        if inputs.setdefault(utterance.spk_id, text) != text:
            raise DataError(
                f"speaker '{utterance.spk_id}' has two texts", file=manifest.path, row=utterance.row,
                expected=f"'{inputs[utterance.spk_id]}'", found=f"'{text}'",
                fix="Give every utterance of a speaker the same text",
            )  # fmt: skip
    if not inputs:
        raise DataError(
            "no utterance has a text for the teacher", file=manifest.path, fix="Fill the column 'text'"
        )
    return dict(sorted(inputs.items()))


def inputs_checksum(inputs: dict[str, str]) -> str:
    return _checksum(json.dumps(inputs, sort_keys=True))


def _parse_row(row: dict[str, str]) -> BankRow:
    level, key, identity, session, checksum, quality = (row[name] for name in INDEX)
    return BankRow(level, key, identity, session, checksum, float(quality))


def _key(utterance: Utterance, level: str) -> str:
    session = f"{utterance.spk_id}/{utterance.fields.get('session', '')}"
    return {"utterance": utterance.id, "session": session, "identity": utterance.spk_id}[level]


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
