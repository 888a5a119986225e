"""The bank: every teacher input's embedding, computed once.

A folder with `embeddings.safetensors`, `index.csv` (level, key, identity, session, input, norm and a column for
each further quality; one row an embedding) and `bank.json` (which teacher and which inputs made it). A row is
keyed by utterance, session or identity, several may have one key, and an utterance may take those of the most
specific level that has any (`teachers.matching`).
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically, write_json
from cmd_speaker.manifest import Manifest
from cmd_speaker.teachers.matching import Match, match_rows

LAYOUT = 2
PLACE = ("level", "key", "identity", "session", "input")
INDEX = (*PLACE, "norm")
"""The columns of every index; further qualities follow, sorted."""
Measure = Callable[[Sequence[str]], Mapping[str, Sequence[float]]]
"""Contents of teacher inputs -> qualities by name, each with a value for every input."""


class Teacher(Protocol):
    """What a bank needs of a teacher."""

    def embed(self, contents: Sequence[str], /) -> np.ndarray:
        """Un-normalised embeddings, float32 [n, D], of texts, pictures' paths or vectors' ids."""

    def identity(self) -> str:
        """A checksum over everything that decides the embeddings."""

    def source(self) -> str:
        """What is known of that before the teacher is fitted."""


@dataclass(frozen=True)
class TeacherInput:
    """One thing that a teacher sees, and whose utterances it stands for.

    `key` is an utterance's ID, a session's or an identity's key, see `key_of`; `session` is empty where the
    input belongs to a whole identity. `content` is the text, or the path of the picture; `checksum` the
    SHA-256 of the text or of the picture's file. `quality` holds measures of the input as it is, by name, the
    same for all inputs of a bank.
    """

    level: str
    key: str
    identity: str
    session: str
    checksum: str
    content: str
    quality: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BankRow:
    """One teacher input: whom it belongs to, a checksum of the input, and its qualities, `norm` first."""

    level: str
    key: str
    identity: str
    session: str
    input: str
    quality: Mapping[str, float]


@dataclass(frozen=True)
class Bank:
    """Teacher embeddings [rows, D] and what each belongs to."""

    embeddings: np.ndarray
    rows: list[BankRow]

    @property
    def distinct_inputs(self) -> int:
        return len({row.input for row in self.rows})

    @property
    def quality(self) -> dict[str, np.ndarray]:
        """Each measured quality of the inputs, `norm` among them, float32 [rows]."""
        names = self.rows[0].quality
        return {name: np.array([row.quality[name] for row in self.rows], np.float32) for name in names}

    def match(self, manifest: Manifest) -> Match:
        """Which rows each utterance may take."""
        return match_rows([(row.level, row.key) for row in self.rows], manifest)


def embed_inputs(inputs: Sequence[TeacherInput], teacher: Teacher, measure: Measure | None = None) -> Bank:
    """The bank of these inputs, one row each.

    A row's qualities are the norm of its embedding, what is known of the input, and what `measure` finds.
    """
    contents = [each.content for each in inputs]
    embeddings = teacher.embed(contents).astype(np.float32)
    norms = np.linalg.norm(embeddings, axis=1).tolist()
    measured = measure(contents) if measure else {}
    rows = []
    for place, each in enumerate(inputs):
        found = {name: float(values[place]) for name, values in measured.items()}
        quality = {"norm": norms[place], **dict(sorted({**found, **each.quality}.items()))}
        rows.append(BankRow(each.level, each.key, each.identity, each.session, each.checksum, quality))
    return Bank(embeddings, rows)


def build_bank(
    folder: str | Path,
    inputs: Sequence[TeacherInput],
    teacher: Teacher,
    rebuild_with: str,
    measure: Measure | None = None,
) -> Bank:
    """Embed the inputs and write the bank.

    `rebuild_with` is the command that makes it again, named when a stale bank is refused.
    """
    bank, folder = embed_inputs(inputs, teacher, measure), Path(folder)
    with write_atomically(folder / "embeddings.safetensors") as temporary:
        save_file({"embeddings": bank.embeddings}, temporary)
    with write_atomically(folder / "index.csv") as temporary:
        _write_index(temporary, bank.rows)
    description = {
        "layout": LAYOUT,
        "teacher": type(teacher).__name__,
        "teacher_sha256": teacher.identity(),
        "teacher_source": teacher.source(),
        "inputs_sha256": inputs_checksum(inputs),
        "rebuild_with": rebuild_with,
    }
    write_json(folder / "bank.json", description)
    return bank


def load_bank(folder: str | Path, inputs: Sequence[TeacherInput], source: str) -> Bank:
    """Read a bank that was made from these inputs by the teacher whose `source()` is given.

    Raises `DataError` if it is damaged, of another layout, or was made from other inputs or by another teacher.
    """
    folder = Path(folder)
    try:
        description = json.loads((folder / "bank.json").read_text(encoding="utf-8"))
        layout, rebuild = description.get("layout", 1), f"Build it again: {description['rebuild_with']}"
        if layout != LAYOUT:
            raise DataError(
                "the bank of teacher embeddings has another layout", file=folder, expected=f"layout {LAYOUT}",
                found=f"layout {layout}", fix=rebuild,
            )  # fmt: skip
        embeddings = load_file(folder / "embeddings.safetensors")["embeddings"]
        rows = _read_index(folder / "index.csv")
        stored, maker = description["inputs_sha256"], description["teacher_source"]
        if len(rows) != len(embeddings):
            raise ValueError(f"{len(embeddings)} embeddings, {len(rows)} rows of the index")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise DataError(
            "the bank of teacher embeddings is damaged", file=folder, found=str(error),
            fix="Delete the folder and run the recipe again",
        ) from error  # fmt: skip
    places = [_place(row) for row in rows]
    if stored != inputs_checksum(inputs) or places != [_place(each) for each in inputs]:
        raise DataError(
            "the bank was made from other teacher inputs than the manifest has now", file=folder,
            expected=f"inputs {inputs_checksum(inputs)[:12]}..., {len(inputs)} of them",
            found=f"{stored[:12]}..., {len(rows)} rows", fix=rebuild,
        )  # fmt: skip
    if maker != source:
        raise DataError(
            "the bank was made by another teacher", file=folder, expected=source, found=maker, fix=rebuild
        )
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
    rows = [[*_place(each), each.checksum, sorted(each.quality.items())] for each in inputs]
    return _checksum(json.dumps(rows))


def _place(row: TeacherInput | BankRow) -> tuple[str, str, str, str]:
    return row.level, row.key, row.identity, row.session


def _write_index(path: Path, rows: Sequence[BankRow]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*PLACE, *rows[0].quality])
        writer.writerows([*_place(row), row.input, *row.quality.values()] for row in rows)


def _read_index(path: Path) -> list[BankRow]:
    """Raises `ValueError` or `KeyError` where it is damaged."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    if header[: len(INDEX)] != [*INDEX]:
        raise ValueError(f"columns {', '.join(header)}")
    rows = []
    for line in lines:
        fields = dict(zip(header, line, strict=True))
        level, key, identity, session, checksum = (fields.pop(name) for name in PLACE)
        quality = {name: float(text) for name, text in fields.items()}
        rows.append(BankRow(level, key, identity, session, checksum, quality))
    return rows


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
