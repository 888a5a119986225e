"""Who speaks: lists of the speakers of utterances, and the speakers of a trial list."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.lists.lines import read_pieces
from cmd_speaker.lists.trials import Trials


def load_utt2spk(path: str | Path) -> dict[str, str]:
    """Utterance id -> speaker, from Kaldi's `utt2spk` or from the columns `ID` and `spk_id` of a manifest.

    Raises `DataError` for a missing, unreadable or empty file or a CSV without these columns, and
    `DataErrors` with every incomplete row and every utterance that occurs twice.
    """
    path = Path(path)
    pieces = list(read_pieces(path, "list of speakers"))
    lines = [line for piece in pieces for line in piece.lines()]
    if not lines:
        raise DataError("the list of speakers is empty", file=path, fix="Make it again")
    is_csv = path.suffix.lower() == ".csv"
    rows = _csv_rows(path, b"".join(piece.data for piece in pieces)) if is_csv else _utt2spk_rows(path, lines)
    speakers: dict[str, str] = {}
    errors = []
    for row, utterance, speaker in rows:
        if not utterance or not speaker:
            problem, expected, found = "incomplete row", "an utterance and its speaker", "an empty field"
        elif utterance in speakers:
            problem, expected, found = (
                f"duplicate utterance '{utterance}'",
                "each utterance once",
                "a second row",
            )
        else:
            speakers[utterance] = speaker
            continue
        fix = "Correct or remove the row"
        errors.append(DataError(problem, file=path, row=row, expected=expected, found=found, fix=fix))
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {len(rows)} rows are wrong", errors)
    return speakers


def _utt2spk_rows(path: Path, lines: list[tuple[int, list[bytes]]]) -> list[tuple[int, str, str]]:
    """Line number, utterance and speaker of every row of Kaldi's `utt2spk`."""
    errors = [
        DataError(
            "wrong number of fields",
            file=path,
            row=row,
            expected="'utterance speaker'",
            found=f"'{b' '.join(fields).decode()[:100]}'",
            fix="Correct the line",
        )
        for row, fields in lines
        if len(fields) != 2
    ]
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {len(lines)} rows are wrong", errors)
    return [(row, fields[0].decode(), fields[1].decode()) for row, fields in lines]


def _csv_rows(path: Path, data: bytes) -> list[tuple[int, str, str]]:
    """Line number, utterance and speaker of every row of a manifest with this content."""
    # Strict: an unbalanced quote would swallow the rows after it.
    reader = csv.DictReader(StringIO(data.decode(), newline=""), skipinitialspace=True, strict=True)
    try:
        columns = reader.fieldnames or []
        if "ID" not in columns or "spk_id" not in columns:
            raise DataError(
                "the manifest does not say who speaks",
                file=path,
                row=1,
                expected="the columns ID and spk_id",
                found=",".join(columns),
                fix="Add the columns, or give a Kaldi utt2spk",
            )
        return [(reader.line_num, row["ID"] or "", row["spk_id"] or "") for row in reader]
    except csv.Error as error:
        raise DataError(
            "the manifest is not a CSV file", file=path, row=reader.reader.line_num,
            expected="comma-separated fields, quotes in pairs", found=str(error), fix="Correct the row",
        ) from error  # fmt: skip


def trial_speakers(trials: Trials, utt2spk: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The speaker of both sides of every trial, [n] each, as numbers into the sorted list of their names.

    Raises `DataErrors` for every trial with an utterance that `utt2spk` lacks, and for targets of two
    speakers and nontargets of one.
    """
    used = np.zeros(len(trials.ids), dtype=bool)
    used[trials.enrol] = used[trials.test] = True
    by_id = {name: utt2spk[name] for name in np.array(trials.ids, dtype=object)[used] if name in utt2spk}
    names = sorted(set(by_id.values()))
    number = {name: k for k, name in enumerate(names)}
    enrol, test = trials.rows_in({name: number[speaker] for name, speaker in by_id.items()})
    errors = []
    for k in np.flatnonzero((enrol < 0) | (test < 0)).tolist():
        missing = [name for name, side in zip(trials.pair(k), (enrol[k], test[k]), strict=True) if side < 0]
        errors.append(
            DataError(
                f"the speaker of {' and '.join(repr(name) for name in missing)} is not known",
                file=trials.path,
                row=trials.row(k),
                expected="a row with its speaker in the manifest or utt2spk",
                found="none",
                fix="Give the list that covers all utterances of the trials",
            )
        )
    if not errors and trials.labels is not None:
        wrong = np.flatnonzero((enrol == test) != trials.labels).tolist()
        errors = [_contradiction(trials, k, names[enrol[k]], names[test[k]]) for k in wrong]
    if errors:
        raise DataErrors(f"{len(errors)} of {len(trials)} trials do not fit the speakers", errors)
    return enrol, test, names


def _contradiction(trials: Trials, k: int, enrol: str, test: str) -> DataError:
    assert trials.labels is not None
    same = bool(trials.labels[k])
    return DataError(
        f"the label of '{' '.join(trials.pair(k))}' contradicts the speakers",
        file=trials.path,
        row=trials.row(k),
        expected="one speaker, as it is a target" if same else "two speakers, as it is a nontarget",
        found=f"'{enrol}' and '{test}'",
        fix="Find out whether the trial list or the list of speakers is wrong",
    )
