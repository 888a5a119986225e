"""MTCNN on real photographs, on what is none, and where it would fail."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

from cmd_speaker.faces.detection import FaceDetector
from tests.faces import grace_hopper

BOXES, POINTS = np.array([[0, 0, 40, 40], [50, 50, 60, 60]]), np.arange(20).reshape(2, 5, 2)
FOUND = {
    0: (None, np.array([None]), None),
    1: (BOXES, np.array([0.8, 0.95]), POINTS),
    2: (BOXES, np.array([0.93, 0.99]), POINTS),
    3: (BOXES, np.array([0.7, 0.8]), POINTS),
}
"""What the network that stands in for MTCNN finds, by the pictures' first pixel."""


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


def astronaut():
    """Eileen Collins, a photograph of NASA in the public domain that comes with scikit-image."""
    return data.astronaut()


@pytest.mark.parametrize(
    ("photograph", "centre", "height", "width"),
    [(grace_hopper, (265, 232), 200, 86), (astronaut, (224, 120), 125, None)],
)
def test_one_face_where_it_is(detector, photograph, centre, height, width):
    """Places read off the photographs by eye: the face's middle and height, the distance of the eyes."""
    picture = photograph()
    face = detector.detect([picture])[0]
    left, top, right, bottom = face.box
    assert face.found == 1
    assert face.probability > 0.99
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx(centre, abs=25)
    assert bottom - top == pytest.approx(height, rel=0.3)
    eyes, nose, mouth = face.points[:2], face.points[2], face.points[3:]
    assert width is None or np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(width, rel=0.1)
    assert eyes[0, 0] < nose[0] < eyes[1, 0]
    assert mouth[0, 0] < mouth[1, 0]
    assert eyes[:, 1].max() < nose[1] < mouth[:, 1].min()
    assert ((face.points >= face.box[:2]) & (face.points <= face.box[2:])).all()


def test_places_are_those_of_the_picture_as_it_was(detector):
    """Half as many pixels, half the numbers; both are looked at in another size again."""
    picture = np.asarray(Image.fromarray(grace_hopper()).resize((1024, 1200)))
    large, small = detector.detect([picture, picture[::8, ::8]])
    assert small.box * 8 == pytest.approx(large.box, abs=40)
    assert small.points * 8 == pytest.approx(large.points, abs=40)


def test_pictures_without_a_face(detector):
    noise = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    pictures = [
        load_sample_image("flower.jpg"),
        noise,
        np.zeros((1, 2, 3), np.uint8),
        np.full((1, 5000, 3), 255, np.uint8),
    ]
    assert detector.detect(pictures) == [None] * 4
    assert detector.detect([noise, noise]) == [None, None]
    assert detector.detect([]) == []


def test_order_and_size_do_not_matter(detector):
    face, flower = grace_hopper(), load_sample_image("flower.jpg")
    other = np.asarray(Image.fromarray(face).resize((256, 300)))
    found = detector.detect([flower, face, other, flower, face])
    assert [each is None for each in found] == [True, False, False, True, False]
    assert found[1].box == pytest.approx(found[4].box, abs=0.01)


def test_the_orl_faces_are_found(detector, shared_data):
    folder = shared_data / "orl_faces"
    if not folder.is_dir():
        pytest.skip(f"the photographs are not there: {folder}")
    pictures = [np.asarray(Image.open(folder / f"s{k}" / "1.pgm").convert("RGB")) for k in range(1, 41)]
    faces = detector.detect(pictures)
    assert sum(face is not None and face.probability > 0.9 for face in faces) == 40
    assert [face.found for face in faces] == [1] * 40


class Network:
    """Stands in for MTCNN; loses count, as that does, on a picture whose first pixel is 9."""

    def detect(self, pictures, landmarks):
        assert landmarks
        kinds = pictures[:, 0, 0, 0].tolist()
        if 9 in kinds:
            raise IndexError("The shape of the mask does not match")
        return tuple(zip(*(FOUND[kind] for kind in kinds), strict=True))


def test_the_largest_sure_face_is_chosen_and_the_surest_where_none_is(detector, monkeypatch):
    monkeypatch.setattr(detector, "network", Network())
    pictures = [np.full((200, 200, 3), kind, np.uint8) for kind in (1, 2, 3)]
    faces = detector.detect(pictures)
    assert [(face.probability, face.box[0], face.found) for face in faces] == [
        (0.95, 50, 1), (0.93, 0, 2), (0.8, 50, 0),
    ]  # fmt: skip
    assert faces[1].points.tolist() == np.arange(10).reshape(5, 2).tolist()


def test_a_picture_on_which_the_network_fails_costs_no_other_its_face(detector, monkeypatch):
    monkeypatch.setattr(detector, "network", Network())
    pictures = [np.full((200, 200, 3), kind, np.uint8) for kind in (2, 9, 0, 1)]
    assert [face and face.probability for face in detector.detect(pictures)] == [0.93, None, None, 0.95]


def test_the_random_state_is_left_alone():
    before = torch.get_rng_state()
    FaceDetector()
    assert torch.equal(torch.get_rng_state(), before)
