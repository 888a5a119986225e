"""A teacher whose embeddings were computed elsewhere, by any model: a face recogniser, a language model.

Two files: the embeddings, in any form that `cmd_speaker.embeddings` reads, and a table (`lists.metadata`) that
says whose they are: `ID,spk_id[,session][,utterance]` and any columns of numbers, each a quality of the inputs.
A row belongs to the utterance that it names, else to the session, else to the whole identity.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.lists.metadata import load_metadata
from cmd_speaker.manifest import Manifest
from cmd_speaker.teachers.bank import INDEX, TeacherInput
from cmd_speaker.teachers.matching import LEVELS, key_of, session_key, some

OWN_COLUMNS = ("ID", "spk_id", "session", "utterance")


class Row(NamedTuple):
    """A row of the table: `level` and `key` as in a bank, `line` its place in the file."""

    line: int
    id: str
    speaker: str
    session: str
    level: str
    key: str
    quality: dict[str, float]


class VectorTeacher:
    """Embeddings read from `embeddings`, whose speakers the CSV file `table` names; both null: of nobody.

    Raises `DataError` or `DataErrors` where a file is missing or damaged, and naming every row of the table
    without an embedding, every embedding of length 0 and every quality that is no number. Embeddings that no
    row names are left out and counted.
    """

    modality = "vectors"

    def __init__(self, embeddings: str | Path | None = None, table: str | Path | None = None) -> None:
        self.table: Path | None = None
        self.rows: list[Row] = []
        self.vectors: dict[str, np.ndarray] = {}
        self.unnamed, self.model = 0, "none"
        if embeddings is None and table is None:
            return
        if embeddings is None or table is None:
            raise DataError(
                "a teacher of vectors has two files", file=embeddings or table,
                expected="embeddings and a table that says whose they are", found="only one of them",
            )  # fmt: skip
        self.table = Path(table)
        stored = load_embeddings(embeddings)
        places = stored.index()
        self.rows = _read_table(self.table)
        unusable = _unusable(self.table, self.rows, places, stored.vectors, Path(embeddings))
        _refuse(self.table, len(self.rows), unusable)
        self.vectors = {row.id: stored.vectors[places[row.id]] for row in self.rows}
        self.unnamed = len(stored) - len(self.rows)
        self.model = stored.model or "not said"

    def inputs(self, manifest: Manifest) -> list[TeacherInput]:
        """The rows that an utterance of the manifest can take, in the table's order.

        No other speaker's are among them, so held-out ones never meet the head. Raises `DataErrors` naming
        every row whose utterance belongs to another speaker, and `DataError` where no files were given.
        """
        if self.table is None:
            raise DataError(
                "no vectors were given to this teacher",
                expected="two files: embeddings, and a table of whose they are",
                fix="Give both, or leave the teacher out (vector_teacher: 0)",
            )  # fmt: skip
        speakers = {utterance.id: utterance.spk_id for utterance in manifest}
        wrong = [
            DataError(
                f"the utterance '{row.key}' is another speaker's", file=self.table, row=row.line,
                expected=f"speaker '{speakers[row.key]}', as in {manifest.path.name}",
                found=f"speaker '{row.speaker}'", fix="Correct the column spk_id or utterance",
            )
            for row in self.rows
            if row.level == "utterance" and speakers.get(row.key, row.speaker) != row.speaker
        ]  # fmt: skip
        _refuse(self.table, len(self.rows), wrong)
        taken = _keys(manifest)
        return [
            TeacherInput(
                row.level, row.key, row.speaker, row.session, _checksum(self.vectors[row.id]), row.id, row.quality
            )
            for row in self.rows
            if (row.level, row.key) in taken
        ]  # fmt: skip

    def left_out(self, manifest: Manifest) -> str:
        """What `inputs` leaves out, counted, in words; empty where that is nothing."""
        speakers, taken = set(manifest.speakers), _keys(manifest)
        others = Counter(row.speaker for row in self.rows if row.speaker not in speakers)
        untaken = [row for row in self.rows if row.speaker in speakers and (row.level, row.key) not in taken]
        keys = some(row.key for row in untaken)
        parts = (
            (self.unnamed, "embeddings that the table does not name"),
            (others.total(), f"rows of {len(others)} speakers who are not trained on ({some(others)})"),
            (len(untaken), f"rows of utterances or sessions not trained on ({keys})"),
        )
        return ", ".join(f"{count} {what}" for count, what in parts if count)

    def embed(self, ids: Sequence[str]) -> np.ndarray:
        """The embeddings of these ids, float32 [n, D]."""
        return np.stack([self.vectors[each] for each in ids])

    def identity(self) -> str:
        return hashlib.sha256(self.source().encode()).hexdigest()

    def source(self) -> str:
        """Which model made the file; the vectors themselves are the inputs, and their bytes are compared."""
        return f"vectors, model {self.model}"


def _keys(manifest: Manifest) -> set[tuple[str, str]]:
    return {(level, key_of(utterance, level)) for utterance in manifest for level in LEVELS}


def _read_table(path: Path) -> list[Row]:
    """Raises `DataError` for a table of another kind, `DataErrors` naming every row or value that is wrong."""
    table = load_metadata(path)
    if missing := [name for name in ("ID", "spk_id") if name not in table.columns]:
        raise DataError(
            f"the table lacks the column {', '.join(missing)}", file=path, row=1, expected="ID,spk_id",
            found=",".join(table.columns), fix="Add it",
        )  # fmt: skip
    measures = [name for name in table.columns if name not in OWN_COLUMNS]
    if reserved := sorted(set(measures) & set(INDEX)):
        raise DataError(
            f"the name '{reserved[0]}' has a meaning of its own in a bank", file=path, row=1,
            expected="another name for this measure", found=",".join(table.columns), fix="Rename the column",
        )  # fmt: skip
    values = {name: table.numbers(name, list(table.rows)) for name in measures}
    rows, errors = [], []
    for place, (name, (line, fields)) in enumerate(table.rows.items()):
        quality = {measure: float(column[place]) for measure, column in values.items()}
        try:
            rows.append(_parse(path, line, name, fields, quality))
        except DataError as error:
            errors.append(error)
    _refuse(path, len(table.rows), errors)
    return rows


def _parse(path: Path, line: int, name: str, fields: Mapping[str, str], quality: dict[str, float]) -> Row:
    unknown = next((measure for measure, value in quality.items() if np.isnan(value)), None)
    if unknown or not fields["spk_id"]:
        raise DataError(
            f"no {unknown or 'spk_id'} of '{name}'", file=path, row=line, expected="a value in every row",
            found="none", fix="Add it, or remove the row" + (" or the column" if unknown else ""),
        )  # fmt: skip
    speaker, session, utterance = fields["spk_id"], fields.get("session", ""), fields.get("utterance", "")
    level, key = "identity", speaker
    if utterance:
        level, key = "utterance", utterance
    elif session:
        level, key = "session", session_key(speaker, session)
    return Row(line, name, speaker, session, level, key, quality)


def _unusable(
    table: Path, rows: Iterable[Row], places: Mapping[str, int], vectors: np.ndarray, path: Path
) -> list[DataError]:
    errors = []
    for row in rows:
        if row.id not in places:
            problem, expected = f"no embedding for '{row.id}'", f"one in {path}"
        elif not vectors[places[row.id]].any():
            problem, expected = f"the embedding of '{row.id}' has length 0", f"another one in {path}"
        else:
            continue
        fix = "Compute it again, or remove the row"
        errors.append(DataError(problem, file=table, row=row.line, expected=expected, fix=fix))
    return errors


def _refuse(path: Path, total: int, errors: Sequence[DataError]) -> None:
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {total} rows are wrong", errors)


def _checksum(vector: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(vector).tobytes()).hexdigest()
