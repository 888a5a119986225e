"""Speakers enrolled with several utterances: one score of a model and a test utterance.

`average` scores the test utterance against the mean of the model's length-normalised embeddings, itself
brought to length 1: one comparison a trial, and what most systems do. `score` takes the mean of the scores
of the model's utterances, `best` the highest. Where scores are normalised, an averaged model has cohort
statistics of its own, like an utterance; otherwise each utterance's score is normalised with the statistics
of that utterance, and the normalised scores are combined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.lists.lines import read_pieces

ENROLMENTS = ("average", "score", "best")


@dataclass(frozen=True, eq=False)
class EnrolMap:
    """Model -> its utterances, in the order of the file `path`."""

    models: Mapping[str, Sequence[str]]
    path: Path | None = None


@dataclass(frozen=True, eq=False)
class Members:
    """The utterances of M models as rows of the embeddings: `rows[bounds[m] : bounds[m + 1]]`.

    `index` numbers the models whose utterances all have an embedding; `missing` names, for each of the
    others, its utterances that have none.
    """

    index: Mapping[str, int]
    rows: np.ndarray
    bounds: np.ndarray
    missing: Mapping[str, Sequence[str]]

    def expand(self, models: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the utterances of `models` [n] one after the other, and where each model's begin, [n]."""
        counts = self.counts(models)
        starts = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(self.bounds[models] - starts, counts)
        return self.rows[places], starts

    def counts(self, models: np.ndarray) -> np.ndarray:
        """How many utterances each of `models` [n] has, [n]."""
        return self.bounds[models + 1] - self.bounds[models]


def load_enrol_map(path: str | Path) -> EnrolMap:
    """Read `model utterance utterance ...`, the form of Kaldi's `spk2utt` and CN-Celeb's `enroll.map`.

    Raises `DataError` for a missing, unreadable or empty file, and `DataErrors` with every model that has no
    utterance, names one twice, or occurs a second time.
    """
    path = Path(path)
    models: dict[str, list[str]] = {}
    errors, total = [], 0
    for row, (name, *names) in (
        line for piece in read_pieces(path, "enrolment map") for line in piece.lines()
    ):
        model, utterances, total = name.decode(), [text.decode() for text in names], total + 1
        problem = None
        if not utterances:
            problem, expected, found = f"no utterance of model '{model}'", "at least one", "none"
        elif model in models:
            problem, expected, found = f"duplicate model '{model}'", "each model once", "a second row"
        elif len(set(utterances)) < len(utterances):
            problem, expected = f"model '{model}' names an utterance twice", "each utterance once"
            found = f"{len(utterances)} utterances, {len(set(utterances))} of them different"
        if problem is not None:
            fix = "Correct or remove the row"
            errors.append(DataError(problem, file=path, row=row, expected=expected, found=found, fix=fix))
        models[model] = utterances
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {total} models are wrong", errors)
    if not models:
        raise DataError("the enrolment map is empty", file=path, fix="Make it again")
    return EnrolMap(models, path)


def members(enrolled: EnrolMap, index: Mapping[str, int]) -> Members:
    """Which rows the models have, `index` being that of the embeddings.

    Raises `DataError` where not a single model has all its utterances.
    """
    rows: list[int] = []
    bounds, numbers, missing = [0], dict[str, int](), dict[str, Sequence[str]]()
    for model, utterances in enrolled.models.items():
        absent = [name for name in utterances if name not in index]
        if absent:
            missing[model] = absent
            continue
        numbers[model] = len(numbers)
        rows += [index[name] for name in utterances]
        bounds.append(len(rows))
    if not numbers:
        raise DataError(
            f"none of the {len(missing)} models can be enrolled", file=enrolled.path,
            expected=f"ids like '{next(iter(index))}' as in the embeddings",
            found=f"'{next(iter(missing.values()))[0]}'", fix="Use the same ids in both files",
        )  # fmt: skip
    return Members(numbers, np.array(rows, np.intp), np.array(bounds, np.intp), missing)


def combine(scores: np.ndarray, starts: np.ndarray, way: str) -> np.ndarray:
    """One score a trial, [n], from those of its utterances, which begin at `starts` [n]: `score` or `best`."""
    if way == "best":
        return np.maximum.reduceat(scores, starts)
    counts = np.diff(np.append(starts, len(scores)))
    return (np.add.reduceat(scores, starts, dtype=np.float64) / counts).astype(scores.dtype)
