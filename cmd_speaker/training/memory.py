"""Keep freed memory in the process while training on a CPU."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # malloc.h of glibc
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Stop glibc from handing freed tensors back to the kernel after every operation.

    Each tensor over 32 MB is otherwise mapped, zeroed page by page and unmapped at each use, a third of an
    ECAPA training step on a CPU (benchmarks/training_step.py). Returns whether it was done: elsewhere
    than under glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: LARGEST_INT, M_TOP_PAD: 64 * 2**20, M_ARENA_MAX: 1}
    return all([mallopt(option, value) for option, value in settings.items()])
