"""The rows of a tensor from every process, through which gradients return to the process that made them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def gather(x: Tensor) -> tuple[Tensor, int]:
    """x [n, ...] -> (the rows of all processes in the order of their ranks, place where this process's begin).

    Processes may have different n. A row's gradient is the sum of what all processes ask of it: averaged over
    processes, as `DistributedDataParallel` does with the weights' gradients, that is the gradient of the mean of
    the processes' losses. Every process must call this equally often, forward and backward.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return x, 0
    own = torch.tensor([len(x)], device=x.device)
    sizes = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, own)
    counts = [int(size) for size in sizes]
    return _Gather.apply(x, counts), sum(counts[: distributed.get_rank()])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        # The collective needs equal shapes: shorter parts are filled up, then cut again.
        filled = x.new_zeros(max(counts), *x.shape[1:])
        filled[: len(x)] = x
        parts = [torch.empty_like(filled) for _ in counts]
        distributed.all_gather(parts, filled)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.split(ctx.counts)[distributed.get_rank()], None
