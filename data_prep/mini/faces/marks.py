"""What lies on a face: wrinkles, freckles, a mole, glasses."""

from __future__ import annotations

import numpy as np

from data_prep.mini.faces.canvas import Canvas, curve, ribbon
from data_prep.mini.faces.features import CIRCLE, SIDES, TAPER
from data_prep.mini.faces.looks import Looks
from data_prep.mini.faces.palettes import darken

SQUARE = ((-0.6, -1), (0.7, -1), (1, -0.7), (0.95, 0.5), (0.7, 1), (-0.6, 1), (-0.9, 0.55), (-0.95, -0.7))
RIMS = {"round": CIRCLE, "square": curve(np.array(SQUARE), closed=True, steps=3)}
"""Outlines of lenses, from -1 to 1; x points away from the nose."""


def draw_wrinkles(canvas: Canvas, looks: Looks, smile: float) -> None:
    """Lines of the forehead, eyes and cheeks; the ones beside the mouth come with a smile at any age."""
    eyes, nose, mouth, head = looks.eyes, looks.nose, looks.mouth, looks.head
    old = looks.wrinkles

    def line(points: list[tuple[float, float]], width: float, strength: float) -> None:
        if strength > 0.02:
            outline = ribbon(curve(np.array(points)), width * TAPER)
            canvas.crease(canvas.on_face(outline), min(strength, 0.8))

    for side in SIDES:
        fold_x, fold_y = mouth.width * 1.25 + 0.03, mouth.y - 0.02
        line(
            [(side * 1.1 * nose.width, nose.base - 0.08), (side * (fold_x - 0.02), 0.5 * (nose.base + fold_y)),
             (side * fold_x, fold_y + 0.08 * old)], 0.035 + 0.02 * old, 0.06 + 0.27 * old + 0.2 * max(smile, 0),
        )  # fmt: skip
        line(
            [(side * (mouth.width + 0.02), mouth.y + 0.03), (side * (mouth.width + 0.05), mouth.y + 0.1),
             (side * (mouth.width + 0.04), mouth.y + 0.2)], 0.03, 0.24 * old - 0.05,
        )  # fmt: skip
        inner, outer = eyes.distance - 0.7 * eyes.width, eyes.distance + eyes.width
        line(
            [(side * inner, 0.1), (side * eyes.distance, 0.155), (side * (outer - 0.03), 0.11)],
            0.03, 0.06 + 0.28 * old,
        )  # fmt: skip
        for slope in (-0.09, 0.0, 0.08):
            line(
                [(side * (outer + 0.03), 0.4 * slope), (side * (outer + 0.08), 0.8 * slope),
                 (side * (outer + 0.14), 1.4 * slope)], 0.025, 0.34 * old - 0.05 + 0.06 * max(smile, 0),
            )  # fmt: skip
        line([(side * 0.05, -0.2), (side * 0.06, -0.13), (side * 0.05, -0.07)], 0.03, 0.36 * old - 0.08)
    for height in (-0.52, -0.43, -0.34):
        line(
            [(-0.38, height + 0.02), (0.0, height - 0.01), (0.38, height + 0.02)], 0.03, 0.34 * old - 0.06
        )  # fmt: skip
    double_chin = [(-0.26, head.chin + 0.03), (0, head.chin + 0.1), (0.26, head.chin + 0.03)]
    line(double_chin, 0.06, 0.4 * (looks.size - 0.4))


def draw_spots(canvas: Canvas, looks: Looks) -> None:
    """Freckles over cheeks and nose, and the mole."""
    dot = max(1.0, canvas.pixels / 112) * CIRCLE[::3]
    if looks.freckles > 0:
        rng = np.random.default_rng(looks.texture)
        places = rng.normal(size=(34, 2)) * (0.28, 0.08) + (0, 0.24)
        for place, strength in zip(canvas.on_face(places), rng.uniform(0.15, 0.5, size=34), strict=True):
            canvas.crease(place + 0.6 * dot, strength * (0.4 + 0.6 * looks.freckles))
    if looks.mole is not None:
        (place,) = canvas.on_face(np.array([looks.mole]))
        canvas.fill(place + 0.9 * dot, darken(looks.skin, 0.4))


def draw_glasses_arms(canvas: Canvas, looks: Looks) -> None:
    """The arms of the glasses, which hair may hide."""
    if looks.glasses:
        for side in SIDES:
            arm = np.array([(looks.eyes.distance + 0.2, -0.03), (looks.head.width - 0.01, -0.06)]) * (side, 1)
            canvas.line(canvas.at(arm, np.array([0.5, 0.0])), looks.frame_colour, 1.6)


def draw_glasses(canvas: Canvas, looks: Looks) -> None:
    """Frames before the eyes."""
    if not looks.glasses:
        return
    eyes = looks.eyes
    half = (min(eyes.distance - 0.035, 0.27), 0.2 if looks.glasses == "round" else 0.165)
    for side in SIDES:
        lens = RIMS[looks.glasses] * half * (side, 1) + (side * (eyes.distance + 0.015), 0.03)
        place = canvas.on_face(lens, 0.1)
        canvas.crease(place, 0.07)
        canvas.line(np.concatenate([place, place[:2]]), looks.frame_colour, 1.6)
    gap = max(eyes.distance + 0.015 - half[0], 0.02)
    bridge = curve(np.array([(-gap, 0.0), (0, -0.03), (gap, 0.0)]))
    canvas.line(canvas.on_face(bridge, 0.12), looks.frame_colour, 1.6)
