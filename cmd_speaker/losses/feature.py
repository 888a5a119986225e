"""Feature level: the student's embedding may not stray further than a margin from the teacher's."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from cmd_speaker.losses import StudentBatch, TeacherBatch
from cmd_speaker.losses.distance import Distance, distance_between, from_l2


def feature_loss(
    student: StudentBatch,
    teacher: TeacherBatch,
    margin: float | Literal["auto"] = 0.0,
    distance: Distance = "l2",
) -> Tensor:
    """`max(0, d(s, t) - margin)` of the length-normalised embeddings, per sample [batch].

    The dead zone of width `margin` is the soft constraint of Zhao et al. (arXiv 2507.16296, abstract);
    the l2 distance and the normalisation are our reading. `margin` is in the units of `distance`, see
    `distance_between`: two unrelated unit vectors are about 1.414 apart in l2, 2 in squared l2, 1 in cosine;
    a margin beyond the largest distance switches the term off. `margin = 0` is the hard constraint, exactly;
    "auto" takes each sample's from the teacher's bank (`cmd_speaker.teachers.auto_margin`).
    """
    apart = distance_between(student.embedding, teacher.embedding, distance)
    dead_zone = from_l2(teacher.auto_margin, distance) if margin == "auto" else margin
    return (apart - dead_zone).clamp_min(0)
