"""What a checkpoint must hold beside weights and optimiser, so that a resumed run ends in the same bits."""

from __future__ import annotations

import functools
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks
from speechbrain.utils.distributed import if_main_process
from torch import Tensor

from cmd_speaker.training.processes import from_every_process, mean_over_processes, rank

in_every_process = functools.partial(register_checkpoint_hooks, save_on_main_only=False)
"""Saving is called in every process, since each has something to say; only the main one writes."""


@in_every_process
class RandomStates:
    """The state of every random generator of every process: Python's, NumPy's, torch's and its GPU's."""

    @mark_as_saver
    def save(self, path: str | Path) -> None:
        version, words, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
        state = {
            "python": [version, list(words), gauss],
            "numpy": [name, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        }
        states = from_every_process(state)
        if if_main_process():
            torch.save(states, path)

    @mark_as_loader
    def load(self, path: str | Path, end_of_epoch: bool) -> None:
        del end_of_epoch
        state = torch.load(path, weights_only=True)[rank()]
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words), gauss))
        name, keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])


@in_every_process
class EpochAverages:
    """Averages of what is logged, over the steps of one epoch and over all processes."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = defaultdict(float)
        self.steps = 0

    def add(self, values: dict[str, Tensor]) -> None:
        self.steps += 1
        for name, value in values.items():
            # On the device, so that no step waits for it; in double, so that a break changes no bit.
            self.sums[name] = self.sums[name] + value.double()

    def take(self) -> dict[str, float]:
        """The averages so far; starts anew."""
        averages = {name: float(total) / max(self.steps, 1) for name, total in self.sums.items()}
        self.sums, self.steps = defaultdict(float), 0
        return mean_over_processes(averages)

    @mark_as_saver
    def save(self, path: str | Path) -> None:
        sums = mean_over_processes({name: float(total) for name, total in self.sums.items()})
        if if_main_process():
            Path(path).write_text(json.dumps({"sums": sums, "steps": self.steps}), encoding="utf-8")

    @mark_as_loader
    def load(self, path: str | Path, end_of_epoch: bool) -> None:
        del end_of_epoch
        state = json.loads(Path(path).read_text(encoding="utf-8"))
        self.sums, self.steps = defaultdict(float, state["sums"]), state["steps"]
