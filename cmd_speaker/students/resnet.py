"""ResNet34 on spectrograms, with width and embedding size as parameters."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import Any

from torch import Tensor, nn

from cmd_speaker.students.pooling import StatisticsPooling

BLOCKS = (3, 4, 6, 3)
STRIDES = (1, 2, 2, 2)


class ResNet34(nn.Module):
    """ResNet34 (He et al., CVPR 2016) as speaker verification uses it: features are a picture of one channel.

    `width` is the number of channels of the first stage, doubled from stage to stage: 64 in the picture networks,
    32 in most speaker systems (Zeinali et al. 2019, BUT's VoxSRC system), 16 in "fast ResNet34" (Chung et al.,
    Interspeech 2020). No max-pooling after the first convolution; statistics pooling over time of all channels and
    frequencies, and one linear layer, as in Zeinali et al. SpeechBrain's ResNet is another network, with
    pre-activation, squeeze-and-excitation and a third convolution in each block.
    """

    def __init__(self, n_mels: int = 80, width: int = 32, embedding_size: int = 256) -> None:
        super().__init__()
        channels = [width, *(width * 2**stage for stage in range(4))]
        self.stem = nn.Sequential(_convolution(1, width), nn.BatchNorm2d(width), nn.ReLU())
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    BasicBlock(before, after, stride),
                    *(BasicBlock(after, after) for _ in range(blocks - 1)),
                )
                for (before, after), blocks, stride in zip(pairwise(channels), BLOCKS, STRIDES, strict=True)
            )
        )
        self.pooling = StatisticsPooling()
        # Three times halved, each time rounded up, is divided by 8 and rounded up.
        self.linear = nn.Linear(2 * channels[-1] * ceil(n_mels / 8), embedding_size)
        self.n_mels, self.width, self.embedding_size = n_mels, width, embedding_size

    def config(self) -> dict[str, Any]:
        return {"n_mels": self.n_mels, "width": self.width, "embedding_size": self.embedding_size}

    def forward(self, features: Tensor) -> Tensor:
        """[batch, frames, mels] -> embeddings [batch, embedding_size]; no padding in the batch."""
        maps = self.stages(self.stem(features.transpose(1, 2).unsqueeze(1)))
        return self.linear(self.pooling(maps.flatten(1, 2).transpose(1, 2)))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut: [batch, C, mels, frames] -> [batch, C', mels / s, frames / s]."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = _convolution(channels_in, channels_out, stride)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = _convolution(channels_out, channels_out)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride > 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm1(self.conv1(x)).relu()
        return (self.norm2(self.conv2(inner)) + self.shortcut(x)).relu()


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False)
