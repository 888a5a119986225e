"""Progress on anything that takes longer than a moment: on standard error, and only on a terminal."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Pass `items` on under a progress bar that disappears when it is done."""
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    yield from rich_track(items, description, total=total, console=console, transient=True)
