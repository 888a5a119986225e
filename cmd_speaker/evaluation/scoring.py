"""Embeddings and trials in, scores out."""

from __future__ import annotations

import numpy as np

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.scores import Scores
from cmd_speaker.evaluation.trials import BLOCK, Trials


def cosine_scores(
    embeddings: Embeddings, trials: Trials, block: int = BLOCK
) -> tuple[Scores, list[DataError]]:
    """The cosine of the angle between the two embeddings of each trial: float32 in [-1, 1].

    Every embedding is brought to length 1 once; then `block` trials at a time are row-wise inner products,
    so that memory stays at 2 x `block` x D numbers and no N x N matrix is made.

    Returns the scores of the trials whose utterances both have an embedding, and one error for each of the
    others. Raises `DataError` for embeddings of length zero, which have no direction, for an id that
    occurs twice, and where not a single trial can be scored.
    """
    enrol, test = trials.rows_in(embeddings.index())
    known = (enrol >= 0) & (test >= 0)
    if len(trials) and not known.any():
        raise DataError(
            f"none of the {len(trials)} trials can be scored",
            file=trials.path,
            row=trials.row(0),
            expected=f"ids like '{embeddings.ids[0]}' as in {embeddings.path or 'the embeddings'}",
            found=f"'{' '.join(trials.pair(0))}'",
            fix="Use the same ids in the embeddings and the trial list",
        )
    errors = [_unknown(embeddings, trials, k, enrol[k], test[k]) for k in np.flatnonzero(~known).tolist()]
    if errors:
        trials, enrol, test = trials.take(known), enrol[known], test[known]
    unit = length_normalised(embeddings)
    scores = np.empty(len(trials), dtype=np.float32)
    for start in range(0, len(trials), block):
        rows = slice(start, start + block)
        np.einsum("nd,nd->n", unit[enrol[rows]], unit[test[rows]], out=scores[rows])
    return Scores(trials, np.clip(scores, -1, 1, out=scores)), errors


def length_normalised(embeddings: Embeddings) -> np.ndarray:
    """The embeddings, each divided by its Euclidean length: float32 [N, D].

    Raises `DataError` for embeddings of length zero.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", embeddings.vectors, embeddings.vectors, dtype=np.float64))
    empty = np.flatnonzero(lengths == 0)
    if len(empty):
        raise DataError(
            f"the embedding of '{embeddings.ids[empty[0]]}' is all zeros",
            file=embeddings.path,
            expected="a length above 0",
            found=f"{len(empty)} of {len(embeddings)} embeddings that are all zeros",
            fix="Check that audio file, and embed it again",
        )
    unit = np.empty(embeddings.vectors.shape, dtype=np.float32)
    np.divide(embeddings.vectors, lengths[:, np.newaxis], out=unit, casting="same_kind")
    return unit


def _unknown(embeddings: Embeddings, trials: Trials, k: int, enrol: int, test: int) -> DataError:
    """The error of trial k, whose rows `enrol` and `test` are -1 where there is no embedding."""
    sides = [name for name, row in zip(trials.pair(k), (enrol, test), strict=True) if row < 0]
    return DataError(
        f"no embedding of {' and '.join(repr(name) for name in sides)}",
        file=trials.path,
        row=trials.row(k),
        expected=f"an id of {embeddings.path or 'the embeddings'}",
        found="an unknown utterance",
        fix="Embed the utterance, or take the trial off the list",
    )
