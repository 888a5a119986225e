"""Line drawings with two axes as SVG: real text, colours of the page's style sheet, and few bytes.

Lengths are user units, about one CSS pixel on a phone. A line is written as steps of a quarter of a unit: on
such a grid a DET curve of a million trials has at most some thousand corners, and none is lost to the eye.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmd_speaker.report.markup import Markup, element, joined

WIDTH, HEIGHT = 340.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 18.0, 28.0, 46.0
STEPS = 4
"""Steps a unit."""

SHAPES = {
    "circle": "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1 -5 0Z",
    "square": "M-4.5 -4.5H4.5V4.5H-4.5Z",
    "diamond": "M0 -6.5L6.5 0L0 6.5L-6.5 0Z",
    "triangle": "M0 -6L6 5H-6Z",
    "wedge": "M0 6L6 -5H-6Z",
    "hexagon": "M-6 0L-3 -5H3L6 0L3 5H-3Z",
}


@dataclass(frozen=True)
class Axis:
    """What is along one axis: its range, and its ticks as (place, label)."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def share(self, values: np.ndarray | float) -> np.ndarray:
        """How far along the axis the values are, from 0 to 1; those beyond its ends are put there."""
        return (np.clip(values, self.low, self.high) - self.low) / (self.high - self.low)


def linear_axis(label: str, low: float, high: float) -> Axis:
    """An axis from a round number at or below `low` to one at or above `high`, with four to nine ticks."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 5
    unit = 10.0 ** np.floor(np.log10(rough))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= rough * (1 - 1e-9))
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    return Axis(
        label, first * step, last * step, [(k * step, f"{k * step:.4g}") for k in range(first, last + 1)]
    )


class Plot:
    """A drawing area; what is added lies over what came before. `height` is in user units."""

    def __init__(self, x: Axis, y: Axis, *, height: float = HEIGHT) -> None:
        self.x, self.y, self.height = x, y, height
        self.parts = [self._grid()]

    def line(self, x: np.ndarray, y: np.ndarray, style: str) -> None:
        """A line through the points, if any, in the units of the axes; `style` are classes of the style sheet."""
        if len(x):
            self.parts.append(element("path", class_=f"line {style}", d=self._path(x, y)))

    def area(self, x: np.ndarray, y: np.ndarray, style: str) -> None:
        """The area between a line and the lower end of the y axis."""
        ends = np.array([self.y.low])
        x, y = np.concatenate([x[:1], x, x[-1:]]), np.concatenate([ends, y, ends])
        self.parts.append(element("path", class_=f"area {style}", d=self._path(x, y) + "Z"))

    def marker(self, x: float, y: float, shape: str, style: str) -> None:
        """One of `SHAPES`."""
        place = f"translate({self._left(x):.2f} {self._top(y):.2f})"
        self.parts.append(element("path", class_=f"marker {style}", d=SHAPES[shape], transform=place))

    def band(self, low: float, high: float, style: str) -> None:
        """The area between two values of the y axis over the whole width."""
        ends = np.array([self.x.low, self.x.high])
        outline = self._path(ends.repeat(2)[[0, 2, 3, 1]], np.array([low, low, high, high]))
        self.parts.append(element("path", class_=f"area {style}", d=outline + "Z"))

    def text(self, x: float, y: float, words: str) -> None:
        """Words that begin at a place."""
        place = {"x": f"{self._left(x):.2f}", "y": f"{self._top(y):.2f}"}
        self.parts.append(element("text", words, class_="label", **place))

    def upright(self, x: float, shape: str, style: str, share: float = 1.0) -> None:
        """A vertical line over the whole height with a marker at this share of it."""
        self.line(np.array([x, x]), np.array([self.y.low, self.y.high]), style)
        self.marker(x, self.y.low + share * (self.y.high - self.y.low), shape, style)

    def draw(self, key: str, title: str, description: str) -> Markup:
        """The drawing, named and described for those who do not see it; `key` is unique on the page."""
        return element(
            "svg",
            element("title", title, id=f"{key}-title"),
            element("desc", description, id=f"{key}-desc"),
            *self.parts,
            viewBox=f"0 0 {WIDTH:g} {self.height:g}",
            role="img",
            aria_labelledby=f"{key}-title",
            aria_describedby=f"{key}-desc",
        )

    def _left(self, x: np.ndarray | float) -> np.ndarray:
        return LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT)

    def _top(self, y: np.ndarray | float) -> np.ndarray:
        return self.height - BOTTOM - self.y.share(y) * (self.height - TOP - BOTTOM)

    def _path(self, x: np.ndarray, y: np.ndarray) -> str:
        points = np.rint(STEPS * np.stack([self._left(x), self._top(y)], axis=1)).astype(int)
        places = [f"{left / STEPS:g} {top / STEPS:g}" for left, top in _corners(points).tolist()]
        return f"M{'L'.join(places)}"

    def _grid(self) -> Markup:
        bottom, right = self.height - BOTTOM, WIDTH - RIGHT
        # A label that would touch the one before is left out; its line stays.
        lines, texts, written = [], [], -WIDTH
        for value, text in self.x.ticks:
            left = float(self._left(value))
            lines.append(f"M{left:.2f} {TOP:g}V{bottom:g}")
            if left - written > 7.5 * len(text) + 6:
                texts.append(element("text", text, x=f"{left:.2f}", y=bottom + 18, text_anchor="middle"))
                written = left
        written = self.height * 2
        for value, text in self.y.ticks:
            top = float(self._top(value))
            lines.append(f"M{LEFT:g} {top:.2f}H{right:g}")
            if written - top > 13:
                texts.append(element("text", text, x=LEFT - 6, y=f"{top + 4:.2f}", text_anchor="end"))
                written = top
        middle = (LEFT + right) / 2
        return joined(
            element("path", class_="grid", d="".join(lines)),
            *texts,
            element("text", self.x.label, x=middle, y=self.height - 8, text_anchor="middle", class_="label"),
            element("text", self.y.label, x=2, y=13, class_="label"),
        )


def swatch(*drawn: Markup) -> Markup:
    """A sample of a line or marker for a legend; the words beside it say what it stands for."""
    return element("svg", *drawn, viewBox="-16 -8 32 16", class_="swatch", aria_hidden="true")


def _corners(points: np.ndarray) -> np.ndarray:
    """Those of the points [n, 2] that a line through all of them needs."""
    moved = np.append(True, (np.diff(points, axis=0) != 0).any(axis=1))
    points = points[moved]
    if len(points) < 3:
        return points
    before, after = points[1:-1] - points[:-2], points[2:] - points[1:-1]
    turn = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0
    return points[np.concatenate([[True], turn | back, [True]])]
