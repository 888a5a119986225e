"""Brushwork of the face itself: outline, ears, eyes, brows, nose, mouth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.mini.faces import palettes
from data_prep.mini.faces.canvas import Canvas, Points, curve, ribbon
from data_prep.mini.faces.looks import Looks
from data_prep.mini.faces.palettes import darken, mix

SIDES = (-1.0, 1.0)
CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 22)), np.sin(np.linspace(0, 2 * np.pi, 22))], axis=1)
LID = np.linspace(-1, 1, 13)
"""Places along an eyelid, from the inner to the outer corner."""
ALMOND = 1 - np.abs(LID) ** 2.2
LASH_WIDTHS = 0.35 + 0.65 * np.linspace(0.3, 1, LID.size)
IRIS = 0.078
"""Radius of an iris; larger than life, so that its colour shows."""
TAPER = np.sin(np.linspace(0.12, np.pi - 0.12, 11))
"""Width along a stroke that is thick in its middle."""


@dataclass(frozen=True)
class Expression:
    """Smile (-0.1 to 1), how far the mouth is open (0 to 1), gaze in eye widths, lids and brows.

    `lids` scales the eyes' opening, `brows` lifts the brows (in head units).
    """

    smile: float
    open: float
    gaze: tuple[float, float]
    lids: float
    brows: float


def outline(looks: Looks) -> tuple[Points, np.ndarray]:
    """The face from the skull's top over the right side to the chin and back, and its depth."""
    head, sag = looks.head, looks.sag
    middle = 0.5 * (head.jaw + head.chin_width) + (0.05 if looks.sex == "male" else 0.03)
    right = np.array([
        (0.55 * head.width, -0.895, 0.0),
        (0.91 * head.width, -0.56, 0.0),
        (head.width, -0.15, 0.0),
        (head.width * (0.965 + 0.015 * head.cheekbones), 0.14, 0.03),
        (head.jaw + 0.02 * sag, 0.52, 0.12),
        (middle + 0.04 * sag, 0.77 * head.chin, 0.25),
        (head.chin_width, 0.95 * head.chin, 0.36),
    ])  # fmt: skip
    left = right[::-1] * (-1, 1, 1)
    points = np.concatenate([[(0, -1.0, 0)], right, [(0, head.chin, 0.4)], left])
    dense = curve(points, closed=True)
    return dense[:, :2], dense[:, 2]


def draw_head(canvas: Canvas, looks: Looks) -> None:
    """Ears, where hair leaves them free, and the face without features."""
    head = looks.head
    for side in SIDES if looks.hair.style.front < 0.4 else ():
        out = 0.06 + 0.06 * head.ears
        ear = np.array([
            (head.width - 0.05, -0.06), (head.width + 0.6 * out, -0.13), (head.width + out, -0.02),
            (head.width + 0.7 * out, 0.2), (head.width + 0.25 * out, 0.36), (head.width - 0.07, 0.34),
        ]) * (side, 1)  # fmt: skip
        canvas.fill(canvas.at(curve(ear, closed=True), -0.12), darken(looks.skin, 0.93))
        inner = ribbon(curve(ear[1:5] * (0.965, 0.8) + (0, 0.02)), np.full(16, 0.025))
        canvas.crease(canvas.at(inner, -0.12), 0.45)
    points, depth = outline(looks)
    canvas.shadow(canvas.at(np.add(points, (0, 0.11)), depth), 0.3)
    canvas.cover(canvas.at(points, depth), looks.skin)


def draw_eyes(canvas: Canvas, looks: Looks, expression: Expression) -> None:
    """Both eyes and their lids."""
    eyes = looks.eyes
    openness = float(np.clip(eyes.openness * expression.lids - 0.1 * max(expression.smile, 0), 0.06, 1.25))
    for side in SIDES:
        _draw_eye(canvas, looks, expression, side, openness)


@dataclass(frozen=True)
class _Eye:
    """One eye: its side, its centre, and the lids' edges above and below the places `along` it."""

    side: float
    centre: Points
    along: np.ndarray
    upper: np.ndarray
    lower: np.ndarray

    def place(self, x: np.ndarray, y: np.ndarray) -> Points:
        """Head units of points given from the eye's centre, x away from the nose."""
        return np.stack([self.side * x, y], axis=1) + self.centre

    def between(self, y: np.ndarray, other: np.ndarray) -> Points:
        """The area between two lines along the eye."""
        return np.concatenate([self.place(self.along, y), self.place(self.along[::-1], other[::-1])])


def _draw_eye(canvas: Canvas, looks: Looks, expression: Expression, side: float, openness: float) -> None:
    """Lid, white, iris, and lashes."""
    eyes, skin = looks.eyes, looks.skin
    lower = -eyes.tilt * LID - 0.004 + 0.36 * eyes.height * ALMOND * (0.8 + 0.2 * openness)
    upper = lower - eyes.height * ALMOND * openness
    fold = upper - (0.028 + 0.035 * (1 - looks.sag)) * (ALMOND + 0.12) - 0.02 * (1 - openness)
    eye = _Eye(side, np.array([side * eyes.distance, 0.0]), LID * eyes.width, upper, lower)
    canvas.fill(canvas.on_face(eye.between(fold, upper)), darken(skin, 0.93))
    canvas.fill(canvas.on_face(eye.between(upper, lower)), palettes.EYE_WHITE)
    _draw_iris(canvas, looks, expression, eye)
    shade = ribbon(eye.place(eye.along, upper + 0.012), 0.03 * ALMOND)
    canvas.crease(canvas.on_face(shade), 0.4)
    lash = mix(palettes.LASHES, skin, 0.25 - 0.25 * min(eyes.lashes, 1.0))
    wing = eyes.lashes * (LID > 0.8)
    edge = eye.place(eye.along * (1 + 0.07 * wing), upper - 0.03 * wing)
    canvas.fill(canvas.on_face(ribbon(edge, (0.026 + 0.022 * eyes.lashes) * LASH_WIDTHS)), lash)
    under = ribbon(eye.place(eye.along[2:], lower[2:] + 0.004), np.full(LID.size - 2, 0.014))
    canvas.fill(canvas.on_face(under), mix(lash, skin, 0.55))
    crease = ribbon(eye.place(eye.along, fold), 0.03 * (ALMOND + 0.2))
    canvas.crease(canvas.on_face(crease), 0.3 + 0.15 * looks.sag)


def _draw_iris(canvas: Canvas, looks: Looks, expression: Expression, eye: _Eye) -> None:
    """Iris, pupil and highlight, as far as the lids leave them free."""
    gaze_x, gaze_y = expression.gaze
    middle = (eye.side * gaze_x * looks.eyes.width, -0.012 + gaze_y * looks.eyes.height)
    # Scale and shift of rim, iris, its lower part, pupil, highlight.
    discs = np.array(
        [(1, 0, 0), (0.82, 0, 0), (0.62, 0, 0.018), (0.45, 0, 0), (0.24, -eye.side * 0.03, -0.03)]
    )
    points = (CIRCLE * IRIS * discs[:, None, :1] + discs[:, None, 1:] + middle).reshape(-1, 2)
    x = np.clip(points[:, 0], eye.along[0], eye.along[-1])
    y = np.clip(points[:, 1], np.interp(x, eye.along, eye.upper), np.interp(x, eye.along, eye.lower))
    colour = looks.eyes.colour
    lit = mix(colour, palettes.SHINE, 0.22)
    colours = (darken(colour, 0.45), colour, lit, palettes.PUPIL, palettes.HIGHLIGHT)
    for disc, paint in zip(np.split(canvas.on_face(eye.place(x, y)), len(discs)), colours, strict=True):
        canvas.fill(disc, paint)


def draw_brows(canvas: Canvas, looks: Looks, expression: Expression) -> None:
    """Both brows."""
    brows, eyes = looks.brows, looks.eyes
    base = -brows.height - expression.brows
    for side in SIDES:
        inner = eyes.distance - 0.62 * brows.length
        spine = np.array([
            (inner, base - brows.slope + 0.01),
            (inner + 0.45 * brows.length, base - 0.7 * brows.arch),
            (inner + 0.9 * brows.length, base - brows.arch),
            (inner + 1.4 * brows.length, base + 0.3 * brows.arch + 0.02),
        ]) * (side, 1)  # fmt: skip
        line = curve(spine)
        widths = brows.thickness * np.interp(
            np.linspace(0, 1, len(line)), (0, 0.15, 0.5, 1), (0.5, 1, 0.9, 0.15)
        )
        canvas.fill(canvas.on_face(ribbon(line, widths * 1.25)), mix(looks.skin, brows.colour, 0.55))
        canvas.fill(
            canvas.on_face(ribbon(np.add(line, (0, 0.004)), widths * 0.75)),
            mix(looks.skin, brows.colour, 0.88),
        )


def draw_nose(canvas: Canvas, looks: Looks) -> None:
    """Nostrils and wings; the bridge is relief."""
    nose = looks.nose
    for side in SIDES:
        nostril = np.array([
            (0.25 * nose.width, nose.base + 0.004), (0.5 * nose.width, nose.base - 0.018),
            (0.78 * nose.width, nose.base + 0.004),
        ]) * (side, 1)  # fmt: skip
        line = curve(nostril)
        canvas.fill(canvas.on_face(ribbon(line, 0.034 * TAPER), 0.1), darken(looks.skin, 0.42))
        wing = np.array([
            (0.95 * nose.width, nose.base - 0.1), (1.1 * nose.width, nose.base - 0.05),
            (1.0 * nose.width, nose.base + 0.005),
        ]) * (side, 1)  # fmt: skip
        canvas.crease(canvas.on_face(ribbon(curve(wing), 0.03 * TAPER), 0.06), 0.45)
    under = np.array([(-0.3 * nose.width, nose.base), (0, nose.base + 0.022), (0.3 * nose.width, nose.base)])
    canvas.crease(canvas.on_face(ribbon(curve(under), 0.028 * TAPER), 0.12), 0.35)


def draw_mouth(canvas: Canvas, looks: Looks, expression: Expression) -> None:
    """Lips, and teeth where the mouth is open."""
    mouth, smile = looks.mouth, expression.smile
    half = mouth.width * (1 + 0.2 * smile - 0.1 * expression.open)
    rise = mouth.corners + 0.07 * smile
    gap = 0.12 * expression.open
    upper = mouth.upper * (1 - 0.2 * max(smile, 0))
    place = np.array([0, mouth.y])
    x = np.array([-1, -0.62, -0.2, 0, 0.2, 0.62, 1]) * half
    bend = np.abs(x / half) ** 1.6
    top = -rise * bend - 0.25 * gap * (1 - bend)
    low = -rise * bend + 0.75 * gap * (1 - bend)
    peaks = np.array([0.05, 0.62, 1, 0.82, 1, 0.62, 0.05])
    swell = np.array([0.05, 0.66, 0.97, 1, 0.97, 0.66, 0.05])

    def shape(one: np.ndarray, other: np.ndarray) -> Points:
        outer, inner = (curve(np.stack([x, y], axis=1) + place) for y in (one, other))
        return canvas.on_face(np.concatenate([outer, inner[::-1]]), 0.03)

    if expression.open > 0.05:
        canvas.fill(shape(top, low), palettes.MOUTH_INSIDE)
        canvas.fill(shape(top, top + 0.55 * (low - top)), palettes.TEETH)
    canvas.fill(shape(top - upper * peaks, top + 0.006), darken(mouth.colour, 0.88))
    canvas.fill(shape(low - 0.004, low + mouth.lower * swell), mouth.colour)
    full = mouth.lower * swell
    canvas.fill(shape(low + 0.25 * full, low + 0.6 * full), darken(mouth.colour, 1.1))
    if expression.open < 0.3:
        line = curve(np.stack([1.06 * x, top], axis=1) + place)
        along = np.linspace(0, 1, len(line))
        widths = 0.022 * np.interp(along, (0, 0.08, 0.5, 0.92, 1), (0.4, 1.1, 0.8, 1.1, 0.4))
        canvas.fill(canvas.on_face(ribbon(line, widths), 0.03), darken(mouth.colour, 0.42))
    under = np.array([(-0.5 * half, 0.0), (0, 0.012), (0.5 * half, 0.0)]) + place
    under += (0, 0.75 * gap + mouth.lower + 0.02)
    canvas.crease(canvas.on_face(ribbon(curve(under), 0.03 * TAPER), 0.02), 0.22)
