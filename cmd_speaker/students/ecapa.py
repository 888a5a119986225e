"""ECAPA-TDNN with width and embedding size as parameters."""

from __future__ import annotations

from typing import Any

from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from torch import Tensor

AGGREGATION = 1536
"""Channels of the aggregation layer in the paper, at both widths."""


class EcapaTdnn(ECAPA_TDNN):
    """ECAPA-TDNN (Desplanques et al., Interspeech 2020), SpeechBrain's implementation.

    `width` is the number of channels of the four blocks (512 or 1024 in the paper); the aggregation
    layer has three times as many, but no more than the paper's 1536 (SpeechBrain's recipe has 3072 beside
    1024). The parameter names are SpeechBrain's own.
    """

    def __init__(self, n_mels: int = 80, width: int = 512, embedding_size: int = 192) -> None:
        super().__init__(**speechbrain_arguments(n_mels, width, embedding_size))
        self.n_mels, self.width, self.embedding_size = n_mels, width, embedding_size

    def config(self) -> dict[str, Any]:
        return {"n_mels": self.n_mels, "width": self.width, "embedding_size": self.embedding_size}

    def forward(self, features: Tensor) -> Tensor:
        """[batch, frames, mels] -> embeddings [batch, embedding_size]; no padding in the batch."""
        return super().forward(features).squeeze(1)


def speechbrain_arguments(n_mels: int, width: int, embedding_size: int) -> dict[str, Any]:
    """Those with which SpeechBrain's `ECAPA_TDNN` is the same network."""
    return {
        "input_size": n_mels,
        "lin_neurons": embedding_size,
        "channels": [width, width, width, width, min(3 * width, AGGREGATION)],
        "attention_channels": min(128, width),
        "se_channels": min(128, width),
    }
