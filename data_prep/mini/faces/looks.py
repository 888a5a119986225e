"""What a drawn person looks like in all pictures.

Lengths are in head units: 1 is half of the head's height, the origin lies between the eyes, x points to the
picture's right and y down. So the skull ends at y = -1 and an average chin at y = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data_prep.mini.faces import palettes
from data_prep.mini.faces.hairstyles import MENS_SHARES, MENS_STYLES, WOMENS_SHARES, WOMENS_STYLES, HairStyle
from data_prep.mini.faces.palettes import Colour

SEXES = ("female", "male")
YOUNGEST, OLDEST = 18.0, 80.0
"""Years."""
BEARDS = ("stubble", "stubble", "full", "full", "goatee", "moustache")
"""A man's beard is one of these, so the first two are the commonest."""


@dataclass(frozen=True)
class Head:
    """Half widths of face, jaw, chin and neck; y of the chin; how much the ears stand out (0 to 1)."""

    width: float
    jaw: float
    chin_width: float
    chin: float
    neck: float
    ears: float
    cheekbones: float


@dataclass(frozen=True)
class Eyes:
    """Half distance between the eyes, half width and height of one; `tilt` lifts the outer corner.

    `openness` scales the lids' distance, `lashes` (0 to 1) is their strength.
    """

    colour: Colour
    distance: float
    width: float
    height: float
    tilt: float
    openness: float
    lashes: float


@dataclass(frozen=True)
class Brows:
    """Height over the eye's centre, arch, thickness, length; `slope` lifts the inner end."""

    height: float
    arch: float
    thickness: float
    length: float
    slope: float
    colour: Colour


@dataclass(frozen=True)
class Nose:
    """y of the base, half widths at the wings and of the bridge, how far it stands out."""

    base: float
    width: float
    bridge: float
    relief: float


@dataclass(frozen=True)
class Mouth:
    """y, half width, heights of the two lips; `corners` lifts the resting corners."""

    y: float
    width: float
    upper: float
    lower: float
    corners: float
    colour: Colour


@dataclass(frozen=True)
class Hair:
    """Style and colour, y of the hairline, how far it has receded (0: not, 1: bald), thickness factor."""

    style: HairStyle
    colour: Colour
    line: float
    recession: float
    volume: float


@dataclass(frozen=True)
class Looks:
    """What does not change about a person: the four attributes a voice may share, and private ones.

    `skin`, `eyes`, ... hold the shared attributes' effects already. `beard` is one of "", "stubble",
    "moustache", "goatee", "full"; `glasses` is "", "round" or "square"; `wrinkles` and `sag` run from 0 to 1;
    `freckles` is their strength (0: none), `mole` its place or None; `texture` seeds hair and skin details.
    """

    sex: str
    age: float
    size: float
    energy: float
    skin: Colour
    head: Head
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    hair: Hair
    beard: str
    glasses: str
    frame_colour: Colour
    wrinkles: float
    sag: float
    freckles: float
    mole: tuple[float, float] | None
    texture: int


def draw_looks(rng: np.random.Generator, *, sex: str, age: float, size: float, energy: float) -> Looks:
    """A person with the given shared attributes; all that is private is drawn from `rng`.

    Args:
        rng: the source of what no voice could know: colours, features, hair, glasses.
        sex: "female" or "male".
        age: years, 18 to 80: wrinkles, grey and receding hair, sagging.
        size: -1 (slight) to 1 (large): breadth of face, jaw and neck.
        energy: -1 (drowsy) to 1 (lively): resting brows, lids and mouth corners.

    The number of values drawn does not depend on the attributes: with one seed, people who differ in one
    attribute share all that is private.

    Raises `ValueError`, naming the argument that is out of its range.
    """
    if sex not in SEXES:
        raise ValueError(f"sex must be one of {', '.join(SEXES)}, not {sex!r}")
    for name, value, low, high in (
        ("age", age, YOUNGEST, OLDEST), ("size", size, -1.0, 1.0), ("energy", energy, -1.0, 1.0),
    ):  # fmt: skip
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low:g} to {high:g}, not {value!r}")
    male = sex == "male"
    old = ((age - YOUNGEST) / (OLDEST - YOUNGEST)) ** 1.3
    tone = rng.uniform() ** 0.8
    skin = palettes.between(palettes.SKIN, tone)
    hair, natural = _draw_hair(rng, male, age, tone)
    head = _draw_head(rng, male, old, size)
    eyes = _draw_eyes(rng, male, old, energy, tone, head.width)
    brows = _draw_brows(rng, male, energy, palettes.mix(natural, hair.colour, 0.6))
    nose = _draw_nose(rng, male, old, head.width)
    mouth = _draw_mouth(rng, male, old, energy, skin, head)
    beard = _draw_beard(rng, male, age)
    with_glasses, round_frames, frame, freckled, with_mole = rng.uniform(size=5)
    mole = (float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.25, 0.8)))
    return Looks(
        sex=sex, age=age, size=size, energy=energy, skin=skin, head=head, eyes=eyes, brows=brows, nose=nose,
        mouth=mouth, hair=hair, beard=beard,
        glasses=("round" if round_frames < 0.45 else "square") if with_glasses < 0.15 + 0.2 * old else "",
        frame_colour=palettes.FRAMES[int(frame * len(palettes.FRAMES))],
        wrinkles=float(old * rng.uniform(0.8, 1.0)), sag=float(old * rng.uniform(0.7, 1.0)),
        freckles=float(max(0.0, freckled - 0.8) * 5 * (tone > 0.5)),
        mole=mole if with_mole < 0.15 else None, texture=int(rng.integers(2**31)),
    )  # fmt: skip


def _draw_hair(rng: np.random.Generator, male: bool, age: float, tone: float) -> tuple[Hair, Colour]:
    """Hair, and the colour it had before it went grey."""
    style, shade, red, greying, whiteness, receding, cut = rng.uniform(size=7)
    line, volume, part = rng.uniform(-0.68, -0.54), rng.uniform(0.75, 1.3), rng.choice((-1.0, 1.0))
    styles, shares = (MENS_STYLES, MENS_SHARES) if male else (WOMENS_STYLES, WOMENS_SHARES)
    chosen = list(styles.values())[min(int(np.searchsorted(np.cumsum(shares), style)), len(styles) - 1)]
    if part < 0:
        chosen = replace(chosen, part=-chosen.part)
    # Most old women wear it short.
    if age > 58 and cut < 0.75:
        chosen = replace(chosen, front=min(chosen.front, 0.72), back=min(chosen.back, 0.82))
    # Light hair goes with light skin only.
    natural = palettes.between(palettes.HAIR, shade * min(1.0, 0.12 + 2.2 * max(0.0, tone - 0.4)))
    if red < 0.1 and tone > 0.6:
        natural = palettes.RED_HAIR
    grey = float(np.clip((age - 36 - 14 * greying) / 24, 0, 1))
    lost = 0.0
    if male:
        lost = float(np.clip(1.7 * (receding - 0.3) * np.clip((age - 22) / 38, 0, 1.2), 0, 1))
    colour = palettes.mix(natural, palettes.between(palettes.GREY_HAIR, whiteness * grey), grey)
    return Hair(chosen, colour, line, lost, volume), natural


def _draw_head(rng: np.random.Generator, male: bool, old: float, size: float) -> Head:
    width, jaw, chin_width, chin, ears, cheekbones = rng.uniform(-1, 1, size=6)
    half = 0.70 + 0.02 * male + 0.035 * width + 0.062 * size
    return Head(
        width=half,
        jaw=half * (0.75 + 0.09 * male + 0.04 * jaw + 0.06 * size + 0.03 * old),
        chin_width=0.19 + 0.1 * male + 0.06 * chin_width + 0.03 * size,
        chin=0.97 + 0.03 * male + 0.05 * chin - 0.01 * size,
        neck=0.37 + 0.1 * male + 0.07 * size,
        ears=0.4 + 0.4 * ears + 0.2 * old,
        cheekbones=cheekbones + 0.2 - 0.5 * old,
    )


def _draw_eyes(
    rng: np.random.Generator, male: bool, old: float, energy: float, tone: float, width: float
) -> Eyes:
    colour, distance, wide, high, tilt, lashes = rng.uniform(size=6)
    return Eyes(
        # Light eyes go with light skin only.
        colour=palettes.between(palettes.EYES, colour * min(1.0, 0.1 + 1.8 * max(0.0, tone - 0.4))),
        distance=(0.29 + 0.06 * distance) * width / 0.72,
        width=0.145 + 0.04 * wide + (0.0 if male else 0.008),
        height=0.135 + 0.05 * high - (0.025 if male else 0.0) - 0.02 * old,
        tilt=-0.03 + 0.07 * tilt - 0.03 * old,
        openness=0.96 + 0.23 * energy - 0.1 * old,
        lashes=0.1 * lashes if male else 0.65 + 0.4 * lashes - 0.25 * old,
    )


def _draw_brows(rng: np.random.Generator, male: bool, energy: float, colour: Colour) -> Brows:
    height, arch, thickness, length, slope = rng.uniform(size=5)
    return Brows(
        height=0.205 + 0.05 * height + 0.055 * energy - (0.03 if male else 0.0),
        arch=0.015 + 0.06 * arch + (0.0 if male else 0.015),
        thickness=0.034 + 0.03 * thickness + (0.026 if male else 0.0),
        length=0.2 + 0.05 * length,
        slope=-0.03 + 0.04 * slope - 0.035 * energy,
        colour=colour,
    )


def _draw_nose(rng: np.random.Generator, male: bool, old: float, width: float) -> Nose:
    base, wide, bridge, relief = rng.uniform(size=4)
    return Nose(
        base=0.37 + 0.1 * base + 0.02 * male + 0.03 * old,
        width=(0.115 + 0.075 * wide + 0.02 * male + 0.01 * old) * width / 0.72,
        bridge=0.04 + 0.03 * bridge,
        relief=0.8 + 0.5 * relief,
    )


def _draw_mouth(
    rng: np.random.Generator, male: bool, old: float, energy: float, skin: Colour, head: Head
) -> Mouth:
    place, width, upper, lower, made_up, lipstick = rng.uniform(size=6)
    colour = palettes.mix(palettes.darken(skin, 0.94), palettes.BLOOD, 0.26 if male else 0.52)
    if not male and made_up < 0.5:
        colour = palettes.mix(colour, palettes.LIPSTICK[int(lipstick * len(palettes.LIPSTICK))], 0.7)
    thin = (0.85 if male else 1.0) * (1 - 0.4 * old)
    return Mouth(
        y=0.66 + 0.05 * place,
        width=(0.215 + 0.07 * width + 0.01 * male) * head.width / 0.72,
        upper=(0.045 + 0.035 * upper) * thin,
        lower=(0.065 + 0.045 * lower) * thin,
        corners=0.014 + 0.038 * energy - 0.01 * old,
        colour=colour,
    )


def _draw_beard(rng: np.random.Generator, male: bool, age: float) -> str:
    bearded, kind = rng.uniform(size=2)
    if not male or bearded > 0.6 or age < 22:
        return ""
    return BEARDS[int(kind * len(BEARDS))]
