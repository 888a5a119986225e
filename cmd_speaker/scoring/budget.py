"""How much is worked on at once: everything that grows with a job is cut to a share of `--memory`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from cmd_speaker.errors import UsageError
from cmd_speaker.lists.trials import BLOCK

DEFAULT_MEMORY = "1G"
LEAST_MEMORY = 2**24
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
LISTED_TRIAL = 512
"""Bytes of a trial that has been read: two ids in Python, numbers."""
TRIALS_AHEAD = 2**18
"""Trials to read before the first are written: threads find enough to compute meanwhile."""
PAIR = 48
"""Bytes of a pair of an all-pairs block: its score, mask, row numbers and what is made from them."""
PAIRS = 2**20
"""Pairs of an all-pairs block."""
COHORT_ROWS = 256
"""Utterances of one product with the cohort: the scores stay in a core's cache until they are sorted."""
GATHERED_TRIALS = 4096
"""Trials whose embeddings are gathered at once: more would fall out of the cache."""


@dataclass(frozen=True)
class Budget:
    """Sizes of the blocks that keep the working memory under `memory` bytes.

    The embeddings, their length-normalised copy and the cohort come on top: they are needed whole. Matrix
    products round otherwise in blocks of another size, so `memory` and `workers` may change a normalised score
    in its last digits (2e-6 on SpeechOcean762); with the same ones it is always the same.
    """

    memory: int
    workers: int

    @classmethod
    def of(cls, memory: str = DEFAULT_MEMORY) -> Budget:
        """The budget of a size such as `512M` or `1.5G`, for all cores that this process may use.

        Raises `UsageError` for another form, and under 16 MiB.
        """
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:I?B)?", memory.strip().upper())
        size = int(float(match[1]) * UNITS[match[2]]) if match else 0
        if size < LEAST_MEMORY:
            raise UsageError(f"--memory takes a size of at least 16M such as 512M or 1.5G, found '{memory}'")
        return cls(size, _cores())

    def cohort_rows(self, cohort: int, size: int) -> int:
        """Utterances to prepare at once, embeddings of `size` numbers, and to score against `cohort` entries.

        A score takes 4 bytes and, where it is among the best, some more as float64.
        """
        return self._rows(COHORT_ROWS, (16 * cohort + 32 * size) * self.workers)

    def gathered_trials(self, size: int) -> int:
        """Trials whose two float32 embeddings of `size` numbers are gathered at once."""
        return self._rows(GATHERED_TRIALS, 8 * size * self.workers)

    def listed_trials(self) -> int:
        """Trials of a list to read at once."""
        return min(BLOCK, self.trials_ahead())

    def trials_ahead(self) -> int:
        """Trials that may have been read and not yet been written."""
        return self._rows(TRIALS_AHEAD, LISTED_TRIAL)

    def pair_rows(self, utterances: int) -> int:
        """Utterances to pair at once with all `utterances`, about `PAIRS` pairs where memory allows."""
        return self._rows(max(PAIRS // utterances, 1), PAIR * utterances)

    def _rows(self, wanted: int, row_bytes: int) -> int:
        return max(min(wanted, self.memory // 4 // row_bytes), 1)


def _cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
