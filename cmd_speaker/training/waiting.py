"""How much of an epoch was waiting for data, and what can be done about it."""

from __future__ import annotations

import os
import time

from cmd_speaker.training.processes import local_processes

MUCH = 0.2
"""Share of an epoch from which on waiting is worth a hint."""
FIRST = 5
"""Steps at an epoch's beginning that are not counted: workers start, buffers fill."""


class DataWait:
    """The clock of an epoch: `start`, then `step` and `stepped` around every training step."""

    def __init__(self) -> None:
        self.steps, self.waited, self.computed, self._mark = 0, 0.0, 0.0, 0.0

    def start(self) -> None:
        """An epoch begins."""
        self.steps, self.waited, self.computed, self._mark = 0, 0.0, 0.0, time.perf_counter()

    def step(self) -> None:
        """The data of a step are there."""
        self.steps += 1
        self.waited += self._lap()

    def stepped(self) -> None:
        """A step is computed, on the device too."""
        self.computed += self._lap()
        if self.steps == FIRST:
            self.waited = self.computed = 0.0

    def _lap(self) -> float:
        before, self._mark = self._mark, time.perf_counter()
        return self._mark - before

    @property
    def share(self) -> float:
        """The share of the time that was spent waiting, in [0, 1]; 0 of an epoch too short to say."""
        total = self.waited + self.computed
        return self.waited / total if self.steps > FIRST and total else 0.0

    def __str__(self) -> str:
        """What follows the figures of an epoch; nothing after one too short to say."""
        if self.steps <= FIRST:
            return ""
        return f"; {self.waited + self.computed:.0f} s, {self.share:.0%} of them waiting for data"

    def hint(self, num_workers: int, faster: str) -> str:
        """What to do where much of the epoch was waiting, else nothing.

        `num_workers` are those of this process, `faster` is what helps where more of them would not.
        """
        if self.share < MUCH:
            return ""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        cores, each = max(1, cores // local_processes()), " a process" if local_processes() > 1 else ""
        if num_workers < cores:
            more = min(cores, max(2, 2 * num_workers))
            way = f"read ahead with --num_workers {more} (now {num_workers}, {cores} CPUs{each})"
        else:
            way = f"all CPUs read already: {faster}"
        return f"{self.share:.0%} of the epoch was waiting for data: {way}"
