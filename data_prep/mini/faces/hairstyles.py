"""How hair can be worn; lengths in the head units of `data_prep.mini.faces.looks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class HairStyle:
    """The shape of hair that has not receded.

    Attributes:
        top: thickness over the skull.
        side: thickness beside the temples.
        front: y where it ends beside the face.
        back: y where it ends behind the neck.
        fringe: how far it falls on the forehead; 1: to the brows, below 0: brushed back.
        part: x of the parting; 0: none, it is combed forward or back.
        wave: waves of the outline, 0 to 1.
        curl: curls, 0 to 1.
        knot: what is tied behind the head.
    """

    top: float
    side: float
    front: float
    back: float
    fringe: float = 0.0
    part: float = 0.0
    wave: float = 0.0
    curl: float = 0.0
    knot: Literal["", "bun", "tail"] = ""


WOMENS_STYLES = {
    "long straight": HairStyle(0.10, 0.09, 1.9, 1.9, part=0.06),
    "long wavy": HairStyle(0.14, 0.14, 1.9, 1.9, part=0.24, wave=1.0),
    "bob": HairStyle(0.12, 0.14, 0.72, 0.85, fringe=0.2, part=0.25),
    "bob with fringe": HairStyle(0.11, 0.13, 0.66, 0.8, fringe=1.0),
    "long with fringe": HairStyle(0.11, 0.10, 1.9, 1.9, fringe=0.95),
    "bun": HairStyle(0.07, 0.03, 0.06, 0.3, knot="bun"),
    "ponytail": HairStyle(0.08, 0.04, 0.05, 0.3, fringe=0.3, part=0.3, knot="tail"),
    "pixie": HairStyle(0.13, 0.07, 0.25, 0.3, fringe=0.7, part=-0.3),
    "cloud": HairStyle(0.24, 0.28, 0.6, 0.8, fringe=0.3, curl=1.0),
    "long curls": HairStyle(0.18, 0.2, 1.5, 1.6, fringe=0.1, part=-0.2, curl=0.7),
}
MENS_STYLES = {
    "crop": HairStyle(0.08, 0.035, 0.05, 0.3, fringe=0.25),
    "buzz cut": HairStyle(0.025, 0.012, 0.0, 0.3),
    "side part": HairStyle(0.13, 0.05, 0.1, 0.3, fringe=0.3, part=0.34),
    "quiff": HairStyle(0.22, 0.04, 0.04, 0.3, fringe=-0.25, part=-0.15),
    "mop": HairStyle(0.17, 0.08, 0.22, 0.3, fringe=0.8, part=-0.25, wave=0.4),
    "curls": HairStyle(0.18, 0.10, 0.12, 0.4, fringe=0.35, curl=0.8),
    "to the shoulders": HairStyle(0.10, 0.09, 1.1, 1.3, part=0.06, wave=0.5),
}
WOMENS_SHARES = (0.12, 0.12, 0.12, 0.1, 0.1, 0.1, 0.12, 0.08, 0.07, 0.07)
MENS_SHARES = (0.25, 0.13, 0.22, 0.14, 0.09, 0.12, 0.05)
"""How common each style is."""
