"""A map of embeddings: the two directions in which enrolled speakers and clips differ most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cmd_speaker.report.figures import legend, sample
from cmd_speaker.report.markup import Markup, element, joined
from cmd_speaker.report.svg import SHAPES, Axis, Plot, linear_axis

NAMED = 12
"""Speakers with a sign of their own: of more, shapes and colours would no longer be told apart."""
COLOURS = 6


@dataclass(frozen=True, eq=False)
class Projection:
    """Places [n, 2] of n embeddings, and the shares of their variance that both directions have."""

    places: np.ndarray
    shares: tuple[float, float]


def project(embeddings: np.ndarray) -> Projection:
    """Principal components (Pearson, 1901) of embeddings [n, D] scaled to unit length, since the cosine compares.

    A direction's sign is such that the embedding farthest out is on its positive side.
    """
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    centred = units.astype(np.float64) - units.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(units), 2))
    count = min(2, len(singular))
    places[:, :count] = left[:, :count] * singular[:count]
    # What is left of nothing by rounding is nothing.
    places[np.abs(places) < 1e-6] = 0
    places *= np.where(places[np.abs(places).argmax(axis=0), [0, 1]] < 0, -1, 1)
    power = np.append(singular**2, [0.0, 0.0])
    total = power.sum() or 1.0
    return Projection(places, (float(power[0] / total), float(power[1] / total)))


def draw_map(speakers: Mapping[str, np.ndarray], clips: Mapping[str, np.ndarray]) -> Markup:
    """The map of the speakers' embeddings [n, D] and of the clips' [D], by the letter that stands for each.

    Speakers differ by shape and colour and are named beside it; clips are letters. Only the speakers nearest to
    the clips have a sign of their own where there are more than `NAMED`.
    """
    owners = [name for name, own in speakers.items() for _ in own]
    vectors = [vector for own in speakers.values() for vector in own] + list(clips.values())
    if len(vectors) < 2:
        return element("p", "The map needs two embeddings: give clips, or enrol somebody.", class_="note")
    projection = project(np.stack(vectors))
    x, y = projection.places.T
    plot = Plot(*(_axis(*each) for each in zip(("first", "second"), (x, y), projection.shares, strict=True)))
    signs = {name: _sign(k) for k, name in enumerate(_nearest(speakers, clips))}
    clipped = list(zip(clips, x[len(owners) :], y[len(owners) :], strict=True))
    for letter, left, top in clipped:
        plot.marker(left, top, "circle", "clip")
        plot.text(left, top, f"\u2002{letter}")
    for left, top, name in zip(x, y, owners, strict=False):
        plot.marker(left, top, *signs.get(name, ("circle", "other")))
    described = (
        f"{len(owners)} recordings of {len(speakers)} enrolled speakers, clips: {' and '.join(clips) or 'none'}. "
        "What lies close together on the map may still differ in directions that it does not show."
    )
    return joined(plot.draw("map", "Map of embeddings", described), _legend(signs, len(speakers), clips))


def _axis(number: str, values: np.ndarray, share: float) -> Axis:
    margin = 0.08 * float(np.ptp(values) or 1.0)
    label = f"{number} component ({share:.0%} of the variance)"
    return linear_axis(label, float(values.min()) - margin, float(values.max()) + margin)


def _sign(k: int) -> tuple[str, str]:
    """Shape and classes of the k-th speaker: the shapes in turn, then again in other colours and filled."""
    turn, place = divmod(k, len(SHAPES))
    colour = f"s{(place + 3 * turn) % COLOURS + 1}"
    return list(SHAPES)[place], colour if turn == 0 else f"{colour} full"


def _nearest(speakers: Mapping[str, np.ndarray], clips: Mapping[str, np.ndarray]) -> list[str]:
    """At most `NAMED` speakers in their own order, those whose recordings are nearest to a clip."""

    def nearness(name: str) -> float:
        pairs = [(own, clip) for own in speakers[name] for clip in clips.values()]
        return max((float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pairs), default=0.0)

    chosen = set(sorted(speakers, key=nearness, reverse=True)[:NAMED])
    return [name for name in speakers if name in chosen]


def _legend(signs: Mapping[str, tuple[str, str]], speakers: int, clips: Mapping[str, np.ndarray]) -> Markup:
    rows = [(sign, name) for name, sign in signs.items()]
    if speakers > len(signs):
        rows.append((("circle", "other"), f"{speakers - len(signs)} others"))
    if clips:
        rows.append((("circle", "clip"), f"clip {' and clip '.join(clips)}"))
    return legend([(sample(*sign), name) for sign, name in rows])
