"""Progress on anything that takes longer than a moment: on standard error, and only on a terminal."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(
    items: Iterable[T], description: str, total: int | None = None, speed: Callable[[], str] | None = None
) -> Iterator[T]:
    """Pass `items` on under a progress bar that disappears when it is done; `speed` says how fast it goes."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    columns = Progress.get_default_columns()
    with Progress(*columns, "{task.fields[speed]}", console=console, transient=True) as progress:
        task = progress.add_task(description, total=total, speed="")
        for item in items:
            yield item
            progress.update(task, advance=1, speed=speed() if speed else "")
