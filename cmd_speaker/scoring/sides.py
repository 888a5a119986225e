"""What each side of a trial brings along: computed once for each utterance, when it first occurs."""

from __future__ import annotations

import csv
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically
from cmd_speaker.scoring.backend import Backend
from cmd_speaker.scoring.budget import Budget
from cmd_speaker.scoring.directions import averaged
from cmd_speaker.scoring.enrolment import Members
from cmd_speaker.scoring.leakage import LeakageCheck
from cmd_speaker.scoring.plda import Points


class Sides:
    """Points, cohort statistics and quality measures of N utterances, followed by M averaged models.

    Row k < N is that of the embeddings; row N + m is model m of `models`, the mean of its utterances'
    length-normalised embeddings. Arrays are made for all rows, but are filled, and so take memory, only where
    a trial asks for a row. `qualities` asks for the quality measures too.

    Raises `UsageError` for quality measures of more cohort entries than there are, and `DataError` for those
    of a model that is called like an utterance.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        backend: Backend,
        budget: Budget,
        leakage: LeakageCheck | None = None,
        models: Members | None = None,
        qualities: bool = False,
    ) -> None:
        self._embeddings, self._backend, self._leakage, self._models = embeddings, backend, leakage, models
        self.utterances, size = embeddings.vectors.shape
        cohort = backend.cohort_points
        self._at_once = budget.cohort_rows(0 if cohort is None else len(cohort), size)
        self.ids = embeddings.ids if models is None else [*embeddings.ids, *models.index]
        self.seen = np.zeros(len(self.ids), dtype=bool)
        plda = backend.plda
        self._vectors = np.empty((len(self.ids), plda.rank if plda else size), dtype=np.float32)
        self._offsets = np.empty(len(self.ids), dtype=np.float32) if plda else None
        self._statistics = np.empty((len(self.ids), 2)) if backend.normalises else np.empty((0, 2))
        self._norms = np.empty(len(self.ids)) if qualities else None
        self._cohort_means = None
        if qualities:
            _check_names(embeddings, models)
            if cohort is not None:
                backend.check_top()
                self._cohort_means = np.empty(len(self.ids))

    def request(self, used: np.ndarray, pool: Executor) -> list[Future[None]]:
        """Begin to compute those of the rows `used` that are new; they are there when all futures are done."""
        fresh = np.zeros(len(self.seen), dtype=bool)
        fresh[used] = True
        fresh &= ~self.seen
        self.seen |= fresh
        rows = np.flatnonzero(fresh)
        futures = []
        for kind in np.split(rows, [np.searchsorted(rows, self.utterances)]):
            for start in range(0, len(kind), self._at_once):
                futures.append(pool.submit(self._compute, kind[start : start + self._at_once]))
        return futures

    def points(self, rows: np.ndarray | slice) -> Points:
        """The points of rows that have been computed."""
        return Points(self._vectors[rows], None if self._offsets is None else self._offsets[rows])

    def statistics(self, rows: np.ndarray | slice) -> np.ndarray:
        """Their cohort statistics, float64 [n, 2]; [0, 2] where the back-end does not normalise."""
        return self._statistics[rows] if self._backend.normalises else self._statistics

    def write_qualities(self, path: str | Path) -> int:
        """Write `ID,norm,cohort_mean` of every utterance and model that occurred; returns their number.

        `norm` is the Euclidean length of the embedding as the network gives it, for a model the mean of its
        utterances'; `cohort_mean` is the mean of the highest cohort scores (no column without a cohort), for
        a model those of its averaged embedding, however it is scored.
        """
        rows = np.flatnonzero(self.seen)
        measures = {"norm": self._norms, "cohort_mean": self._cohort_means}
        columns = {name: values[rows].tolist() for name, values in measures.items() if values is not None}
        with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["ID", *columns])
            for row, *values in zip(rows.tolist(), *columns.values(), strict=True):
                writer.writerow([self.ids[row], *(f"{value:.9g}" for value in values)])
        return len(rows)

    def _compute(self, rows: np.ndarray) -> None:
        """Fill the rows, which are all utterances or all models; on a thread of its own."""
        backend, utterances, starts = self._backend, rows, None
        if self._models is not None and rows[0] >= self.utterances:
            utterances, starts = self._models.expand(rows - self.utterances)
        if self._leakage:
            self._leakage.check(utterances)
        raw, names = self._embeddings.vectors[utterances], [self.ids[row] for row in utterances.tolist()]
        unit = backend.prepare(Embeddings(names, raw, self._embeddings.path))
        if starts is not None:
            names = [self.ids[row] for row in rows.tolist()]
            unit = averaged(unit, starts, names)
        points = backend.points(unit)
        self._vectors[rows] = points.vectors
        if self._offsets is not None:
            self._offsets[rows] = points.offsets
        if backend.normalises:
            self._statistics[rows] = backend.statistics(points, names)
        if self._norms is not None:
            norms = np.linalg.norm(raw, axis=1)
            if starts is not None:
                norms = np.add.reduceat(norms, starts) / np.diff(np.append(starts, len(norms)))
            self._norms[rows] = norms
        if self._cohort_means is not None:
            known = backend.norm == "as"
            self._cohort_means[rows] = self._statistics[rows, 0] if known else backend.top_means(points)


def _check_names(embeddings: Embeddings, models: Members | None) -> None:
    twice = set(embeddings.ids).intersection(models.index if models else ())
    if twice:
        raise DataError(
            f"'{min(twice)}' is a model and an utterance", file=embeddings.path,
            expected="different names, so that quality measures can be told apart",
            found=f"{len(twice)} names of both", fix="Rename the models in the enrolment map and the trials",
        )  # fmt: skip
