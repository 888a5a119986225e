"""Convolutions over time on one thread of a CPU, through oneDNN.

PyTorch gives a convolution to oneDNN only where there is enough to do (ATen's `ConvParams::use_mkldnn`), and else
multiplies matrices by way of MKL, about half as fast on some processors. Its choice depends on the batch, and with
it the last bits of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class OneDnnConvolutions(TorchFunctionMode):
    """Within the block, and its thread, float32 convolutions [batch, channels, time] on a CPU are oneDNN's."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv1d and not kwargs and _fits(args[0]):
            return _convolution(*args)
        return func(*args, **(kwargs or {}))


def _fits(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Tensor:
    """As `torch.conv1d`, on a picture of height 1."""
    return torch.ops.aten.mkldnn_convolution(
        x.unsqueeze(2), weight.unsqueeze(2), bias, (0, *padding), (1, *stride), (1, *dilation), groups
    ).squeeze(2)
