"""Classifier level: the student's posteriors of the classes are the teacher's, within a slack."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, log_softmax, normalize, one_hot

from cmd_speaker.losses import StudentBatch, TeacherBatch


def response_loss(
    student: StudentBatch,
    teacher: TeacherBatch,
    margin: float = 0.0,
    temperature: float = 4.0,
    scale: float = 30.0,
) -> Tensor:
    """`T^2 * max(0, KL(p_T || p_S) - margin)` at temperature T, per sample [batch]; `margin` in nats.

    Posteriors are the softmax of `scale * cos / T` without an angular margin, the student's with the scale of its
    identity loss, the teacher's with `scale` (that of stage 1). The student's speakers are summed into the
    teacher's classes; speakers without teacher input, and classes without a speaker of the student's, are left
    out on both sides and the rest is made to sum to 1 [ours]. Where speakers and classes are one-to-one,
    `margin = 0` is the distillation of Hinton et al. (2015), T^2 keeping its gradients at the size they have at
    T = 1. The slack is one of our readings of the soft constraint at the classifier level of Zhao et al.
    """
    mapped = teacher.class_map >= 0
    member = one_hot(teacher.class_map[mapped], len(teacher.classifier))
    known = member.any(0)
    of_speaker = _log_posterior(student.embedding, student.classifier[mapped], student.scale / temperature)
    # A product with the table, not index_add: that has no fixed order of summation on a GPU.
    of_class = of_speaker.exp() @ member[:, known].to(of_speaker.dtype)
    log_s = of_class.clamp_min(torch.finfo(of_class.dtype).tiny).log()
    log_t = _log_posterior(teacher.embedding, teacher.classifier[known], scale / temperature)
    divergence = (log_t.exp() * (log_t - log_s)).sum(1)
    return temperature**2 * (divergence - margin).clamp_min(0)


def _log_posterior(embedding: Tensor, classifier: Tensor, scale: float) -> Tensor:
    return log_softmax(scale * linear(normalize(embedding), normalize(classifier)), dim=1)
