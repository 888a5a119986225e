"""Several processes train one student: what `torchrun` started, joined through SpeechBrain's own support.

`batch_size` is that of one process. What is written is written by the main process; the others wait for it.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import BaseContext
from typing import TypeVar

import torch
from speechbrain.utils.distributed import (
    ddp_barrier,
    ddp_init_group,
    get_local_rank,
    get_rank,
    if_main_process,
    is_distributed_initialized,
    main_process_only,
)
from speechbrain.utils.run_opts import RunOptions
from torch import distributed

from cmd_speaker.errors import UsageError

T = TypeVar("T")


def join_processes(run_opts: RunOptions) -> RunOptions:
    """Join the group that `torchrun` made, with the device and the backend of this process; else nothing happens.

    Without `--device` a process takes the GPU of its local rank, or the CPU where there is none; on a CPU the
    backend is gloo. Only the main process goes on printing. Raises `UsageError` where GPUs are too few.
    """
    local = get_local_rank()
    if local is None or get_rank() is None:
        return run_opts
    device = run_opts.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cuda", "cpu"):
        raise UsageError(f"--device {device}: several processes take cuda, a GPU for each, or cpu")
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"{os.environ.get('LOCAL_WORLD_SIZE', local + 1)} processes on this machine, and "
                f"{torch.cuda.device_count()} GPUs: start as many as there are, or give --device cpu"
            )
        found = {"device": f"cuda:{local}"}
    else:
        found = {"device": "cpu", "distributed_backend": "gloo"}
    # A Brain reads only those that count as given.
    run_opts = replace(run_opts, **found, overridden_args=run_opts.overridden_args | found.keys())
    if not is_distributed_initialized():
        ddp_init_group(run_opts)
        atexit.register(_leave)
        if not if_main_process():
            # Every figure is the main process's; errors, on standard error, are each process's own.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return run_opts


def _leave() -> None:
    if is_distributed_initialized():
        distributed.destroy_process_group()


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if is_distributed_initialized() else 1


def local_processes() -> int:
    """How many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if is_distributed_initialized() else 1


def rank() -> int:
    """The number of this process, 0 for the main one."""
    return distributed.get_rank() if is_distributed_initialized() else 0


def on_main(function: Callable[..., T], *args: object, **kwargs: object) -> T:
    """Call `function` in the main process; every process gets its result, which must be picklable."""
    return main_process_only(function)(*args, **kwargs)


@contextmanager
def main_first() -> Iterator[None]:
    """The block runs in the main process, then in the others, which find what it left on the disk."""
    if not if_main_process():
        ddp_barrier()
    yield
    if if_main_process():
        ddp_barrier()


def worker_context() -> BaseContext | None:
    """How the workers of a loader begin; None: as Python does it.

    Several processes talk to each other in threads of their own, which a fork may cut off while they hold a lock;
    the worker then waits for ever (the documentation of `DistributedDataParallel` warns of it). Their workers are
    forked from a server that has no such threads.
    """
    if processes() == 1 or "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "cmd_speaker.training.data"])
    return context


def mean_over_processes(values: Mapping[str, float]) -> dict[str, float]:
    """The mean of every value over all processes, which must have the same names in the same order."""
    if not is_distributed_initialized() or not values:
        return dict(values)
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    means = torch.tensor(list(values.values()), dtype=torch.double, device=device) / processes()
    distributed.all_reduce(means)
    return dict(zip(values, means.tolist(), strict=True))


def from_every_process(value: T) -> list[T]:
    """What each process gave, in the order of their numbers; must be picklable."""
    if not is_distributed_initialized():
        return [value]
    found: list[T] = [value] * processes()
    distributed.all_gather_object(found, value)
    return found
