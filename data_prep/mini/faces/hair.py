"""Hair of the head, behind the face and before it, and beards.

A half of the hair before the face lies between an inner line (parting, forehead, temple, tips) and an outer one
(crown, side, tips); strands run between the two.
"""

from __future__ import annotations

import numpy as np

from data_prep.mini.faces import palettes
from data_prep.mini.faces.canvas import Canvas, Points, curve, ribbon
from data_prep.mini.faces.features import CIRCLE, SIDES, outline
from data_prep.mini.faces.looks import Hair, Looks
from data_prep.mini.faces.palettes import Colour, darken, mix

EAR = 0.15
"""y below which hair is long: it falls, and covers the ears."""
STRANDS = 22
"""Strands or curls painted on each half."""
SHAVEN = 0.09
"""How much of its colour a beard leaves on shaven skin."""
CROWN = np.array([0.0, -1.0, 0.0])
"""Whence hair without a parting is combed: x, y, depth."""
BALD = 0.72
"""Recession from which only a wreath is left."""


def draw_back_hair(canvas: Canvas, looks: Looks) -> None:
    """What hangs behind the neck, and a bun or tail."""
    hair, style, head = looks.hair, looks.hair.style, looks.head
    dark = darken(hair.colour, 0.66)
    if style.knot == "bun":
        for scale, paint in ((1.0, dark), (0.8, darken(hair.colour, 0.9))):
            bun = CIRCLE * (0.3 * scale * hair.volume, 0.2 * scale) + (0, -1.04 - style.top)
            canvas.fill(canvas.at(bun, -0.3), paint)
    if style.knot == "tail":
        side = 1.0 if style.part < 0 else -1.0
        tail = np.array([(0.5, 0.0), (0.85, 0.1), (0.95, 0.7), (0.8, 1.5), (0.5, 1.5), (0.55, 0.6)]) * (
            side,
            1,
        )
        canvas.fill(canvas.at(curve(tail, closed=True), -0.3), dark)
    if style.back < 0.5 or hair.recession > BALD:
        return
    out = head.width + style.side * hair.volume
    tip = 0.9 - 0.25 * style.curl
    right = np.array([(0.5, -0.6), (0.9, -0.2), (0.98, 0.2), (1, 0.6 * style.back), (tip, style.back)]) * (
        out,
        1,
    )
    line = _rough(curve(np.concatenate([right[::-1] * (-1, 1), right])), hair)
    canvas.fill(canvas.at(line, -0.25), dark)
    hanging = curve(np.array([(0.85, 0.0), (1, 0.5 * style.back), (0.93, style.back)]))
    for number, place in enumerate(np.linspace(-0.95, 0.95, 11)):
        strand = canvas.at(hanging * (place * out, 1), -0.25)
        canvas.line(strand, _toned(dark, (0.8, 1.1)[number % 2]), 0.5)


def draw_front_hair(canvas: Canvas, looks: Looks) -> None:
    """What lies on the skull and falls beside the face."""
    hair = looks.hair
    colour = hair.colour if hair.style.top > 0.05 else mix(hair.colour, looks.skin, 0.3)
    halves = _lines(looks)
    edges = [np.concatenate([inner, outer[::-1]]) for inner, outer in halves]
    for edge in edges:
        canvas.shadow(canvas.at(np.add(edge[:, :2], (0, 0.06)), edge[:, 2]), 0.25)
    for edge in edges:
        canvas.cover(canvas.at(edge[:, :2], edge[:, 2]), colour)
    rng = np.random.default_rng(looks.texture)
    for inner, outer in halves:
        if hair.style.curl:
            _draw_curls(canvas, inner, outer, colour, rng)
        else:
            _draw_strands(canvas, inner, outer, hair, colour, rng)


def _lines(looks: Looks) -> list[tuple[Points, Points]]:
    """Inner and outer line of the left and of the right half, from top to tips, [n, 3] of (x, y, depth)."""
    left, right = (_controls(looks, side) for side in SIDES)
    if looks.hair.recession > BALD:
        return [(curve(inner), _rough(curve(outer), looks.hair)) for inner, outer in (left, right)]
    inner, outer = (
        curve(np.concatenate([one[:0:-1], other])) for one, other in zip(left, right, strict=True)
    )
    outer = _rough(outer, looks.hair)
    # The tips of a fringe.
    on_forehead = (np.abs(inner[:, 1]) < 0.5) & (np.abs(inner[:, 0]) < 0.62)
    inner[:, 1] += (
        0.03 * max(looks.hair.style.fringe, 0.0) * on_forehead * np.resize((-1, 0.4, 1, 0), len(inner))
    )
    return [(inner[len(inner) // 2 :: step], outer[len(outer) // 2 :: step]) for step in (-1, 1)]


def _controls(looks: Looks, side: float) -> tuple[Points, Points]:
    """Points through which the two lines of one half pass; both halves have the first ones."""
    hair, style, width = looks.hair, looks.hair.style, looks.head.width
    lost, fringe, part = (
        hair.recession,
        style.fringe * (1 - hair.recession),
        style.part * (1 - hair.recession),
    )
    top = max(style.top * hair.volume * (1 - lost) ** 2, 0.02)
    out = width + style.side * hair.volume
    parted = min(1.0, abs(part) / 0.06) * (1 - lost)
    middle = hair.line + 0.3 * fringe * (1 - parted) - 0.1 * parted - 0.4 * lost
    temple = max(0.5 * hair.line - 0.27 + 0.28 * fringe - 0.45 * lost, -0.95)
    front = style.front if lost < BALD else min(style.front, 0.3)
    long = front > EAR
    inner = np.array([
        (part, middle, 0.5),
        (0.5 * (part + side * 0.66 * width), temple, 0.45),
        (side * 0.80 * width, -0.37 + 0.1 * fringe - 0.25 * lost, 0.25),
        (side * (0.95 if long else 0.92) * width, -0.1, 0.1),
        (side * (0.97 if long else 0.93) * width, 0.5 * (front - 0.1), 0.05),
        (side * (0.98 - 0.1 * front if long else 0.95) * width, front, 0.05),
    ])  # fmt: skip
    outer = np.array([
        (0.3 * part, -1.0 - top, 0.0),
        (side * (0.55 * width + 0.3 * (out - width)), -0.895 - 0.85 * top, 0.0),
        (side * (0.91 * width + 0.7 * (out - width)), -0.56 - 0.45 * top, 0.0),
        (side * out, -0.15, 0.0),
        (side * (out + 0.01), 0.5 * (front - 0.1), 0.0),
        (side * (width + (0.75 - 0.75 * style.curl) * (out - width)), front, 0.0),
    ])  # fmt: skip
    if lost > BALD:
        inner[:2] = outer[:2] = (side * 0.9 * width, -0.5, 0.0)
        inner[2, :2], outer[2, :2] = (side * 0.9 * width, -0.42), (side * (width + 0.01), -0.4)
        outer[3:, 0] += side * 0.03
    return inner, outer


def _rough(line: Points, hair: Hair) -> Points:
    """The line with the waves and curls of the hair."""
    style = hair.style
    if not style.wave and not style.curl:
        return line
    dense = curve(line, steps=3)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(dense[:, :2], axis=0).T))])
    falling = np.clip((dense[:, 1] + 0.3) / 0.5, 0, 1)
    push = 0.035 * style.wave * falling * np.sin(length * 14)
    push += 0.05 * style.curl * (np.abs(np.sin(length * 11)) - 0.5)
    outward = dense[:, :2] / np.maximum(np.hypot(dense[:, 0], dense[:, 1]), 0.1)[:, None]
    dense[:, :2] += outward * push[:, None]
    return dense


def _draw_strands(
    canvas: Canvas, inner: Points, outer: Points, hair: Hair, colour: Colour, rng: np.random.Generator
) -> None:
    """Lines from the parting along the skull, or from the crown to the forehead if there is no parting."""
    outer = outer[np.linspace(0, len(outer) - 1, len(inner)).astype(int)]
    places, tones = rng.uniform(0.05, 0.95, size=STRANDS), rng.uniform(0.72, 1.35, size=STRANDS)
    falling = 0 if hair.style.part == 0 else STRANDS
    if hair.style.front > EAR:
        falling = max(falling, STRANDS // 2)
    sides = inner + (outer - inner) * places[:falling, None, None]
    _paint(canvas, sides[:, 1 if hair.style.part else len(inner) // 2 :], colour, tones[:falling])
    roots = (places[falling:] * 0.6 * len(inner)).astype(int)
    lengths = np.linspace(0.02, 1, 5)[:, None] * rng.uniform(0.4, 0.9, size=(STRANDS - falling, 1, 1))
    ends = outer[roots] + (CROWN - outer[roots]) * 0.25
    combed = inner[roots][:, None] + (ends - inner[roots])[:, None] * lengths
    _paint(canvas, combed, colour, tones[falling:])


def _paint(canvas: Canvas, bundle: np.ndarray, colour: Colour, tones: np.ndarray) -> None:
    """Lines [lines, points, 3] of (x, y, depth), each in its own tone."""
    for strand, tone in zip(canvas.at(bundle[:, :, :2], bundle[:, :, 2]), tones, strict=True):
        canvas.line(strand, _toned(colour, tone), 0.5)


def _draw_curls(
    canvas: Canvas, inner: Points, outer: Points, colour: Colour, rng: np.random.Generator
) -> None:
    """Arcs all over the hair."""
    outer = outer[np.linspace(0, len(outer) - 1, len(inner)).astype(int)]
    along, across = rng.integers(len(inner), size=STRANDS), rng.uniform(0.15, 0.85, size=(STRANDS, 1))
    centres = inner[along] + (outer[along] - inner[along]) * across
    first, tones = rng.integers(10, size=STRANDS), rng.uniform(0.75, 1.35, size=STRANDS)
    for centre, start, tone in zip(canvas.at(centres[:, :2], centres[:, 2]), first, tones, strict=True):
        arc = CIRCLE[start : start + 11] * 2.6 * canvas.pixels / 112
        canvas.line(centre + arc, _toned(colour, tone), 0.5)


def _toned(colour: Colour, tone: float) -> Colour:
    """`colour` darker (tone < 1) or with some shine (tone > 1)."""
    return darken(colour, tone) if tone < 1 else mix(colour, palettes.SHINE, 0.5 * (tone - 1))


def draw_beard(canvas: Canvas, looks: Looks) -> None:
    """Stubble, a goatee, a full beard, or the shade of a shaven one."""
    if looks.sex == "female":
        return
    head, mouth, nose = looks.head, looks.mouth, looks.nose
    colour = mix(looks.hair.colour, looks.skin, 0.12)
    if looks.beard != "goatee":
        points, depth = outline(looks)
        jaw = (points[:, 1] > 0.12) & (points[:, 0] > 0)
        full = looks.beard == "full"
        grow = np.clip((points[jaw, 1:] - 0.2) / 0.6, 0, 1) * (0.05 if full else 0.0)
        right = np.column_stack([points[jaw] * (1 + grow), depth[jaw]])
        cheek = np.array([
            (0, nose.base + 0.07, 0.68), (1.15 * mouth.width, mouth.y - 0.07, 0.6),
            (0.72 * head.width, 0.42, 0.4), (0.9 * head.width, 0.14, 0.1),
        ])  # fmt: skip
        half = np.concatenate([curve(cheek), right])
        beard = np.concatenate([half, half[::-1] * (-1, 1, 1)])
        grown = {"stubble": 0.22, "full": 1.0}.get(looks.beard, SHAVEN)
        tone = colour if full else mix(looks.skin, darken(colour, 0.7), grown)
        canvas.fill(canvas.at(beard[:, :2], beard[:, 2]), tone)
    if looks.beard == "goatee":
        spread = (0.95 * mouth.width, 0.5 * (head.chin - mouth.y) + 0.09)
        chin = CIRCLE * spread + (0, 0.5 * (head.chin + mouth.y) + 0.03)
        canvas.fill(canvas.on_face(chin), colour)


def draw_moustache(canvas: Canvas, looks: Looks, smile: float) -> None:
    """The hair between nose and lips; it hides the edge of the upper lip."""
    mouth = looks.mouth
    if looks.beard in ("moustache", "goatee", "full"):
        colour = mix(looks.hair.colour, looks.skin, 0.12)
        end = 0.03 - mouth.corners - 0.07 * smile
        shape = np.array([(-1.2, end), (-0.6, -0.05), (0, -0.075), (0.6, -0.05), (1.2, end)])
        line = curve(shape * (mouth.width, 1) + (0, mouth.y - 0.02))
        widths = 0.09 * np.interp(
            np.abs(np.linspace(-1, 1, len(line))), (0, 0.2, 0.6, 1), (0.75, 1, 0.9, 0.2)
        )
        canvas.fill(canvas.on_face(ribbon(line, widths), 0.03), colour)
