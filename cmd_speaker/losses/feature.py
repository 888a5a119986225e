"""Feature level: the student's embedding may not stray further than a margin from the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cmd_speaker.losses import TeacherBatch


def feature_loss(student: Tensor, teacher: TeacherBatch, margin: float = 0.0) -> Tensor:
    """`max(0, ||s - t|| - margin)` of the length-normalised embeddings, per sample [batch].

    The dead zone of width `margin` is the soft constraint of Zhao et al. (arXiv 2507.16296, abstract);
    the l2 distance and the normalisation are our reading. Two unrelated unit vectors are about 1.414
    apart and none is further than 2, so a margin beyond that switches the term off. `margin = 0` is the
    hard constraint, exactly.
    """
    distance = torch.linalg.vector_norm(normalize(student) - normalize(teacher.embedding), dim=-1)
    return (distance - margin).clamp_min(0)
