"""Classifier level: the student's embedding must fall into the right region of the teacher's space."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, linear, normalize

from cmd_speaker.losses import TeacherBatch


def teacher_classifier_loss(student: Tensor, teacher: TeacherBatch, scale: float = 10.0) -> Tensor:
    """Cross-entropy of the student through the frozen teacher classifier, per sample [batch].

    Logits are `scale * cos(s, W_T[c])` without an angular margin: the student need only reach the right
    region of the teacher's space, not the teacher's point. Zhao et al. name a soft constraint at the
    classifier level; this form of it is our reading.
    """
    logits = scale * linear(normalize(student), normalize(teacher.classifier))
    return cross_entropy(logits, teacher.label, reduction="none")
