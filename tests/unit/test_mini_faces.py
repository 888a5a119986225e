"""Drawn faces: determinism, what tells people apart, and that each attribute shows where it should."""

from dataclasses import replace

import numpy as np
import pytest

from data_prep.mini.faces import draw_looks, draw_picture, draw_sitting
from data_prep.mini.faces.hairstyles import MENS_STYLES

SEEDS = range(8)
GREEN = (0.0, 255.0, 0.0)


def looks_of(seed, **changed):
    attributes = {"sex": "male", "age": 30.0, "size": 0.0, "energy": 0.0} | changed
    return draw_looks(np.random.default_rng(seed), **attributes)


def studio(**light):
    """A sitting without noise before a green screen, in even light unless told otherwise."""
    sitting = draw_sitting(np.random.default_rng(1))
    even = {"x": 0.0, "y": -0.3, "ambient": 0.6, "brightness": 1.0, "tint": (1.0, 1.0, 1.0)}
    light = replace(sitting.light, **(even | light))
    return replace(sitting, light=light, backdrop=(GREEN, GREEN), blur=0.2, noise=0.0, zoom=1.0)


def picture(looks, sitting=None, seed=3):
    """As numbers [112, 112, 3]."""
    drawn = draw_picture(looks, sitting or studio(), np.random.default_rng(seed))
    return np.asarray(drawn, dtype=np.float64)


def person(pixels):
    """Where the green screen is hidden."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    return green < 1.4 * np.maximum(red, blue) + 20


def in_crop(looks):
    return replace(looks, hair=replace(looks.hair, style=MENS_STYLES["crop"]))


def jaw_width(looks):
    """Pixels between the cheeks at the height of the mouth; short hair is below nobody's ears."""
    return person(picture(in_crop(looks)))[78].sum()


def draw_all(seed):
    rng = np.random.default_rng(seed)
    looks = draw_looks(rng, sex="female", age=45, size=0.3, energy=-0.2)
    return draw_picture(looks, draw_sitting(rng), rng)


def test_same_state_gives_same_bytes():
    assert draw_all(5).tobytes() == draw_all(5).tobytes()
    assert draw_all(5).tobytes() != draw_all(6).tobytes()


@pytest.mark.parametrize("pixels", [64, 112, 160])
def test_size_and_mode(pixels):
    rng = np.random.default_rng(0)
    drawn = draw_picture(looks_of(0), draw_sitting(rng), rng, pixels)
    assert (drawn.mode, drawn.size) == ("RGB", (pixels, pixels))
    assert np.asarray(drawn).std() > 20


def test_picture_is_the_same_at_other_sizes():
    small = draw_picture(looks_of(0), studio(), np.random.default_rng(3), 56)
    large = draw_picture(looks_of(0), studio(), np.random.default_rng(3), 224).reduce(4)
    assert np.abs(np.asarray(small, dtype=float) - np.asarray(large, dtype=float)).mean() < 5


def test_face_fills_the_frame():
    covered = np.mean([person(picture(looks_of(seed))) for seed in SEEDS], axis=0)
    assert covered[30:90, 40:72].min() == 1
    assert covered[:60, :10].max() == 0
    assert 0.4 < covered.mean() < 0.75


def test_people_differ():
    drawn = [picture(looks_of(seed)) for seed in range(16)]
    distances = [np.abs(a - b).mean() for i, a in enumerate(drawn) for b in drawn[:i]]
    assert min(distances) > 4


def test_pictures_of_one_person_are_alike():
    rng = np.random.default_rng(2)
    people = [looks_of(seed, sex=("female", "male")[seed % 2], age=20.0 + 2 * seed) for seed in range(24)]
    sitting = draw_sitting(rng)
    first, second = (
        np.stack([np.asarray(draw_picture(looks, sitting, rng).reduce(4), dtype=float) for looks in people])
        for _ in range(2)
    )
    assert np.abs(first - second).mean(axis=(1, 2, 3)).min() > 1.5  # pose and expression change
    distances = np.abs(first[:, None] - second[None]).mean(axis=(2, 3, 4))
    assert (distances.argmin(axis=1) == np.arange(len(people))).mean() > 0.7
    others = distances[~np.eye(len(people), dtype=bool)]
    assert np.diag(distances).mean() < 0.6 * others.mean()


def test_sittings_differ():
    looks = looks_of(0)
    drawn = [picture(looks, draw_sitting(np.random.default_rng(seed))) for seed in SEEDS]
    assert min(np.abs(a - b).mean() for i, a in enumerate(drawn) for b in drawn[:i]) > 8


def test_private_looks_do_not_depend_on_shared_attributes():
    states, private = set(), set()
    for changed in ({}, {"sex": "female"}, {"age": 75.0}, {"size": 1.0}, {"energy": -1.0}):
        rng = np.random.default_rng(7)
        looks = draw_looks(rng, **({"sex": "male", "age": 30.0, "size": 0.0, "energy": 0.0} | changed))
        states.add(rng.bit_generator.state["state"]["state"])
        private.add((looks.skin, looks.eyes.colour, looks.frame_colour, looks.texture))
    assert len(states) == len(private) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [({"age": 25.0}, {"age": 70.0}), ({"size": -1.0}, {"size": 1.0}), ({"energy": -1.0}, {"energy": 1.0}),
     ({"sex": "female"}, {"sex": "male"})],
)  # fmt: skip
def test_each_shared_attribute_shows(one, other):
    for seed in SEEDS:
        assert np.abs(picture(looks_of(seed, **one)) - picture(looks_of(seed, **other))).mean() > 0.5


def test_age_greys_and_wrinkles():
    def crown(looks):
        pixels = picture(looks)[10:16, 46:66]
        return pixels.max(axis=2).mean(), np.ptp(pixels, axis=2).mean() / pixels.mean()

    young, old = (
        np.mean([crown(looks_of(seed, sex="female", age=age)) for seed in SEEDS], axis=0)
        for age in (25.0, 75.0)
    )
    assert old[0] > young[0] + 20  # lighter
    assert old[1] < 0.7 * young[1]  # less coloured

    def forehead(age):
        looks = in_crop(looks_of(0, age=age))
        looks = replace(looks, hair=replace(looks.hair, recession=1.0))
        return np.abs(np.diff(picture(looks)[28:44, 50:62], axis=0)).mean()

    assert forehead(75.0) > 1.5 * forehead(20.0)


def test_men_lose_hair_with_age():
    lost = [[looks_of(seed, age=age).hair.recession for seed in range(40)] for age in (20.0, 45.0, 70.0)]
    means = np.mean(lost, axis=1)
    assert means[0] == 0
    assert 0.02 < means[1] < means[2] < 0.8
    assert all(looks_of(seed, sex="female", age=70.0).hair.recession == 0 for seed in range(40))


def test_size_widens_the_jaw():
    slight, middle, large = (
        np.mean([jaw_width(looks_of(seed, size=size)) for seed in SEEDS]) for size in (-1.0, 0.0, 1.0)
    )
    assert slight + 4 < middle < large - 4


def test_men_have_broader_jaws():
    women, men = (
        np.mean([jaw_width(looks_of(seed, sex=sex)) for seed in SEEDS]) for sex in ("female", "male")
    )
    assert men > women + 4


def test_energy_opens_the_eyes():
    def whites(seed, energy):
        looks = replace(looks_of(seed, energy=energy), skin=(120.0, 80.0, 60.0), glasses="")
        return (picture(in_crop(looks))[44:62].min(axis=2) > 130).sum()

    drowsy, lively = (np.mean([whites(seed, energy) for seed in SEEDS]) for energy in (-1.0, 1.0))
    assert lively > 1.3 * drowsy > 0


def test_lamp_lights_its_side():
    for seed in SEEDS:
        looks = in_crop(looks_of(seed))
        left, right = (
            picture(looks, studio(x=x, ambient=0.4))[40:90, 36:76].mean(axis=(0, 2)) for x in (-0.8, 0.8)
        )
        assert left[:15].mean() > right[:15].mean() + 5
        assert left[-15:].mean() < right[-15:].mean() - 5


@pytest.mark.parametrize(
    "changed",
    [{"sex": "f"}, {"age": 17.9}, {"age": 80.1}, {"age": float("nan")}, {"size": 1.01}, {"energy": -1.01}],
)
def test_attribute_out_of_range(changed):
    (name,) = changed
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        looks_of(0, **changed)
