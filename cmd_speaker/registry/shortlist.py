"""An index for large registries: the nearest candidates without looking at everybody, approximately.

Speakers are sorted into cells around centres that k-means finds; only the cells nearest to a recording are
searched (inverted file; J. Johnson, M. Douze and H. Jégou, "Billion-scale similarity search with GPUs", IEEE
Transactions on Big Data, 2021). By the library faiss. The index lives in memory only: there is nothing of it to
encrypt or to forget.
"""

from __future__ import annotations

import math

import numpy as np

from cmd_speaker.errors import UsageError

CANDIDATES = 100
CELLS_PER_ROOT = 4
"""Cells: so many times the square root of the number of speakers, as faiss recommends."""
WANTED = 0.99
"""The recall for which so many cells are searched as are needed."""
TRAINED_ON = 64
"""Speakers a cell from which k-means learns; more bring little."""
QUERIES = 256
COSINE = 0.6
"""Of the made-up recordings by which recall is measured, with their speakers: a hard recording's."""
MIXED = 32
"""Speakers of whom what turns a made-up recording away from its own is mixed: recordings differ in the directions
in which speakers do, and noise in all others would be told apart too easily."""
SEED = 0


class Shortlist:
    """The speakers whose mean directions, float32 [N, D] of length 1, are `averages`.

    `recall` is measured when it is made: the share of made-up recordings, at a cosine of 0.6 with one of the
    speakers each and otherwise a mixture of some, whose nearest speaker is among the candidates; others than those
    that set the number of cells searched. Raises `UsageError` without faiss.
    """

    def __init__(self, averages: np.ndarray) -> None:
        try:
            import faiss
        except ImportError as error:
            raise UsageError(
                "approximate search needs faiss-cpu: pip install 'cmd-speaker[index]'; exact search does not"
            ) from error
        total, size = averages.shape
        cells = max(1, min(int(CELLS_PER_ROOT * math.sqrt(total)), total // TRAINED_ON))
        self._coarse = faiss.IndexFlatIP(size)
        self._index = faiss.IndexIVFFlat(self._coarse, size, cells, faiss.METRIC_INNER_PRODUCT)
        self._index.cp.seed, self._index.cp.max_points_per_centroid = SEED + 1, TRAINED_ON
        self._index.train(averages)
        self._index.add(averages)
        rng = np.random.default_rng(SEED)
        while self._measure(averages, rng) < WANTED and self._index.nprobe < cells:
            self._index.nprobe = min(3 * self._index.nprobe // 2 + 1, cells)
        self.recall = self._measure(averages, rng)

    def nearest(self, unit: np.ndarray) -> np.ndarray:
        """The speakers nearest to one direction [1, D], at most 100 of them, in the order of their enrolment."""
        found = self._index.search(unit, CANDIDATES)[1][0]
        found = np.sort(found[found >= 0])
        # Cells may be empty.
        return found if len(found) else np.arange(self._index.ntotal)

    def __str__(self) -> str:
        return (
            f"approximate search in {self._index.nprobe} of {self._index.nlist} cells: the nearest speaker of "
            f"{QUERIES} made-up recordings was among its {CANDIDATES} candidates in {self.recall:.1%}"
        )

    def _measure(self, averages: np.ndarray, rng: np.random.Generator) -> float:
        targets = averages[rng.integers(0, len(averages), QUERIES)]
        mixed = averages[rng.integers(0, len(averages), (QUERIES, MIXED))]
        noise = np.einsum("qm,qmd->qd", rng.standard_normal((QUERIES, MIXED), dtype=np.float32), mixed)
        # A trace of every direction, for where all speakers are one.
        noise += 0.01 * rng.standard_normal(noise.shape, dtype=np.float32)
        noise -= np.einsum("nd,nd->n", noise, targets)[:, np.newaxis] * targets
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        queries = (COSINE * targets + math.sqrt(1 - COSINE**2) * noise).astype(np.float32)
        exact = np.argmax(queries @ averages.T, axis=1)
        found = self._index.search(queries, CANDIDATES)[1]
        return float((found == exact[:, np.newaxis]).any(axis=1).mean())
