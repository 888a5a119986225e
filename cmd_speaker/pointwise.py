"""Pointwise convolutions on one thread of a CPU, through oneDNN.

PyTorch gives a convolution of width 1 to oneDNN only where it has several threads or a batch of 16 (ATen's
`ConvParams::use_mkldnn`), and else multiplies matrices by way of MKL, about half as fast on some processors.
In an ECAPA-TDNN these are more than half of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class OneDnnPointwise(TorchFunctionMode):
    """Within the block, and its thread, convolutions [batch, channels, time] of width 1 are oneDNN's."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv1d and not kwargs and _fits(*args):
            x, weight, bias = args[:3]
            return torch.ops.aten.mkldnn_convolution(
                x.unsqueeze(2), weight.unsqueeze(2), bias, [0, 0], [1, 1], [1, 1], 1
            ).squeeze(2)
        return func(*args, **(kwargs or {}))


def _fits(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: tuple[int, ...] = (1,),
    padding: Any = (0,),
    dilation: tuple[int, ...] = (1,),
    groups: int = 1,
) -> bool:
    plain = tuple(stride) == (1,) and padding == (0,) and groups == 1 and weight.shape[2] == 1
    on_cpu = x.device.type == "cpu" and x.dtype == torch.float32 and x.dim() == 3
    return plain and on_cpu and torch.backends.mkldnn.is_available()
