"""Quality of a sample from the norm of its embedding, and the weight that follows from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NormQuality(nn.Module):
    """Norms [batch] -> qualities [batch] in [-1, 1], after AdaFace (Kim et al. 2022, eq. 13).

    `clip(h * (norm - mean) / deviation, -1, 1)` with running mean and deviation over the training
    batches (momentum 0.01, as there); h = 1/3 puts two thirds of a normal distribution inside the
    clip. The statistics move in training mode only and travel with checkpoints.
    """

    mean: Tensor
    deviation: Tensor
    started: Tensor

    def __init__(self, concentration: float = 1 / 3, momentum: float = 0.01) -> None:
        super().__init__()
        self.concentration, self.momentum = concentration, momentum
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, norms: Tensor) -> Tensor:
        norms = norms.detach().float()
        if self.training and len(norms) > 1:
            self._update(norms)
        # Equal norms say nothing about quality: the bound makes them 0 rather than noise.
        score = (norms - self.mean) / self.deviation.clamp_min(1e-3 * self.mean.abs() + 1e-12)
        return (self.concentration * score).clamp(-1, 1)

    def _update(self, norms: Tensor) -> None:
        momentum = torch.where(self.started, self.momentum, 1.0)
        self.mean.lerp_(norms.mean(), momentum)
        self.deviation.lerp_(norms.std(), momentum)
        self.started.fill_(True)


def quality_weights(teacher: Tensor, student: Tensor, slope: float = 1.0, offset: float = 1.0) -> Tensor:
    """`max(0, offset + slope * (Q_T - Q_S))`, per sample [batch], detached.

    A clear teacher helps most where speech is poor, and a poor teacher does not disturb good speech
    (drawn in Jin et al. 2023; slope and offset are our choice).
    """
    return (offset + slope * (teacher.detach() - student.detach())).clamp_min(0)
