"""Alignment: Umeyama's own example, a hand-worked turn, and where the parts of a face come to lie."""

import numpy as np
import pytest
from PIL import Image

from cmd_speaker.faces.alignment import ARCFACE_POINTS, crop_box, crop_points, similarity


def test_a_hand_worked_turn():
    """Turned by 90 degrees, (x, y) to (-y, x), doubled and shifted by (10, 5): (3, 1) to (-2, 6) to (8, 11)."""
    source = np.array([[0, 0], [1, 0], [0, 1], [3, 1]], float)
    target = np.array([[10, 5], [10, 7], [8, 5], [8, 11]], float)
    assert similarity(source, target) == pytest.approx(np.array([[0, -2, 10], [2, 0, 5]]), abs=1e-12)


def test_the_example_of_umeyama_1991_where_a_reflection_would_be_nearer():
    """Section IV: c = 0.721, R = (0.832 0.555; -0.555 0.832), t = (-0.800, 0.400)."""
    found = similarity(np.array([[0, 0], [1, 0], [0, 2.0]]), np.array([[0, 0], [-1, 0], [0, 2.0]]))
    rotation = np.array([[0.832, 0.555], [-0.555, 0.832]])
    assert found[:, :2] == pytest.approx(0.721 * rotation, abs=2e-3)
    assert found[:, 2] == pytest.approx([-0.8, 0.4], abs=1e-3)
    assert np.linalg.det(found[:, :2]) > 0


def spots(points, shape, radius):
    """White spots, blurred at the edge, at points (x, y) of a black picture."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    grey = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)) for px, py in points)
    return np.repeat((255 * np.clip(grey, 0, 1)).round().astype(np.uint8)[..., None], 3, axis=2)


def centre_near(crop, point, reach):
    """The centre of gravity of what is bright around a point (x, y)."""
    left, top = (int(value) for value in np.round(point) - reach)
    window = crop[top : top + 2 * reach + 1, left : left + 2 * reach + 1, 0].astype(float)
    y, x = np.mgrid[: window.shape[0], : window.shape[1]]
    return np.array([(x * window).sum(), (y * window).sum()]) / window.sum() + (left, top)


@pytest.mark.parametrize(("scale", "degrees"), [(0.8, 0), (1.0, 20), (1.7, -35), (4.5, 12)])
def test_eyes_nose_and_mouth_come_to_lie_where_arcface_has_them(scale, degrees):
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ARCFACE_POINTS @ turn.T
    points += 40 * scale - points.min(0)
    picture = spots(points, np.ceil(points.max(0) + 40 * scale).astype(int)[::-1], 1.5 * scale)
    crop = crop_points(picture, points, 112, 112)
    assert (crop.shape, crop.dtype) == ((112, 112, 3), np.uint8)
    for wanted in ARCFACE_POINTS:
        assert centre_near(crop, wanted, 6) == pytest.approx(wanted, abs=0.1)


def test_other_sizes_scale_the_places():
    """The middle of pixel k of 112 is at 2 (k + 1/2) - 1/2 of 224."""
    picture = spots(ARCFACE_POINTS, (112, 112), 2)
    crop = crop_points(picture, ARCFACE_POINTS, 224, 224)
    for point in ARCFACE_POINTS:
        assert centre_near(crop, 2 * point + 0.5, 9) == pytest.approx(2 * point + 0.5, abs=0.2)


def test_what_is_outside_the_picture_is_black():
    picture = np.full((112, 60, 3), 200, np.uint8)
    crop = crop_points(picture, ARCFACE_POINTS, 112, 112)
    assert (crop[:, :59] == 200).all()
    assert (crop[:, 61:] == 0).all()


@pytest.mark.parametrize("box", [(30.7, 20.2, 90.1, 110.9), (-5.0, -9.0, 200.0, 130.0)])
def test_the_crop_of_a_box_is_that_of_facenet_pytorch(box):
    import facenet_pytorch as facenet

    picture = np.random.default_rng(0).integers(0, 256, (120, 150, 3), np.uint8)
    theirs = facenet.extract_face(Image.fromarray(picture), np.array(box), image_size=80, margin=10)
    ours = crop_box(picture, np.array(box), 80, 10)
    assert np.array_equal(ours, theirs.permute(1, 2, 0).numpy().astype(np.uint8))
