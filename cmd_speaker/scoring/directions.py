"""Embeddings as directions: brought to length 1, and averaged as such."""

from __future__ import annotations

import numpy as np

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError


def length_normalised(embeddings: Embeddings) -> np.ndarray:
    """The embeddings, each divided by its Euclidean length: float32 [N, D].

    Raises `DataError` for embeddings of length zero, which have no direction, and such as are not finite.
    """
    vectors = embeddings.vectors
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(~((lengths > 0) & np.isfinite(lengths)))
    if len(bad):
        what = "is all zeros" if lengths[bad[0]] == 0 else "is not finite"
        raise DataError(
            f"the embedding of '{embeddings.ids[bad[0]]}' {what}", file=embeddings.path,
            expected="a finite length above 0", found=f"{len(bad)} of {len(vectors)} embeddings without",
            fix="Check that audio file, and embed it again",
        )  # fmt: skip
    unit = np.empty(vectors.shape, dtype=np.float32)
    np.divide(vectors, lengths[:, np.newaxis], out=unit, casting="same_kind")
    return unit


def averaged(unit: np.ndarray, starts: np.ndarray, names: list[str]) -> np.ndarray:
    """The means of groups of rows of `unit` [N, D], brought to length 1: float32 [G, D].

    Group g, called `names[g]`, begins at row `starts[g]` and ends where the next begins. Raises `DataError`
    for a group whose embeddings cancel out.
    """
    counts = np.diff(np.append(starts, len(unit)))
    means = np.add.reduceat(unit, starts, axis=0, dtype=np.float64) / counts[:, np.newaxis]
    return length_normalised(Embeddings(names, means.astype(np.float32)))
