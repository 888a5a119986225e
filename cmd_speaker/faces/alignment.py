"""A face brought to the form in which an encoder was trained on faces: a crop of its box, or five points in place.

Pictures are uint8 [height, width, 3]. Points are x, y in pixels, the middle of the first pixel at (0, 0).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

ARCFACE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where eyes, nose and corners of the mouth lie in ArcFace's 112 by 112 pixels (Deng et al. 2019), the eye and the
corner at the picture's left first."""
ARCFACE_PIXELS = 112


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift that bring points [n, 2] nearest to others, as a matrix [2, 3].

    Least squares without reflection: Umeyama 1991, equations 40 to 43. The points must not all be one.
    """
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred, wanted = source - source_mean, target - target_mean
    left, singular, right = np.linalg.svd(wanted.T @ centred / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    scale = (singular * signs).sum() / (centred**2).sum(1).mean()
    linear = scale * left @ np.diag(signs) @ right
    return np.column_stack([linear, target_mean - linear @ source_mean])


def crop_points(picture: np.ndarray, points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The face whose five points lie where ArcFace has them, scaled to another size: uint8 [height, width, 3].

    What lies outside the picture is black. A face that gets smaller by more than half is averaged down first.
    """
    scales = np.array([width, height]) / ARCFACE_PIXELS
    matrix = similarity(points, (ARCFACE_POINTS + 0.5) * scales - 0.5)
    image = Image.fromarray(picture)
    factor = max(1, int(1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))))
    reduced = image.reduce(factor) if factor > 1 else image
    # Pillow asks where each pixel comes from, and counts from the corner of the first pixel, not from its middle.
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    back[:, 2] += 0.5 - back[:, :2] @ [0.5, 0.5]
    warped = reduced.transform(
        (width, height), Image.Transform.AFFINE, (back / factor).ravel().tolist(), Image.Resampling.BILINEAR
    )
    return np.asarray(warped)


def crop_box(picture: np.ndarray, box: np.ndarray, pixels: int, margin: int = 0) -> np.ndarray:
    """The box (left, top, right, bottom) with a margin, resized to uint8 [pixels, pixels, 3].

    `margin` is what both sides together take of the `pixels`. As `extract_face` of facenet-pytorch.
    """
    height, width = picture.shape[:2]
    x, y = margin * (box[2:] - box[:2]) / (pixels - margin) / 2
    corners = (max(box[0] - x, 0), max(box[1] - y, 0), min(box[2] + x, width), min(box[3] + y, height))
    left, top, right, bottom = (int(value) for value in corners)
    return resize(picture[top:bottom, left:right], pixels, pixels)


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A whole picture as uint8 [height, width, 3]; its shape is not kept."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
