"""Where the time of a Brain's training steps goes, for any Brain: ours and those of SpeechBrain's recipes."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import speechbrain as sb
import torch
from torch import nn

WAIT = "waiting for data"


class PartTimes:
    """Notes how long the parts of each step last, from the end of the first `warm_up` steps (one at least).

    `modules` are those of the forward pass by the name of their part, in their order, the student's the last.
    What passes through the student is counted: augmentation may make several samples of an utterance.
    With `synchronise` a part lasts until a GPU has done it, and the step is somewhat slower; without, only whole
    steps are to be trusted there. SpeechBrain fetches the loss after each step and so waits for the GPU anyway.
    """

    def __init__(
        self, brain: sb.Brain, modules: Mapping[str, nn.Module], warm_up: int, synchronise: bool = False
    ) -> None:
        self.warm_up, self.synchronise = warm_up, synchronise
        self.samples, self.steps, self.seconds, self.loss = 0, 0, 0.0, math.nan
        self.parts: dict[str, float] = defaultdict(float)
        self._cuda, self._last, self._timed = brain.device_type == "cuda", 0.0, False
        for name, module in modules.items():
            module.register_forward_pre_hook(lambda *_: self._mark("other"))
            module.register_forward_hook(lambda *_, name=name: self._mark(name))
        student = list(modules.values())[-1]
        student.register_forward_hook(self._count)
        self._after(brain, "compute_objectives", "loss", before="other")
        self._after(brain, "optimizers_step", "optimiser", before="backward")
        self._around_step(brain)

    def _count(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if self._timed:
            self.samples += len(inputs[0])

    def _mark(self, part: str, whole: bool = False) -> None:
        """What was done since the last mark belongs to `part`."""
        if self._cuda and (self.synchronise or whole):
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._timed:
            self.parts[part] += now - self._last
            self.seconds += now - self._last
        self._last = now

    def _after(self, brain: sb.Brain, method: str, part: str, before: str) -> None:
        inner = getattr(brain, method)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._mark(before)
            result = inner(*args, **kwargs)
            self._mark(part)
            return result

        setattr(brain, method, wrapped)

    def _around_step(self, brain: sb.Brain) -> None:
        inner, left = brain.fit_batch, self.warm_up

        def fit_batch(batch: Any) -> Any:
            nonlocal left
            self._mark(WAIT)
            loss = inner(batch)
            self.loss = float(loss)
            self._mark("other", whole=True)
            self.steps += self._timed
            left -= 1
            self._timed = left <= 0
            return loss

        brain.fit_batch = fit_batch

    def resume(self) -> None:
        """Leave out what was done since the last step."""
        self._last = time.perf_counter()

    def per_step(self) -> dict[str, float]:
        """Mean seconds a step of each part, in the order of their first appearance, "other" last."""
        means = {name: seconds / self.steps for name, seconds in self.parts.items()}
        return {name: value for name, value in means.items() if name != "other"} | {"other": means["other"]}
