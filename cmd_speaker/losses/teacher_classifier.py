"""Classifier level: the student's embedding must fall into the right region of the teacher's space."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, linear, normalize

from cmd_speaker.losses import StudentBatch, TeacherBatch


def teacher_classifier_loss(
    student: StudentBatch, teacher: TeacherBatch, margin: float = 0.0, scale: float = 10.0
) -> Tensor:
    """`max(0, CE - margin)`, CE the cross-entropy of the student through the teacher's classifier, [batch].

    Logits are `scale * cos(s, W_T[c])` without an angular margin: the student need only reach the right
    region of the teacher's space, not the teacher's point. `margin` is in nats. Zhao et al. name a soft
    constraint at the classifier level; this form of it is our reading.
    """
    logits = scale * linear(normalize(student.embedding), normalize(teacher.classifier))
    return (cross_entropy(logits, teacher.label, reduction="none") - margin).clamp_min(0)
