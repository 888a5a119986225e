"""Enrolled speakers as a back-end sees them, prepared once for any number of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.scoring.backend import Backend, score_all
from cmd_speaker.scoring.directions import averaged
from cmd_speaker.scoring.enrolment import combine
from cmd_speaker.scoring.normalisation import normalise

if TYPE_CHECKING:
    from cmd_speaker.recording import Recording


@dataclass(frozen=True, eq=False)
class Voices:
    """R recordings of N speakers: embeddings float32 [R, D] as a model gives them, and lengths in seconds [R].

    Those of speaker n begin at row `starts[n]` and end where the next speaker's begin.
    """

    vectors: np.ndarray
    seconds: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, speakers: Sequence[Sequence[Recording]]) -> Voices:
        """The recordings of every speaker, who has at least one."""
        each = [recording for own in speakers for recording in own]
        return cls(
            np.stack([recording.embedding for recording in each]),
            np.array([recording.seconds for recording in each]),
            np.cumsum([0, *(len(own) for own in speakers[:-1])]),
        )

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def counts(self) -> np.ndarray:
        """How many recordings each speaker has: [N]."""
        return np.diff(np.append(self.starts, len(self.vectors)))

    def take(self, speakers: np.ndarray) -> Voices:
        """Some of the speakers, by their numbers."""
        counts = self.counts[speakers]
        starts = np.cumsum(counts) - counts
        rows = np.repeat(self.starts[speakers] - starts, counts) + np.arange(counts.sum())
        return Voices(self.vectors[rows], self.seconds[rows], starts)


class Gallery:
    """`voices` under a `backend`: what the enrolled side brings to a comparison is computed here, once.

    `averages`, float32 [N, D], are the speakers' mean directions. Raises `DataError` as the back-end does.
    """

    def __init__(self, backend: Backend, voices: Voices) -> None:
        self.backend, self.voices = backend, voices
        names = [f"recording {k + 1}" for k in range(len(voices.vectors))]
        units = backend.prepare(Embeddings(names, voices.vectors))
        several = len(units) > len(voices)
        self.averages = units
        if several:
            people = [f"speaker {k + 1}" for k in range(len(voices))]
            self.averages = averaged(units, voices.starts, people)
        self._combines = several and backend.enrolment != "average"
        self._points = backend.points(units if self._combines else self.averages)
        self._statistics = np.empty((len(self._points.vectors), 2))
        if backend.normalises:
            self._statistics = backend.statistics(self._points, names[: len(self._statistics)])

    def __len__(self) -> int:
        return len(self.voices)

    def scores(self, tested: np.ndarray) -> np.ndarray:
        """The score of every speaker against one prepared embedding, [1, D]: float32 [N]."""
        points, statistics = self.backend.points(tested), np.empty((1, 2))
        if self.backend.normalises:
            statistics = self.backend.statistics(points, ["test"])
        scores = score_all(self._points, points)
        scores = normalise(scores, self.backend.norm, self._statistics[:, np.newaxis], statistics)[:, 0]
        return combine(scores, self.voices.starts, self.backend.enrolment) if self._combines else scores

    def measure(self, column: str) -> np.ndarray:
        """Of every speaker the sum of `duration`, the mean `norm` or the `cohort_mean`: float64 [N]."""
        if column == "cohort_mean":
            return self.backend.top_means(self.backend.points(self.averages))
        if column == "duration":
            return np.add.reduceat(self.voices.seconds, self.voices.starts)
        norms = np.linalg.norm(self.voices.vectors, axis=1)
        return np.add.reduceat(norms, self.voices.starts) / self.voices.counts
