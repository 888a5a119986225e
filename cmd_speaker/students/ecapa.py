"""ECAPA-TDNN with width and embedding size as parameters."""

from __future__ import annotations

from typing import Any

import torch
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, AttentiveStatisticsPooling
from torch import Tensor, nn

from cmd_speaker.students.padding import spare_empty_padding

AGGREGATION = 1536
"""Channels of the aggregation layer in the paper, at both widths."""


class EcapaTdnn(ECAPA_TDNN):
    """ECAPA-TDNN (Desplanques et al., Interspeech 2020), SpeechBrain's implementation.

    `width` is the number of channels of the four blocks (512 or 1024 in the paper); the aggregation
    layer has three times as many, but no more than the paper's 1536 (SpeechBrain's recipe has 3072 beside
    1024). The parameter names are SpeechBrain's own, and so is what it computes.
    """

    asp: nn.Module

    def __init__(self, n_mels: int = 80, width: int = 512, embedding_size: int = 192) -> None:
        super().__init__(**speechbrain_arguments(n_mels, width, embedding_size))
        self.asp = ContextPooling(self.asp)
        spare_empty_padding(self)
        self.n_mels, self.width, self.embedding_size = n_mels, width, embedding_size

    def config(self) -> dict[str, Any]:
        return {"n_mels": self.n_mels, "width": self.width, "embedding_size": self.embedding_size}

    def forward(self, features: Tensor) -> Tensor:
        """[batch, frames, mels] -> embeddings [batch, embedding_size]; no padding in the batch."""
        return super().forward(features).squeeze(1)


class ContextPooling(nn.Module):
    """Attentive statistics pooling with global context (Desplanques et al., section 3.1): SpeechBrain's layer.

    Mean and standard deviation of all frames are joined to each of them before a convolution of width 1. They are
    the same for every frame, and so is what the convolution makes of them. Here it is made once and added: a third
    of the multiplications. Nothing in a batch may be padded. In training SpeechBrain's own order of sums is kept,
    so that a run repeats to the bits of earlier ones.
    """

    def __init__(self, layer: AttentiveStatisticsPooling) -> None:
        super().__init__()
        self.tdnn, self.tanh, self.conv, self.eps = layer.tdnn, layer.tanh, layer.conv, layer.eps
        # In a tuple, its parameters, which are those above, are not named twice.
        self._in_training = (layer,)

    def forward(self, frames: Tensor, lengths: None = None) -> Tensor:
        """[batch, channels, frames] -> [batch, 2 * channels, 1]."""
        if self.training:
            return self._in_training[0](frames)
        of_all = self._statistics(frames, frames.new_ones(1, 1, 1) / frames.shape[2])
        joined = self.tdnn.conv.conv
        of_frame, of_context = joined.weight.split([frames.shape[1], of_all.shape[1]], dim=1)
        hidden = nn.functional.conv1d(frames, of_frame, None)
        hidden = hidden + nn.functional.conv1d(of_all, of_context, joined.bias)
        hidden = self.tanh(self.tdnn.norm(self.tdnn.activation(hidden)))
        return self._statistics(frames, self.conv(hidden).softmax(dim=2))

    def _statistics(self, frames: Tensor, weights: Tensor) -> Tensor:
        mean = (weights * frames).sum(dim=2, keepdim=True)
        deviation = frames - mean
        variance = (weights * deviation * deviation).sum(dim=2, keepdim=True)
        return torch.cat([mean, variance.clamp(self.eps).sqrt()], dim=1)


def speechbrain_arguments(n_mels: int, width: int, embedding_size: int) -> dict[str, Any]:
    """Those with which SpeechBrain's `ECAPA_TDNN` is the same network."""
    return {
        "input_size": n_mels,
        "lin_neurons": embedding_size,
        "channels": [width, width, width, width, min(3 * width, AGGREGATION)],
        "attention_channels": min(128, width),
        "se_channels": min(128, width),
    }
