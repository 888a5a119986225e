"""A head in a pose, and brushes that draw on it.

Shapes are given in head units (see `data_prep.mini.faces.looks`) and leave as pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from data_prep.mini.faces.palettes import Colour

OVERSAMPLING = 2
"""The picture is drawn larger by this factor and averaged down: that smooths the edges."""
EYE_LEVEL = 0.47
"""Place of the origin from the picture's top, as a share of its height."""
HEAD_SCALE = 0.395
"""Share of the picture that one head unit takes."""
FACE_DEPTH = 0.72
"""How far the middle of the face lies before the axis about which the head turns."""

Points = np.ndarray
"""float [n, 2] of (x, y) in head units."""


@dataclass(frozen=True)
class Pose:
    """Turn, nod and tilt of the head in radians, magnification, and shift in head units."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]


@lru_cache(maxsize=64)
def _spline(count: int, closed: bool, steps: int) -> np.ndarray:
    """The matrix that turns control points into a Catmull-Rom curve with `steps` points a segment."""
    t = np.linspace(0, 1, steps, endpoint=False)
    basis = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1
    )
    segments = count if closed else count - 1
    matrix = np.zeros((segments * steps + (not closed), count))
    for segment in range(segments):
        rows = slice(segment * steps, (segment + 1) * steps)
        for offset in range(4):
            index = segment + offset - 1
            index = index % count if closed else min(max(index, 0), count - 1)
            matrix[rows, index] += basis[:, offset]
    if not closed:
        matrix[-1, -1] = 1
    return matrix


@lru_cache(maxsize=64)
def _slopes(count: int) -> np.ndarray:
    """The matrix that turns `count` points into their central differences, one-sided at the ends."""
    return np.asarray(np.gradient(np.eye(count), axis=0))


_QUARTER = np.array([[0.0, 1.0], [-1.0, 0.0]])
"""Turns row vectors by a right angle."""


def curve(points: Points, *, closed: bool = False, steps: int = 5) -> Points:
    """A smooth curve through `points`; works on [..., n, k]."""
    return _spline(points.shape[-2], closed, steps) @ points


def ribbon(points: Points, widths: np.ndarray) -> Points:
    """The outline of a stroke along a curve, `widths` [n] across."""
    along = _slopes(len(points)) @ points
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)
    across = along @ _QUARTER * (0.5 * widths / length)[:, None]
    return np.concatenate([points + across, (points - across)[::-1]])


_ROUNDNESS = np.array([1 / 0.85**2, 1 / 1.2**2])


def surface(points: Points) -> np.ndarray:
    """Depth of the face's surface under each point, 0 at its outline."""
    return FACE_DEPTH * np.sqrt(np.maximum(0.0, 1 - points**2 @ _ROUNDNESS))


class Canvas:
    """A transparent picture of one person, with two layers of shadows that are multiplied in at the end."""

    def __init__(self, pose: Pose, pixels: int, colour: Colour) -> None:
        size = (OVERSAMPLING * pixels, OVERSAMPLING * pixels)
        self.pose = pose
        self.pixels = pixels
        # Averaging mixes the colour of transparent pixels into the person's edge.
        self.person = Image.new("RGBA", size, (*_whole(colour), 0))
        self.shadows = Image.new("L", (pixels, pixels), 255)
        self.creases = Image.new("L", size, 255)
        self._person = ImageDraw.Draw(self.person)
        self._shadows = ImageDraw.Draw(self.shadows)
        self._creases = ImageDraw.Draw(self.creases)
        unit = pose.scale * HEAD_SCALE * pixels
        self._upright = unit * np.eye(2)
        self._tilted = unit * _rotation(pose.roll)
        self._origin = np.array([0.5, EYE_LEVEL]) * pixels + unit * np.asarray(pose.shift)
        self._sines = np.array([math.sin(pose.yaw), math.sin(pose.pitch)])
        self._cosines = np.array([math.cos(pose.yaw), math.cos(pose.pitch)])
        self._across = self._cosines[:, None] * self._tilted
        self._forward = self._sines @ self._tilted

    def turned(self, points: Points, depth: np.ndarray | float) -> Points:
        """Where points of the head lie after its turn and nod, in head units before the tilt."""
        return points * self._cosines + np.multiply.outer(depth, self._sines)

    def at(self, points: Points, depth: np.ndarray | float) -> Points:
        """Pixels of points [..., 2] of the head that lie `depth` [...] before its axis."""
        return points @ self._across + np.multiply.outer(depth, self._forward) + self._origin

    def on_face(self, points: Points, lift: float = 0.0) -> Points:
        """Pixels of points on the face's surface, or `lift` above it."""
        return self.at(points, surface(points) + lift)

    def on_body(self, points: Points) -> Points:
        """Pixels of points that do not move with the head."""
        return points @ self._upright + self._origin

    def fill(self, places: Points, colour: Colour) -> None:
        """Paint a polygon."""
        self._person.polygon((OVERSAMPLING * places).ravel().tolist(), fill=(*_whole(colour), 255))

    def cover(self, places: Points, colour: Colour) -> None:
        """Paint a polygon that hides the shadows beneath it too."""
        self.fill(places, colour)
        self.shadow(places, 0)
        self.crease(places, 0)

    def line(self, places: Points, colour: Colour, width: float) -> None:
        """Paint a line of even width, in pixels of a picture of 112."""
        width = max(1, round(OVERSAMPLING * width * self.pixels / 112))
        self._person.line((OVERSAMPLING * places).ravel().tolist(), fill=(*_whole(colour), 255), width=width)

    def shadow(self, places: Points, strength: float) -> None:
        """Darken a polygon with soft edges, by `strength` from 0 to 1."""
        self._shadows.polygon(places.ravel().tolist(), fill=round(255 * (1 - strength)))

    def crease(self, places: Points, strength: float) -> None:
        """Darken a polygon with slightly soft edges, by `strength` from 0 to 1."""
        self._creases.polygon((OVERSAMPLING * places).ravel().tolist(), fill=round(255 * (1 - strength)))

    def affine_from_pixels(self) -> tuple[float, ...]:
        """The affine map (a, b, c, d, e, f) from pixels to turned points: x = a i + b j + c, y = d i + e j + f."""
        back = np.linalg.inv(self._tilted)
        (a, d), (b, e) = back
        c, f = -self._origin @ back
        return a, b, c, d, e, f


def _rotation(angle: float) -> np.ndarray:
    """Turns row vectors clockwise on the screen (y is down)."""
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _whole(colour: Colour) -> tuple[int, int, int]:
    r, g, b = colour
    return int(r), int(g), int(b)
