"""Classifier level: the student's class vector may not stray further than a margin from the teacher's."""

from __future__ import annotations

from torch import Tensor

from cmd_speaker.losses import StudentBatch, TeacherBatch
from cmd_speaker.losses.distance import Distance, distance_between


def prototype_loss(
    student: StudentBatch, teacher: TeacherBatch, margin: float = 0.0, distance: Distance = "l2"
) -> Tensor:
    """`max(0, d(W_S[c], W_T[c]) - margin)` of the class vectors of each sample's speaker, [batch].

    `W_S[c]` is the identity loss's vector of the speaker, `W_T[c]` the teacher classifier's of the class that the
    speaker belongs to; units as in `feature_loss`. The gradient reaches the student's classifier only, and the
    encoder through the identity loss. One of our readings of the soft constraint at the classifier level of
    Zhao et al. (arXiv 2507.16296, abstract).
    """
    vectors = student.classifier[student.label], teacher.classifier[teacher.label]
    return (distance_between(*vectors, distance) - margin).clamp_min(0)
