"""Named colours of drawn people, RGB from 0 to 255.

Skin, hair and eyes run from dark to light, so that a place between two entries is a colour too.
"""

from __future__ import annotations

from collections.abc import Sequence

Colour = tuple[float, float, float]

SKIN: tuple[Colour, ...] = (
    (112, 74, 54),
    (142, 96, 68),
    (174, 122, 86),
    (204, 154, 116),
    (222, 174, 138),
    (238, 194, 162),
    (248, 210, 184),
    (253, 226, 208),
)
HAIR: tuple[Colour, ...] = (
    (36, 30, 30),
    (52, 40, 34),
    (80, 56, 42),
    (110, 72, 48),
    (144, 100, 64),
    (178, 140, 92),
    (222, 190, 132),
)
RED_HAIR: Colour = (176, 88, 46)
GREY_HAIR: tuple[Colour, ...] = ((128, 126, 126), (160, 158, 156), (206, 203, 198))
EYES: tuple[Colour, ...] = (
    (56, 36, 26),
    (92, 58, 34),
    (128, 94, 50),
    (98, 118, 74),
    (88, 132, 152),
    (96, 146, 194),
)
LIPSTICK: tuple[Colour, ...] = ((172, 44, 60), (194, 74, 88), (150, 58, 72), (210, 100, 98))
BLOOD: Colour = (186, 74, 74)
"""What reddens lips."""
SHINE: Colour = (255, 238, 214)
"""What light adds to hair and irises."""
PUPIL: Colour = (14, 12, 12)
HIGHLIGHT: Colour = (252, 252, 252)
LASHES: Colour = (30, 22, 20)
EYE_WHITE: Colour = (240, 234, 230)
TEETH: Colour = (240, 234, 222)
MOUTH_INSIDE: Colour = (84, 30, 32)
FRAMES: tuple[Colour, ...] = ((26, 26, 30), (92, 56, 36), (132, 36, 40), (42, 64, 108), (150, 138, 116))
CLOTHES: tuple[Colour, ...] = (
    (40, 44, 54),
    (66, 86, 126),
    (142, 50, 54),
    (68, 106, 80),
    (196, 190, 180),
    (226, 224, 224),
    (114, 80, 114),
    (192, 144, 72),
    (98, 100, 104),
    (62, 132, 142),
)
BACKDROP: tuple[Colour, ...] = (
    (200, 204, 210),
    (152, 170, 188),
    (182, 164, 144),
    (122, 138, 126),
    (216, 208, 194),
    (94, 100, 114),
    (170, 124, 110),
    (72, 94, 118),
)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with `share` (0 to 1) of `other` in it."""
    r, g, b = (a + (c - a) * share for a, c in zip(one, other, strict=True))
    return r, g, b


def darken(colour: Colour, factor: float) -> Colour:
    """`colour` times `factor`; above 1 it lightens."""
    r, g, b = (min(255.0, channel * factor) for channel in colour)
    return r, g, b


def between(palette: Sequence[Colour], place: float) -> Colour:
    """The colour at `place` of a palette, 0 its first entry and 1 its last."""
    index, share = divmod(min(max(place, 0.0), 1.0) * (len(palette) - 1), 1)
    first = int(index)
    return mix(palette[first], palette[min(first + 1, len(palette) - 1)], share)
