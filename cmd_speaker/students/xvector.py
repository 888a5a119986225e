"""The x-vector TDNN with width and embedding size as parameters."""

from __future__ import annotations

from typing import Any

from speechbrain.lobes.models.Xvector import Xvector as XvectorTdnn
from torch import Tensor

from cmd_speaker.students.padding import spare_empty_padding
from cmd_speaker.students.pooling import StatisticsPooling


class Xvector(XvectorTdnn):
    """X-vector (Snyder et al., ICASSP 2018), SpeechBrain's implementation with a pooling that adds no noise.

    `width` is the number of channels of the first four layers (512 in the paper); the fifth has 1500 / 512 times
    as many. The embedding is that of the paper, the affine part of the first layer after the pooling. The names of
    the parameters are SpeechBrain's own.
    """

    def __init__(self, n_mels: int = 80, width: int = 512, embedding_size: int = 512) -> None:
        last = round(width * 1500 / 512)
        super().__init__(
            in_channels=n_mels, tdnn_channels=[width, width, width, width, last], lin_neurons=embedding_size
        )
        self.blocks[-2] = StatisticsPooling()
        spare_empty_padding(self)
        self.n_mels, self.width, self.embedding_size = n_mels, width, embedding_size

    def config(self) -> dict[str, Any]:
        return {"n_mels": self.n_mels, "width": self.width, "embedding_size": self.embedding_size}

    def forward(self, features: Tensor) -> Tensor:
        """[batch, frames, mels] -> embeddings [batch, embedding_size]; no padding in the batch."""
        for layer in self.blocks:
            features = layer(features)
        return features
