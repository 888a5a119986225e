"""Quality of a sample on a common scale, and the weight that follows from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StandardisedQuality(nn.Module):
    """Raw qualities [batch] of one source -> [batch] in [-1, 1], after AdaFace (Kim et al. 2022, eq. 13).

    `clip(h * (value - mean) / deviation, -1, 1)` with running mean and deviation over the training batches
    (momentum 0.01, as there); h = 1/3 puts two thirds of a normal distribution inside the clip. AdaFace does so
    with norms; every other source is treated alike [ours]. Two more choices are ours: the first 1 / momentum
    batches count equally, so that an unusual first one is soon outweighed; and the deviation is that over all
    samples, not within a batch, because augmentation may spoil a whole batch at once.

    The statistics move in training mode only, are over the samples of all processes, and travel with checkpoints.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, concentration: float = 1 / 3, momentum: float = 0.01) -> None:
        super().__init__()
        self.concentration, self.momentum = concentration, momentum
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    @property
    def deviation(self) -> Tensor:
        return self.variance.sqrt()

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        """Values [batch] -> qualities [batch]; 0 where `known`, bool [batch], is False, whatever the value there.

        In training every process must call it at every step, even if it knows of no sample.
        """
        values = values.detach().float()
        if self.training:
            self._update(values, known)
        # Equal values say nothing about quality: the bound makes them 0 rather than noise.
        score = (values - self.mean) / self.deviation.clamp_min(1e-3 * self.mean.abs() + 1e-12)
        return (self.concentration * score).clamp(-1, 1).where(known, 0.0)

    def _update(self, values: Tensor, known: Tensor) -> None:
        count, mean, variance = _statistics(values, known)
        some = count > 0
        self.batches += some
        share = (1 / self.batches).clamp(self.momentum, 1)
        step = mean - self.mean
        # Exponentially weighted mean and variance; the variance has a part within and a part between batches.
        spread = (1 - share) * (self.variance + share * step.square()) + share * variance
        self.mean.copy_((self.mean + share * step).where(some, self.mean))
        self.variance.copy_(spread.where(some, self.variance))


def _statistics(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number, mean and variance of the known values [batch] of all processes together."""
    exact = values.double().where(known, 0.0)
    sums = torch.stack([known.sum(dtype=torch.double), exact.sum(), exact.square().sum()])
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(sums)
    count, total, squares = sums
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min(0)
    return count, mean.float(), variance.float()


def quality_weights(teacher: Tensor, student: Tensor, slope: float = 1.0, offset: float = 1.0) -> Tensor:
    """`max(0, offset + slope * (Q_T - Q_S))`, per sample [batch], detached.

    A clear teacher helps most where speech is poor, and a poor teacher does not disturb good speech
    (drawn in Jin et al. 2023; slope and offset are our choice).
    """
    return (offset + slope * (teacher.detach() - student.detach())).clamp_min(0)
