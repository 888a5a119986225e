"""Soft shading: the face as a relief of smooth bumps under a light, and the shadows drawn on a canvas."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from data_prep.mini.faces.canvas import OVERSAMPLING, Canvas, surface
from data_prep.mini.faces.looks import Looks

GRID = 84
"""Points a side of the grid on which shading is computed; it is smooth, so it may be coarse."""
REACH = 1.7
"""The grid spans head units from -REACH to REACH."""
AXIS = np.linspace(-REACH, REACH, GRID, dtype=np.float32)
ROUND_X, ROUND_Y = AXIS[None, :] / np.float32(0.86), AXIS[:, None] / np.float32(1.15)
"""Place on the ellipsoid that stands for the head; its outline is where their squares sum up to 1."""
_RADIUS = np.hypot(ROUND_X, ROUND_Y)
HEAD = 1 - np.clip((_RADIUS - 0.97) / 0.2, 0, 1)
"""1 on the head and 0 beside and below it, where all is lit as if it were flat."""
FACING = np.maximum(np.sqrt(np.maximum(1 - _RADIUS**2, 0.12)), 1 - HEAD)
"""How much the ellipsoid faces the camera."""
NEUTRAL = 200
"""The grey level that stands for a factor of 1 while shading is resampled as an 8-bit picture."""
WARMTH = np.array([0.86, 1.08, 1.2], dtype=np.float32)
"""Exponents of the shade for red, green and blue: light that skin scatters leaves its shadows reddish."""
SHADOW_WEIGHTS = np.array([0.84, 1.04, 1.12], dtype=np.float32)
"""How much painted shadows take from red, green and blue, for the same reason."""


@dataclass(frozen=True)
class Light:
    """A lamp and the light around.

    Attributes:
        x: how far right of the camera the lamp stands, as a share of its distance before the face.
        y: how far below, likewise.
        ambient: share of the light that comes from everywhere.
        brightness: factor of the picture's brightness.
        tint: factors of red, green and blue.
    """

    x: float
    y: float
    ambient: float
    brightness: float
    tint: tuple[float, float, float]


def shade(canvas: Canvas, looks: Looks, smile: float, light: Light) -> np.ndarray:
    """Factors [pixels, pixels, 3] for the person on the canvas."""
    height, dark, blush = _relief(canvas, looks, smile)
    slope_y, slope_x = np.gradient(height, float(AXIS[1] - AXIS[0]))
    normal_x = (0.9 * ROUND_X - slope_x) * HEAD
    normal_y = (0.7 * ROUND_Y - slope_y) * HEAD
    lit = (normal_x * light.x + normal_y * light.y + FACING) / math.hypot(light.x, light.y, 1)
    lit /= np.sqrt(normal_x**2 + normal_y**2 + FACING**2)
    grey = (light.ambient + (1 - light.ambient) * np.maximum(lit, 0.01)) * (1 - dark) * 1.08
    colour = np.exp(np.log(grey)[:, :, None] * WARMTH)
    colour[:, :, 1:] *= 1 - blush[:, :, None] * np.array([0.9, 0.75], dtype=np.float32)
    coarse = Image.fromarray(np.clip(colour * NEUTRAL, 0, 255).astype(np.uint8))
    size = (canvas.pixels, canvas.pixels)
    fine = coarse.transform(
        size, Image.Transform.AFFINE, _to_grid(canvas), Image.Resampling.BILINEAR, fillcolor=(NEUTRAL,) * 3
    )
    factor = np.asarray(fine, dtype=np.float32)
    factor /= NEUTRAL
    factor *= 1 - (1 - _soft(canvas))[:, :, None] * SHADOW_WEIGHTS
    return factor


def _to_grid(canvas: Canvas) -> tuple[float, ...]:
    """The affine map from the picture's pixels to the grid's."""
    a, b, c, d, e, f = canvas.affine_from_pixels()
    scale = (GRID - 1) / (2 * REACH)
    return a * scale, b * scale, (c + REACH) * scale, d * scale, e * scale, (f + REACH) * scale


def _soft(canvas: Canvas) -> np.ndarray:
    """The product of the canvas's two layers of shadows, 0 to 1."""
    fine = canvas.pixels / 112
    shadows = canvas.shadows.filter(ImageFilter.GaussianBlur(2.6 * fine))
    creases = canvas.creases.reduce(OVERSAMPLING).filter(ImageFilter.GaussianBlur(0.7 * fine))
    product = np.asarray(shadows, dtype=np.float32) * np.asarray(creases, dtype=np.float32)
    return product / 255**2


def _relief(canvas: Canvas, looks: Looks, smile: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height, darkness and redness on the grid, each a sum of Gaussian bumps."""
    bumps = np.array(_bumps(looks, smile), dtype=np.float32)
    centres = canvas.turned(bumps[:, :2], surface(bumps[:, :2]) + bumps[:, 2])
    across = np.exp(-0.5 * ((AXIS - centres[:, :1]) / bumps[:, 3:4]) ** 2)
    down = np.exp(-0.5 * ((AXIS - centres[:, 1:]) / bumps[:, 4:5]) ** 2)
    height, dark, blush = (
        ((down * bumps[:, column : column + 1]).T @ across).astype(np.float32) for column in (5, 6, 7)
    )
    return height, dark, blush


def _bumps(looks: Looks, smile: float) -> list[tuple[float, ...]]:
    """Rows of (x, y, lift, spread x, spread y, height, darkness, redness)."""
    nose, mouth, head = looks.nose, looks.mouth, looks.head
    eye, male, sag = looks.eyes.distance, float(looks.sex == "male"), looks.sag
    bridge = 0.08 * nose.relief
    rows: list[tuple[float, ...]] = [
        (0, 0.12, 0.08, nose.bridge, 0.16, bridge, 0, 0),
        (0, nose.base - 0.08, 0.14, 0.55 * nose.width, 0.08, 0.09 * nose.relief, -0.06, 0.05),
        (0, nose.base + 0.035, 0.06, 0.7 * nose.width, 0.03, 0, 0.2, 0),
        (0, -0.45, 0, 0.3, 0.16, 0.03, -0.04, 0),
        (0, -0.92, 0, 0.4, 0.07, 0, -0.16, 0),
        (0, mouth.y + 0.16, 0, 0.13, 0.035, -0.01, 0.16, 0),
        (0, mouth.y, 0, 0.2, 0.1, 0.03, 0, 0),
        (0, head.chin - 0.11, 0, 0.13, 0.08, 0.05 + 0.02 * male, -0.04, 0.02),
    ]
    for side in (-1, 1):
        rows += [
            (side * eye, -0.05, 0, 0.15, 0.08, -0.03, 0.14, 0.02),
            (side * 0.13, -0.04, 0, 0.05, 0.08, -0.02, 0.14, 0),
            (side * eye, -0.2, 0, 0.17, 0.05, 0.02 + 0.03 * male, -0.02 + 0.03 * male, 0),
            (side * eye, 0.15, 0, 0.12, 0.035, -0.006 - 0.02 * sag, 0.03 + 0.12 * sag, 0.02),
            (side * 0.42, 0.33 - 0.04 * smile, 0, 0.15, 0.12, 0.035 + 0.05 * max(smile, 0), -0.03, 0.09),
            (side * 0.8 * nose.width, nose.base - 0.04, 0.08, 0.04, 0.05, 0.03, 0, 0.05),
            (side * 1.5 * nose.width, nose.base - 0.06, 0, 0.05, 0.09, -0.015, 0.06, 0),
            (side * 0.5, 0.55, 0, 0.1, 0.13, 0, 0.06 + 0.05 * head.cheekbones - 0.05 * looks.size, 0),
            (side * 0.62, -0.3, 0, 0.09, 0.12, -0.01, 0.05, 0),
        ]
    return rows
