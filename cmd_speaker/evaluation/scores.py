"""Score files, and the tables that are joined to them: trial lists (labels) and speakers of utterances.

A score file has a line `enrol test score` or `enrol test score label` for every trial; the label is 1 or
`target`, 0 or `nontarget`. A higher score means more likely the same speaker.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.evaluation.trials import BLOCK, LABELS, Lines, Trials, number_ids, read_lines, writable_ids
from cmd_speaker.files import write_atomically


@dataclass(frozen=True, eq=False)
class Scores:
    """Trials with a score each: `scores` is float32 or float64 [n]."""

    trials: Trials
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def labels(self) -> np.ndarray | None:
        """Which trials are targets, bool [n]; None where that is not known."""
        return self.trials.labels

    def known_labels(self) -> np.ndarray:
        """The labels, bool [n]; raises `DataError` where they are not known."""
        if self.labels is None:
            raise DataError(
                "the scores have no labels", file=self.trials.path, expected="target and nontarget trials",
                found="unlabelled scores", fix="Give the labelled trial list with --trials",
            )  # fmt: skip
        return self.labels


def load_scores(path: str | Path) -> Scores:
    """Read a score file; the scores are float64 [n].

    Raises `DataError` for a missing, unreadable or empty file, and `DataErrors` with every row whose number
    of fields is not that of the file, whose score is not a finite number or whose label is unknown.
    """
    lines = read_lines(Path(path), "score file")
    width = 4 if np.count_nonzero(lines.counts == 4) > len(lines) / 2 else 3
    if (lines.counts != width).any():
        raise _bad_rows(lines, width)
    words, labels = lines.columns(width), None
    try:
        scores = np.fromiter(map(float, words[2]), np.float64, len(lines))
        if width == 4:
            labels = np.fromiter(map(LABELS.__getitem__, words[3]), bool, len(lines))
    except (ValueError, KeyError) as error:
        raise _bad_rows(lines, width) from error
    if not np.isfinite(scores).all():
        raise _bad_rows(lines, width)
    ids, enrol, test = number_ids(words[0], words[1])
    return Scores(Trials(ids, enrol, test, labels, lines.path, lines.rows), scores)


def save_scores(path: str | Path, scores: Scores) -> None:
    """Write a score file, with labels (1 or 0) where they are known; either all of it appears or nothing.

    Nine significant digits give every float32 back as it was. Raises `DataError` for an id that contains
    white space, for a score that is not finite, and where the file cannot be written.
    """
    trials, names = scores.trials, writable_ids(path, scores.trials)
    bad = np.flatnonzero(~np.isfinite(scores.scores))
    if len(bad):
        raise DataError(
            f"the score of {' '.join(trials.pair(bad[0]))} is not finite",
            file=path,
            expected="finite numbers",
            found=f"{len(bad)} of {len(scores)} scores that are NaN or infinite",
            fix="Check the embeddings that they come from",
        )
    ends = np.array(["\n"] if trials.labels is None else [" 0\n", " 1\n"], dtype=object)
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for start in range(0, len(scores), BLOCK):
            block = slice(start, start + BLOCK)
            which = np.zeros(len(trials.enrol[block]), int) if trials.labels is None else trials.labels[block]
            columns = (names[trials.enrol[block]], names[trials.test[block]], scores.scores[block].tolist())
            rows = zip(*columns, ends[which.astype(int)], strict=True)
            file.writelines(f"{enrol} {test} {score:.9g}{end}" for enrol, test, score, end in rows)


def attach_labels(scores: Scores, trials: Trials) -> tuple[Scores, int]:
    """The score of every trial of a labelled list, joined by the pair (enrol, test) whatever the order.

    Returns the scores in the order of `trials`, with its labels, and how many scores had no trial there.
    Raises `DataErrors` for trials without a score, for a pair with two different scores, and where the
    score file has labels of its own that contradict the list; `DataError` for a list without labels.
    """
    if trials.labels is None:
        raise DataError(
            "the trial list has no labels",
            file=trials.path,
            row=trials.row(0),
            expected="a label in every row",
            found=f"'{' '.join(trials.pair(0))}'",
            fix="Give the list with labels",
        )
    places, extra = match_pairs(scores, trials)
    if scores.labels is not None:
        names = ("nontarget", "target")
        errors = [
            DataError(
                f"the labels of '{' '.join(trials.pair(k))}' contradict each other",
                file=trials.path,
                row=trials.row(k),
                expected=f"{names[int(scores.labels[places[k]])]} as in {scores.trials.path or 'the scores'}",
                found=names[int(trials.labels[k])],
                fix="Find out which label is right",
            )
            for k in np.flatnonzero(scores.labels[places] != trials.labels).tolist()
        ]
        if errors:
            raise DataErrors(f"{len(errors)} of {len(trials)} trials have two labels", errors)
    return Scores(trials, scores.scores[places]), extra


def match_pairs(scores: Scores, trials: Trials) -> tuple[np.ndarray, int]:
    """Where in `scores` each trial is, [n], and how many scores have no trial; labels play no part.

    Raises `DataErrors` for trials without a score and for a pair with two different scores.
    """
    scored = scores.trials
    index = {name: number for number, name in enumerate(scored.ids)}
    enrol, test = trials.rows_in(index)
    wanted = np.where((enrol < 0) | (test < 0), -1, enrol * len(index) + test)
    keys = scored.enrol.astype(np.int64) * len(index) + scored.test
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], scores.scores[order]
    _check_single(scored, order[1:][(keys[1:] == keys[:-1]) & (values[1:] != values[:-1])])
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    errors = [
        DataError(
            f"no score for the trial '{' '.join(trials.pair(k))}'",
            file=trials.path,
            row=trials.row(k),
            expected="a score",
            found=f"none in {scored.path or 'the scores'}",
            fix="Score the whole list",
        )
        for k in np.flatnonzero(keys[places] != wanted).tolist()
    ]
    if errors:
        raise DataErrors(f"{len(errors)} of {len(trials)} trials have no score", errors)
    return order[places], int(np.count_nonzero(~np.isin(keys, wanted)))


def load_utt2spk(path: str | Path) -> dict[str, str]:
    """Utterance id -> speaker, from Kaldi's `utt2spk` or from the columns `ID` and `spk_id` of a manifest.

    Raises `DataError` for a missing, unreadable or empty file or a CSV without these columns, and
    `DataErrors` with every incomplete row and every utterance that occurs twice.
    """
    lines = read_lines(Path(path), "list of speakers")
    if lines.path.suffix.lower() == ".csv":
        rows = _csv_rows(lines.path)
    else:
        errors = [
            lines.error(k, "wrong number of fields", "'utterance speaker'")
            for k in np.flatnonzero(lines.counts != 2).tolist()
        ]
        if errors:
            raise DataErrors(f"{path}: {len(errors)} of {len(lines)} rows are wrong", errors)
        rows = list(zip(map(lines.row, range(len(lines))), *lines.columns(2), strict=True))
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


def _csv_rows(path: Path) -> list[tuple[int, str, str]]:
    """Line number, utterance and speaker of every row of a manifest."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        # Strict: an unbalanced quote would swallow the rows after it.
        reader = csv.DictReader(file, skipinitialspace=True, strict=True)
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
        try:
            return [(reader.line_num, row["ID"] or "", row["spk_id"] or "") for row in reader]
        except csv.Error as error:
            raise DataError(
                "the manifest is not a CSV file", file=path, row=reader.line_num,
                expected="comma-separated fields, quotes in pairs", found=str(error), fix="Correct the row",
            ) from error  # fmt: skip


def _bad_rows(lines: Lines, width: int) -> DataErrors:
    """Every row of a score file that has not the `width` of the file, a finite score and a known label."""
    form = "'enrol test score'" if width == 3 else "'enrol test score label'"
    errors = []
    for k, (start, stop) in enumerate(
        zip(lines.bounds[:-1].tolist(), lines.bounds[1:].tolist(), strict=True)
    ):
        fields = lines.tokens[start:stop]
        if len(fields) != width:
            errors.append(lines.error(k, "wrong number of fields", f"{form} as in the rest of the file"))
        elif not _is_finite(fields[2]):
            errors.append(lines.error(k, f"bad score '{fields[2]}'", f"a finite number in {form}"))
        elif width == 4 and fields[3] not in LABELS:
            errors.append(lines.error(k, f"unknown label '{fields[3]}'", " or ".join(LABELS)))
    return DataErrors(f"{lines.path}: {len(errors)} of {len(lines)} rows of the score file are wrong", errors)


def _is_finite(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _check_single(scored: Trials, repeated: np.ndarray) -> None:
    """Raise `DataErrors` for the positions `repeated`, which give a pair another score than before."""
    errors = [
        DataError(
            f"a second, different score for '{' '.join(scored.pair(k))}'",
            file=scored.path,
            row=scored.row(k),
            expected="one score a pair",
            found="two",
            fix="Score the list again",
        )
        for k in np.sort(repeated)
    ]
    if errors:
        raise DataErrors(f"{len(errors)} pairs have two scores", errors)
