"""Relation level: three students' embeddings form the angle that their teachers' form, within a margin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import vector_norm

from cmd_speaker.losses import Relation, StudentBatch, TeacherBatch
from cmd_speaker.losses.relation import everyone, soft_relation

COINCIDENT = 1e-5
"""Two points nearer than this share of their lengths have no direction from one to the other."""


def angle_loss(
    student: StudentBatch, teacher: TeacherBatch, margin: float = 0.0, normalised: bool = False
) -> Relation:
    """Mean of `huber(max(0, |A_s - A_t| - margin))` over the triplets of each anchor, [batch].

    `A(i, j, k)` is the cosine of the angle at anchor i between samples j and k, all different. `margin` is in
    units of that cosine, so 2 switches the term off: a student's angle within it is right (alpha +/- m in the
    framework figure of Jin et al. 2023; cosine and Huber are our reading). `margin = 0` is the angle-wise loss of
    RKD (Park et al. 2019, section 3.2.2) over distinct samples, whose sum is a mean here. As there, embeddings
    keep their lengths unless `normalised`.

    Left out are triplets with an unmatched sample, and those where the teacher (or the student) has the same
    point for the anchor and another sample, as for two utterances of one speaker under one description: there
    is no angle [ours]. Samples are those of all processes, anchors this process's; memory grows as
    batch x all^2.
    """
    s, t, matched, own = everyone(student, teacher, normalised)
    from_s, apart_s = _directions(s, own)
    from_t, apart_t = _directions(t, own)
    pair = apart_s & apart_t & matched & matched[own, None]
    triplet = pair[:, :, None] & pair[:, None, :] & ~torch.eye(len(s), dtype=torch.bool, device=s.device)
    difference = from_s @ from_s.mT - from_t @ from_t.mT
    return soft_relation(difference, margin, triplet)


def _directions(x: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Points x [all, D] -> unit vectors [batch, all, D] from each own point to all, and whether there is one."""
    difference = x - x[own, None]
    length, lengths = vector_norm(difference, dim=-1), vector_norm(x.detach(), dim=-1)
    apart = length.detach() > COINCIDENT * (lengths + lengths[own, None])
    return difference / torch.where(apart, length, 1)[..., None], apart
