"""Score normalisation: a score is measured against what the same voice scores with a cohort of strangers.

With the mean m and the standard deviation s of the scores of one side of a trial against the cohort, a
score x becomes

    Z-norm   (x - m_enrol) / s_enrol             the whole cohort
    T-norm   (x - m_test) / s_test               the whole cohort
    S-norm   the mean of both                    the whole cohort
    AS-norm  the mean of both                    the `top` cohort entries that score highest with each side

(Z: D. Reynolds, "Comparison of background normalization methods for text-independent speaker verification",
Eurospeech 1997; T: R. Auckenthaler et al., "Score normalization for text-independent speaker verification
systems", Digital Signal Processing 10, 2000; S: P. Kenny, "Bayesian speaker verification with heavy-tailed
priors", Odyssey 2010; AS, there S-norm with adaptive cohorts of its own for each side: P. Matějka et al.,
"Analysis of score normalization in multilingual speaker recognition", Interspeech 2017.)

s is the standard deviation of the population (divided by n), as in WeSpeaker. SpeechBrain's recipe divides by
n - 1: with the same n for every utterance that multiplies all normalised scores by one number, which no
error rate sees.

m and s depend on one utterance only, so they are computed once for each and not once for each trial.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.lists.trials import BLOCK
from cmd_speaker.scoring.plda import Points

NORMS = ("none", "z", "t", "s", "as")
DEFAULT_TOP = 300
NO_SPREAD = 8 * float(np.finfo(np.float32).eps)
"""A deviation below this share of the lengths that were multiplied is rounding."""


class Cohort:
    """The `points` of C cohort entries; with `top`, statistics are over the highest scores only."""

    def __init__(self, points: Points, top: int | None) -> None:
        self.points, self.top = points, top
        squares = np.einsum("cd,cd->", points.vectors, points.vectors, dtype=np.float64)
        self._length = float(np.sqrt(squares / len(points.vectors)))
        self._moments = _moments(points) if top is None else None

    def __len__(self) -> int:
        return len(self.points.vectors)

    def statistics(self, points: Points) -> np.ndarray:
        """Mean and standard deviation of the cohort scores of N `points`: float64 [N, 2].

        Memory for scores: N x C float32, and their best as float64; without `top` none.
        """
        if self.top is not None:
            return self._best(points, self.top)
        assert self._moments is not None
        return self._whole(points, *self._moments)

    def check(self, points: Points, statistics: np.ndarray, names: Sequence[str]) -> None:
        """Raise `DataError` where the cohort scores of one of N `names` do not differ."""
        deviation = statistics[:, 1]
        lengths = np.linalg.norm(points.vectors, axis=1)
        flat = np.flatnonzero(~(deviation > NO_SPREAD * self._length * lengths))
        if len(flat):
            raise DataError(
                f"the cohort scores of '{names[flat[0]]}' do not differ", expected="a standard deviation above 0",
                found=f"{deviation[flat[0]]:.2g} over {self.top or len(self)} cohort entries",
                fix="Take a cohort of several speakers, or a larger --top",
            )  # fmt: skip

    def top_mean(self, points: Points, top: int) -> np.ndarray:
        """The mean of the `top` highest cohort scores, float64 [N]: how close a voice is to its neighbours."""
        return self._best(points, top)[:, 0]

    def _whole(self, points: Points, entry_mean: np.ndarray, entry_spread: np.ndarray) -> np.ndarray:
        """Over the whole cohort, exactly: a score is linear in the cohort entry, so its mean and variance
        follow from the mean and covariance of the entries, and no score is computed."""
        columns = np.column_stack([points.vectors.astype(np.float64), np.ones(len(points.vectors))])
        mean = columns @ entry_mean
        if points.offsets is not None:
            mean += points.offsets
        variance = np.einsum("nd,nd->n", columns @ entry_spread, columns)
        return np.column_stack([mean, np.sqrt(np.maximum(variance, 0))])

    def _best(self, points: Points, top: int) -> np.ndarray:
        scores = points.vectors @ self.points.vectors.T
        if self.points.offsets is not None:
            scores += self.points.offsets
        least = len(self) - top
        if least:
            scores.partition(least, axis=1)
        best = scores[:, least:]
        mean = best.mean(axis=1, dtype=np.float64)
        # Around the mean: the difference of two sums of squares would lose the digits that matter.
        centred = best - mean[:, np.newaxis]
        deviation = np.sqrt(np.einsum("nk,nk->n", centred, centred) / top)
        if points.offsets is not None:
            mean += points.offsets
        return np.column_stack([mean, deviation])


def _moments(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Mean [R + 1] and covariance [R + 1, R + 1] of C entries, whose last column is what each adds to a score."""
    vectors, total = points.vectors, len(points.vectors)
    offsets = np.zeros(total) if points.offsets is None else points.offsets
    mean = np.append(vectors.mean(axis=0, dtype=np.float64), offsets.mean(dtype=np.float64))
    spread = np.zeros((len(mean), len(mean)))
    for start in range(0, total, BLOCK):
        block = slice(start, start + BLOCK)
        columns = np.column_stack([vectors[block], offsets[block]]) - mean
        spread += columns.T @ columns
    return mean, spread / total


def normalise(scores: np.ndarray, norm: str, enrol: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Scores [..., n] normalised with the `Cohort.statistics` [..., 2] of both sides, in the scores' dtype.

    The sides broadcast against the scores: [E, 1, 2] and [T, 2] normalise a matrix [E, T].
    """
    if norm == "none":
        return scores
    by_enrol = (scores - enrol[..., 0]) / enrol[..., 1] if norm != "t" else 0
    by_test = (scores - test[..., 0]) / test[..., 1] if norm != "z" else 0
    total = by_enrol + by_test if norm in ("z", "t") else (by_enrol + by_test) / 2
    return np.asarray(total, dtype=scores.dtype)
