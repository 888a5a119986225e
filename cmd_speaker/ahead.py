"""Work on many items side by side, of which few are held at a time: there may be a million."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(
    function: Callable[[T], R], items: Iterable[T], workers: int | None = None, held: int = 64
) -> Iterator[R]:
    """Results in the order of the items; `workers` threads are at work on the next ones, up to `held`."""
    with ThreadPoolExecutor(workers) as pool:
        yield from ahead_in(pool, function, items, held)


def ahead_in(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], held: int
) -> Iterator[R]:
    """As `ahead`, in threads that have other work too."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > held:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
