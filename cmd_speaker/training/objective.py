"""The objective of stage 2: identity loss plus weighted distillation terms, reduced in one place.

`L = mean_i l_id,i + sum_k lambda_k * (sum_i w_i l_k,i) / batch`, k over the terms of every teacher. The
quality weight w, each teacher's own, multiplies the distillation terms only; a sample without teacher input
has w = 0 and still counts for the identity loss.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cmd_speaker.losses import TeacherBatch
from cmd_speaker.losses.quality import NormQuality, quality_weights


@dataclass(frozen=True)
class Term:
    """One distillation term: `weight` is its lambda, at least 0; `loss(student, teacher)` gives [batch]."""

    weight: float
    loss: Callable[[Tensor, TeacherBatch], Tensor]

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"expected a term's weight of at least 0, found {self.weight}")
        # `!name:` in a recipe only notes arguments: a misspelled one must not wait for the first step.
        if isinstance(self.loss, functools.partial):
            inspect.signature(self.loss.func).bind_partial(None, None, **self.loss.keywords)


class QualityWeights(nn.Module):
    """w per sample from the norms of teacher and student embedding; see `cmd_speaker.losses.quality`.

    Not `enabled`, every sample with a teacher input weighs 1. Without a teacher input it weighs 0.
    """

    def __init__(self, enabled: bool = True, slope: float = 1.0, offset: float = 1.0) -> None:
        super().__init__()
        self.enabled, self.slope, self.offset = enabled, slope, offset
        self.teacher, self.student = NormQuality(), NormQuality()

    def forward(self, student: Tensor, teacher: TeacherBatch) -> Tensor:
        """Student embeddings [batch, D] -> weights [batch]."""
        matched = teacher.matched.to(student.dtype)
        if not self.enabled:
            return matched
        quality = torch.zeros_like(teacher.norm, dtype=torch.float32)
        quality[teacher.matched] = self.teacher(teacher.norm[teacher.matched])
        weights = quality_weights(quality, self.student(student.norm(dim=1)), self.slope, self.offset)
        return matched * weights


class Distillation(nn.Module):
    """What one teacher asks of the student: the sum of named terms under one weight per sample.

    `terms` maps a name to a `Term`; a term of weight 0 is left out. `quality` gives the weights.
    """

    def __init__(self, terms: Mapping[str, Term], quality: QualityWeights) -> None:
        super().__init__()
        self.terms = {name: term for name, term in terms.items() if term.weight}
        self.quality = quality

    def forward(self, student: Tensor, teacher: TeacherBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Embeddings [batch, D] -> (sum of the terms, what to log: term values, mean weight, share active).

        `NAME_active` is the share of the matched samples on which a term is not zero: for a soft feature
        loss, the share outside the margin.
        """
        weights = self.quality(student, teacher)
        total, log = student.new_zeros(()), {"weight": weights.mean().detach()}
        for name, term in self.terms.items():
            values = term.loss(student, teacher)
            reduced = (weights * values).sum() / len(values)
            total = total + term.weight * reduced
            log[name] = reduced.detach()
            log[f"{name}_active"] = (values.detach()[teacher.matched] > 0).float().mean().nan_to_num()
        return total, log
