"""What the relation losses share: the samples of all processes, and the penalty on differences."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cmd_speaker.losses import Relation, StudentBatch, TeacherBatch
from cmd_speaker.losses.gather import gather


class Everyone(NamedTuple):
    """The samples of every process, in the same order everywhere."""

    student: Tensor
    """s [all, D], with gradient."""
    teacher: Tensor
    """t [all, D]."""
    matched: Tensor
    """bool [all]."""
    own: Tensor
    """Places of this process's samples, int64 [batch]: the anchors."""


def everyone(student: StudentBatch, teacher: TeacherBatch, normalised: bool) -> Everyone:
    """Both batches over all processes, of unit length where `normalised`."""
    s, start = gather(student.embedding)
    t, _ = gather(teacher.embedding)
    matched, _ = gather(teacher.matched.long())
    own = start + torch.arange(len(student.embedding), device=s.device)
    if normalised:
        s, t = normalize(s), normalize(t)
    return Everyone(s, t, matched.bool(), own)


def soft_relation(difference: Tensor, margin: float, counted: Tensor) -> Relation:
    """Huber's loss (threshold 1) of what is left of |difference| beyond the margin, over the relations that count.

    `difference` and `counted` (bool) have the shape [batch, ...]; where nothing counts the value is 0.
    """
    excess = (difference.abs() - margin).clamp_min(0)
    penalty = torch.where(excess <= 1, excess.square() / 2, excess - 0.5)
    dims = tuple(range(1, counted.ndim))
    number = counted.sum(dims).clamp_min(1)
    return Relation((penalty * counted).sum(dims) / number, ((excess > 0) & counted).sum(dims) / number)
