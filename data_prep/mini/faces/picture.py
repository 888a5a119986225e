"""Cartoon-realistic faces: a person's looks, a session's circumstances, and pictures of both.

    looks = draw_looks(rng, sex="female", age=34, size=0.2, energy=-0.3)
    sitting = draw_sitting(rng)
    picture = draw_picture(looks, sitting, rng)

All randomness comes from the generators given: the same state gives the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from data_prep.mini.faces import palettes
from data_prep.mini.faces.canvas import OVERSAMPLING, Canvas, Points, Pose, curve
from data_prep.mini.faces.features import (
    Expression,
    draw_brows,
    draw_eyes,
    draw_head,
    draw_mouth,
    draw_nose,
)
from data_prep.mini.faces.hair import draw_back_hair, draw_beard, draw_front_hair, draw_moustache
from data_prep.mini.faces.light import Light, shade
from data_prep.mini.faces.looks import Looks, draw_looks
from data_prep.mini.faces.marks import draw_glasses, draw_glasses_arms, draw_spots, draw_wrinkles
from data_prep.mini.faces.palettes import Colour, darken

__all__ = ["Looks", "Sitting", "draw_looks", "draw_picture", "draw_sitting"]

NECKLINES = ("round", "round", "v", "collar", "high")
"""A round one is as common as two others."""


@dataclass(frozen=True)
class Sitting:
    """What one session has in common.

    Attributes:
        light: direction, ambient share, brightness and colour of the light.
        backdrop: colours of the background's two ends.
        backdrop_angle: direction of its gradient, in radians.
        neckline: "round", "v", "collar" or "high".
        clothes: colours of the garment and of what it shows at the neck.
        blur: standard deviation of the camera's blur, in pixels of a picture of 112.
        noise: standard deviation of the sensor's noise, in grey levels.
        hair_volume: factor of the hair's thickness.
        hair_fringe: what is added to the fringe.
        zoom: factor of the face's size in the frame.
    """

    light: Light
    backdrop: tuple[Colour, Colour]
    backdrop_angle: float
    neckline: str
    clothes: tuple[Colour, Colour]
    blur: float
    noise: float
    hair_volume: float
    hair_fringe: float
    zoom: float


def draw_sitting(rng: np.random.Generator) -> Sitting:
    """The circumstances of one session."""
    warmth = float(rng.uniform(-1, 1))
    near, far = (palettes.BACKDROP[i] for i in rng.integers(len(palettes.BACKDROP), size=2))
    shirt, under = (palettes.CLOTHES[i] for i in rng.integers(len(palettes.CLOTHES), size=2))
    return Sitting(
        light=Light(
            x=float(rng.uniform(-0.8, 0.8)),
            y=float(rng.uniform(-0.8, -0.1)),
            ambient=float(rng.uniform(0.35, 0.7)),
            brightness=float(rng.uniform(0.84, 1.1)),
            tint=(1 + 0.09 * warmth, 1.0, 1 - 0.12 * warmth),
        ),
        backdrop=(darken(near, rng.uniform(0.8, 1.1)), darken(far, rng.uniform(0.6, 1.0))),
        backdrop_angle=float(rng.uniform(0, 2 * np.pi)),
        neckline=NECKLINES[rng.integers(len(NECKLINES))],
        clothes=(shirt, under),
        blur=float(rng.uniform(0.2, 0.9)),
        noise=float(rng.uniform(1.5, 5.0)),
        hair_volume=float(rng.uniform(0.85, 1.18)),
        hair_fringe=float(rng.uniform(-0.12, 0.12)),
        zoom=float(rng.uniform(0.96, 1.05)),
    )


def draw_picture(looks: Looks, sitting: Sitting, rng: np.random.Generator, pixels: int = 112) -> Image.Image:
    """One RGB picture of a person at a sitting, `pixels` x `pixels`.

    Pose (turn, nod, tilt, distance, place), expression (smile, talk, gaze, lids, brows) and noise are drawn
    from `rng`.
    """
    pose, expression = _draw_pose(rng, sitting), _draw_expression(rng)
    style = replace(looks.hair.style, fringe=looks.hair.style.fringe + sitting.hair_fringe)
    hair = replace(looks.hair, style=style, volume=looks.hair.volume * sitting.hair_volume)
    seen = replace(looks, hair=hair)
    canvas = Canvas(pose, pixels, darken(seen.hair.colour, 0.8))
    _draw_person(canvas, seen, sitting, expression)
    person = np.asarray(canvas.person.reduce(OVERSAMPLING), dtype=np.float32)
    cover = person[:, :, 3:] / 255
    lit = person[:, :, :3] * shade(canvas, seen, expression.smile, sitting.light)
    return _photograph(_backdrop(sitting, pixels) * (1 - cover) + lit * cover, sitting, rng)


def _draw_person(canvas: Canvas, looks: Looks, sitting: Sitting, expression: Expression) -> None:
    """Everything, from back to front."""
    draw_back_hair(canvas, looks)
    _draw_body(canvas, looks, sitting)
    draw_head(canvas, looks)
    draw_beard(canvas, looks)
    draw_spots(canvas, looks)
    draw_nose(canvas, looks)
    draw_mouth(canvas, looks, expression)
    draw_moustache(canvas, looks, expression.smile)
    draw_eyes(canvas, looks, expression)
    draw_wrinkles(canvas, looks, expression.smile)
    draw_brows(canvas, looks, expression)
    draw_glasses_arms(canvas, looks)
    draw_front_hair(canvas, looks)
    draw_glasses(canvas, looks)


def _draw_body(canvas: Canvas, looks: Looks, sitting: Sitting) -> None:
    """Neck, shoulders and clothes."""
    neck = looks.head.neck
    shirt, under = sitting.clothes
    throat = np.array([(neck, 0.4), (neck + 0.02, 1.05), (neck + 0.3, 1.4)])
    canvas.fill(canvas.on_body(_mirrored(throat)), darken(looks.skin, 0.94))
    low = {"round": 1.3, "v": 1.6, "collar": 1.45, "high": 1.14}[sitting.neckline]
    edge = neck + (0.02 if sitting.neckline == "high" else 0.1)
    high = 1.02 if sitting.neckline == "high" else 1.12
    middle = 0.4 * high + 0.6 * low
    collar = curve(
        np.array([(-edge, high), (-0.5 * edge, middle), (0, low), (0.5 * edge, middle), (edge, high)])
    )
    shoulders = np.array([(neck + 0.45, 1.22), (1.25, 1.36), (1.9, 1.6), (1.9, 2.2)])
    garment = np.concatenate([collar, _mirrored(shoulders)])
    canvas.fill(canvas.on_body(garment), shirt)
    canvas.line(canvas.on_body(collar), darken(shirt, 0.75), 1.0)
    if sitting.neckline == "collar":
        for side in (-1, 1):
            flap = np.array(
                [(edge - 0.02, high - 0.06), (0.06, low - 0.05), (0.3, low + 0.1), (edge + 0.18, high + 0.08)]
            )
            canvas.fill(canvas.on_body(flap * (side, 1)), under)


def _mirrored(right: Points) -> Points:
    """The outline whose right half is given."""
    return np.concatenate([right, right[::-1] * (-1, 1)])


def _draw_pose(rng: np.random.Generator, sitting: Sitting) -> Pose:
    yaw, pitch, roll, scale, x, y = rng.normal(size=6).clip(-2, 2)
    return Pose(
        yaw=0.14 * yaw, pitch=0.07 * pitch, roll=0.05 * roll, scale=sitting.zoom * (1 + 0.03 * scale),
        shift=(0.025 * x - 0.05 * yaw, 0.025 * y),
    )  # fmt: skip


def _draw_expression(rng: np.random.Generator) -> Expression:
    smile, talk, blink, gaze_x, gaze_y, lids, brows = rng.uniform(size=7)
    return Expression(
        smile=float(np.clip(1.5 * smile - 0.5, -0.1, 0.95)),
        open=max(0.0, 1.8 * talk - 1.0),
        gaze=(0.7 * gaze_x - 0.35, 0.2 * gaze_y - 0.1),
        lids=0.35 if blink < 0.06 else 0.93 + 0.14 * lids,
        brows=0.03 * brows - 0.01,
    )


def _backdrop(sitting: Sitting, pixels: int) -> np.ndarray:
    """A gradient [pixels, pixels, 3] between the two colours."""
    axis = np.linspace(-0.7, 0.7, pixels, dtype=np.float32)
    x, y = math.cos(sitting.backdrop_angle), math.sin(sitting.backdrop_angle)
    share = np.clip(0.5 + x * axis[None, :] + y * axis[:, None], 0, 1)[:, :, None]
    near, far = (np.array(colour, dtype=np.float32) for colour in sitting.backdrop)
    return near + (far - near) * share


def _photograph(scene: np.ndarray, sitting: Sitting, rng: np.random.Generator) -> Image.Image:
    """The picture that the camera takes of the scene: exposure, blur, noise."""
    gain = np.array(sitting.light.tint, dtype=np.float32) * sitting.light.brightness
    sharp = Image.fromarray(np.clip(scene * gain, 0, 255).astype(np.uint8))
    blurred = sharp.filter(ImageFilter.GaussianBlur(sitting.blur * len(scene) / 112))
    noise = rng.standard_normal((*scene.shape[:2], 1), dtype=np.float32) * sitting.noise
    return Image.fromarray(np.clip(np.asarray(blurred) + noise, 0, 255).astype(np.uint8))
