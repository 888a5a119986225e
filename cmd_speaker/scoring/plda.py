"""Probabilistic linear discriminant analysis: a log-likelihood ratio from how speakers and sessions vary.

An embedding is a mean, plus a part y of the speaker, plus a part of the session: x = m + y + e, y ~ N(0, B),
e ~ N(0, W). The score of two embeddings is the logarithm of how much likelier they are with one y than with
two. A basis in which W is the identity and B is diagonal (entries psi) makes it a sum over dimensions u of

    ln(1 + psi) - ln(1 + 2 psi) / 2 - psi^2 (u1^2 + u2^2) / (2 (1 + psi)(1 + 2 psi)) + psi u1 u2 / (1 + 2 psi),

so that scoring is an inner product and a number for each side, and any number of trials is a matrix product.

Sources: S. Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006 (the basis); P. Kenny, "Bayesian
speaker verification with heavy-tailed priors", Odyssey 2010, and D. Garcia-Romero and C. Espy-Wilson,
"Analysis of i-vector length normalization in speaker recognition systems", Interspeech 2011 (Gaussian PLDA of
length-normalised embeddings with a full session covariance). SpeechBrain estimates B = F F' and W by
expectation maximisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.progress import track

DEFAULT_RANK = 100
ITERATIONS = 10
NO_SPEAKER = 1e-9
"""Directions whose psi is below this share of the largest tell nothing about speakers."""


class Points(NamedTuple):
    """Embeddings as a scorer sees them: two score `vectors[a] @ vectors[b] + offsets[a] + offsets[b]`.

    `vectors` is float32 [N, R]; `offsets` float32 [N], or None where they are all zero (the cosine).
    """

    vectors: np.ndarray
    offsets: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Plda:
    """`mean` [D]; `basis` [D, R] and `psi` [R] with basis' W basis = I and basis' B basis = diag(psi)."""

    mean: np.ndarray
    basis: np.ndarray
    psi: np.ndarray

    @classmethod
    def of_covariances(cls, mean: np.ndarray, between: np.ndarray, within: np.ndarray) -> Plda:
        """The model of the covariances [D, D] between speakers and within one; the second has full rank."""
        from scipy.linalg import eigh

        psi, basis = eigh(between, within)
        chosen = np.flatnonzero(psi > NO_SPEAKER * psi.max())[::-1]
        return cls(np.asarray(mean, np.float64), basis[:, chosen], psi[chosen])

    @classmethod
    def fit(cls, vectors: np.ndarray, speakers: Sequence[str], rank: int | None = None) -> Plda:
        """Train on length-normalised embeddings [N, D], `speakers` naming the speaker of each.

        `rank` is the dimension of the space of speakers, at most D; by default `DEFAULT_RANK` where D allows it.
        Raises `UsageError` for a rank out of range, and `DataError` for fewer than two speakers, no speaker
        with two utterances, or no more utterances than dimensions.
        """
        names, numbers = np.unique(np.asarray(speakers), return_inverse=True)
        total, size = vectors.shape
        rank = min(DEFAULT_RANK, size) if rank is None else rank
        if not 1 <= rank <= size:
            raise UsageError(f"--plda-rank goes from 1 to the embeddings' size {size}, found {rank}")
        if len(names) < 2 or total == len(names) or total <= size:
            raise DataError(
                "too little data for PLDA",
                expected=f"more than {size} utterances, and several of at least two speakers",
                found=f"{total} utterances of {len(names)} speakers",
                fix="Give the embeddings of a training set",
            )
        spread = np.linalg.matrix_rank(np.cov(vectors, rowvar=False), hermitian=True)
        if spread < size:
            raise DataError(
                "no PLDA can be made of these embeddings", expected=f"variation in all {size} dimensions",
                found=f"in {spread} only", fix="Give more utterances, or embeddings of fewer dimensions",
            )  # fmt: skip
        from speechbrain.processing.PLDA_LDA import PLDA, StatObject_SB

        nothing = np.full(total, None)
        # Numbers as speakers: SpeechBrain compares every utterance with every speaker.
        statistics = StatObject_SB(
            numbers, np.arange(total), nothing, nothing, np.ones((total, 1)), vectors.astype(np.float64)
        )
        model = PLDA(rank_f=rank, nb_iter=ITERATIONS)
        for one in track([statistics], "Training PLDA"):
            model.plda(one)
        return cls.of_covariances(model.mean, model.F @ model.F.T, model.Sigma)

    @property
    def rank(self) -> int:
        return len(self.psi)

    def points(self, unit: np.ndarray) -> Points:
        """Length-normalised embeddings [N, D] so that an inner product and two offsets are their LLR."""
        vectors = (unit - self.mean) @ (self.basis * np.sqrt(self.psi / (1 + 2 * self.psi)))
        constant = np.sum(np.log1p(self.psi) - np.log1p(2 * self.psi) / 2)
        offsets = (constant - vectors**2 @ (self.psi / (1 + self.psi))) / 2
        return Points(vectors.astype(np.float32), offsets.astype(np.float32))
