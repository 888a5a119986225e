"""Statistics pooling: from frames to one vector an utterance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-5
"""Least variance: the gradient of a standard deviation of 0 is infinite."""


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time (Snyder et al., Interspeech 2017).

    SpeechBrain's layer of this name adds noise to the mean, also at test time: twice the same file would give two
    embeddings.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[batch, frames, channels] -> [batch, 2 * channels]."""
        deviation = x.var(dim=1, correction=0).clamp_min(EPSILON).sqrt()
        return torch.cat([x.mean(dim=1), deviation], dim=1)
