"""Pictures of results, for people who would rather look than read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cmd_speaker.evaluation.comparison import Row
from cmd_speaker.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_comparison(parts: Sequence[tuple[str, Sequence[Row]]], path: str | Path) -> None:
    """Write `comparison_figure(parts)` to a PNG file."""
    save_figure(comparison_figure(parts), path)


def comparison_figure(parts: Sequence[tuple[str, Sequence[Row]]]) -> Figure:
    """EER of every run and the paired difference from the baseline, one row of panels a trial list.

    `parts` are (title, rows of `evaluation.comparison.compare`); error rates in percent.
    """
    height = sum(0.9 + 0.32 * len(rows) for _, rows in parts)
    figure = _figure(9, height)
    panels = figure.subplots(
        len(parts), 2, squeeze=False, sharey="row", height_ratios=[1.6 + len(rows) for _, rows in parts]
    )
    for (left, right), (title, rows) in zip(panels, parts, strict=True):
        for place, row in enumerate(rows):
            _draw_row(left, right, place, row)
        left.set_yticks(range(len(rows)), [row.name for row in rows])
        left.set_ylim(len(rows) - 0.5, -0.5)
        runs = max(len(row.runs) for row in rows)
        what = "dots: seeds, bar: mean" if runs > 1 else "line: 95 % over speakers"
        left.set(title=title, xlabel=f"EER % ({what})")
        right.axvline(0, color="black", linewidth=0.8)
        right.set(title=f"difference from {rows[0].name}", xlabel="EER points, 95 % over speakers, paired")
        for axes in (left, right):
            axes.grid(axis="x", alpha=0.3)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, whole or not at all, the same bytes for the same figure."""
    with write_atomically(path) as temporary:
        # Without these the version and the date of the day are in the file.
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    # Not through pyplot, whose global state picks a screen.
    return Figure(figsize=(width, height), layout="constrained")


def _draw_row(left: Axes, right: Axes, place: int, row: Row) -> None:
    eers = [100 * run.eer for run in row.runs]
    left.plot(eers, [place] * len(eers), "o", color="C0", alpha=0.7)
    only = row.runs[0]
    if len(eers) > 1:
        left.plot(100 * row.eer, place, "|", color="black", markersize=16)
    elif only.eer_low is not None and only.eer_high is not None:
        left.plot(
            [100 * only.eer_low, 100 * only.eer_high], [place, place], color="C0", linewidth=3, alpha=0.5
        )
    if row.difference is not None:
        difference = row.difference.eer
        bounds = [100 * difference.interval.low, 100 * difference.interval.high]
        right.plot(bounds, [place, place], color="C1", linewidth=3, alpha=0.6)
        right.plot(100 * difference.difference, place, "o", color="C1")
