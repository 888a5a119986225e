"""Measures of a picture of a face: sharpness and size. A picture is uint8 [3, height, width]."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

PIXELS = 112
"""Side of the square on which sharpness is measured: what most face encoders see."""
LEAST_SHARPNESS = -60.0
LUMA = (0.299, 0.587, 0.114)
"""Brightness of red, green and blue (ITU-R BT.601)."""


def sharpness(picture: np.ndarray) -> float:
    """Variance of the Laplacian over the variance of the picture, both of its brightness, in dB.

    The picture is brought to 112 by 112 pixels first, so that pictures of any size compare and a small one,
    enlarged, counts as the blurred one that a teacher sees. The ratio does not change with brightness and
    contrast [ours; the variance of the Laplacian as a measure of focus: Pech-Pacheco et al. 2000]. A picture of
    one colour has -60 dB, the least. Noise of a camera counts as sharpness: it cannot be told from detail.
    """
    from PIL import Image

    grey = np.tensordot(np.array(LUMA), picture.astype(np.float64), 1).astype(np.float32)
    square = Image.fromarray(grey).resize((PIXELS, PIXELS), Image.Resampling.BILINEAR)
    return sharpness_of(np.asarray(square, np.float64))


def sharpness_of(grey: np.ndarray) -> float:
    """The measure on brightness [height, width], without changing its size."""
    inner = grey[1:-1, 1:-1]
    if inner.size == 0 or not inner.var() > 0:
        return LEAST_SHARPNESS
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return 10 * math.log10(max(laplacian.var() / inner.var(), 10 ** (LEAST_SHARPNESS / 10)))


def size(picture: np.ndarray) -> float:
    """The shorter side of a picture as its file has it, in pixels."""
    return float(min(picture.shape[-2:]))


MEASURES: dict[str, Callable[[np.ndarray], float]] = {"face_sharpness": sharpness, "face_size": size}
"""A picture -> its value, by the name of the column."""
