"""Relation level: two students' embeddings are as far apart as their teachers', within a margin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import vector_norm

from cmd_speaker.losses import Relation, StudentBatch, TeacherBatch
from cmd_speaker.losses.gather import gather
from cmd_speaker.losses.relation import everyone, soft_relation


def pair_distance_loss(
    student: StudentBatch, teacher: TeacherBatch, margin: float = 0.0, normalised: bool = False
) -> Relation:
    """Mean of `huber(max(0, |d_s - d_t| - margin))` over the pairs of each anchor, [batch].

    `d` is the distance of two samples in units of the mean distance between samples (those at distance 0, of one
    description for example, left out of the mean), so `margin` is a share of that mean [ours]. `margin = 0` is
    the distance-wise loss of RKD (Park et al. 2019, section 3.2.1), whose sum is a mean here. As there,
    embeddings keep their lengths unless `normalised`. Pairs with an unmatched sample are left out. Samples are
    those of all processes, anchors this process's.
    """
    s, t, matched, own = everyone(student, teacher, normalised)
    others = own[:, None] != torch.arange(len(s), device=s.device)
    pair = others & matched & matched[own, None]
    difference = _relative(s, own, pair) - _relative(t, own, pair)
    return soft_relation(difference, margin, pair)


def _relative(x: Tensor, own: Tensor, pair: Tensor) -> Tensor:
    """Points x [all, D] -> distances [batch, all] from each own point, over the mean of all processes' pairs."""
    distance = vector_norm(x - x[own, None], dim=-1)
    apart = pair & (distance.detach() > 0)
    # Every process adds the pairs of its own anchors.
    total, _ = gather((distance * apart).sum().reshape(1))
    count, _ = gather(apart.sum().reshape(1))
    mean = total.sum() / count.sum().clamp_min(1)
    return distance / torch.where(mean > 0, mean, 1)
