"""The dead zone that a teacher's own bank suggests: `margin: auto`.

Two bounds are derived from the bank, for each class of the teacher, as distances of unit vectors: what it would
be unfair to ask below (`floor_margin`), and how far off a student may be and still be told the class
(`reach_margin`). Within the greater of the two it is left alone. All of it is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.special import ndtri

SPEAKER_COSINE = 0.1
"""Cosine that the student is to have between different speakers."""
CONFUSION = 0.05
"""Probability that a student at the margin is taken for another class."""


def auto_margin(embedding: Tensor, label: Tensor, identity: Tensor) -> Tensor:
    """The margin of each row of the bank [rows], equal within a class.

    `embedding` [rows, D] is t, `label` [rows] the teacher's class, `identity` [rows] whose row it is.
    """
    vectors = normalize(embedding.double())
    bounds = floor_margin(vectors, label, identity), reach_margin(vectors, label)
    return torch.maximum(*bounds)[label].to(embedding.dtype)


def floor_margin(
    vectors: Tensor, label: Tensor, identity: Tensor, speaker_cosine: float = SPEAKER_COSINE
) -> Tensor:
    """How far from a row the best student is that knows the class and nothing else of the row [classes].

    *Room.* k identities share the class, so that their targets are the same, but the student must keep them
    apart, at a pairwise cosine of c = `speaker_cosine`. k unit vectors with pairwise cosine c have a mean of
    squared length `(1/k^2) (k + k (k - 1) c) = c + (1 - c)/k`, and with its direction each has the cosine
    `(1/k) (1 + (k - 1) c) / |mean| = |mean|`. So, centred on the class's direction,
    `cos_room = sqrt(c + (1 - c)/k)`.

    *Spread.* The rows of one identity differ (another picture, another text), which speech cannot know. With a
    mean cosine r between two of its rows, a row has the cosine `cos_spread = sqrt(r)` with their common centre:
    two independent deviations from it leave `cos_spread^2`. A mean over pairs does not depend on the number of
    rows. A class whose identities have one row each takes the other classes' mean r; where there is none, nothing
    is known of the spread and r = 1.

    Both deviations are independent, so their parts at right angles to the centre cancel on average,
    `cos(s, t) = cos_room * cos_spread`, and unit vectors with that cosine are `sqrt(2 - 2 cos)` apart.
    """
    classes = int(label.max()) + 1
    pairs = torch.unique(torch.stack([label, identity]), dim=1)
    k = torch.bincount(pairs[0], minlength=classes).double()
    room = (speaker_cosine + (1 - speaker_cosine) / k).sqrt()
    spread = _mean_cosine(vectors, label, identity, classes).clamp(0, 1).sqrt()
    return _distance(room * spread)


def reach_margin(vectors: Tensor, label: Tensor, confusion: float = CONFUSION) -> Tensor:
    """How far from its class's centre a student may be and still be nearer to it than to any other's [classes].

    A student at angle a from its centre t, the rest of it in a random direction u at right angles to t, has the
    cosine `cos a` with t and `g cos a + sin a (u . t')` with another centre t' of cosine g with t. In D dimensions
    `u . t'` is about normal with variance `(1 - g^2) / (D - 1)`. So it is nearer to t than to t' if
    `cot a > z sqrt((1 + g) / ((1 - g) (D - 1)))`, but for a probability of P(normal > z). Were all the C - 1
    others as near as the nearest one, these probabilities would sum up to `confusion` at
    `z = ndtri(1 - confusion / (C - 1))`: that errs on the near side.

    Many dimensions make room: 120 classes at right angles in 192 dimensions may be missed by 1.24. Classes that
    are hardly told apart leave little. A single class teaches nothing: sqrt(2).
    """
    classes = int(label.max()) + 1
    if classes == 1:
        return vectors.new_full((1,), 2**0.5)
    size = vectors.shape[1]
    centres = normalize(vectors.new_zeros(classes, size).index_add_(0, label, vectors))
    g = (centres @ centres.T).fill_diagonal_(-1).amax(1).clamp(max=1 - 1e-9)
    z = ndtri(torch.tensor(1 - confusion / (classes - 1), dtype=vectors.dtype))
    cotangent = z * ((1 + g) / ((1 - g) * (size - 1))).sqrt()
    return _distance(cotangent / (1 + cotangent.square()).sqrt())


def _distance(cosine: Tensor) -> Tensor:
    return (2 - 2 * cosine).clamp_min(0).sqrt()


def _mean_cosine(vectors: Tensor, label: Tensor, identity: Tensor, classes: int) -> Tensor:
    """Mean cosine between two rows of one identity, over the identities of each class [classes]."""
    n = int(identity.max()) + 1
    rows = torch.bincount(identity, minlength=n).double()
    length = vectors.new_zeros(n, vectors.shape[1]).index_add_(0, identity, vectors).square().sum(1)
    # |sum|^2 = rows + the cosines of all ordered pairs.
    several = rows > 1
    cosine = (length - rows)[several] / (rows * (rows - 1))[several]
    label_of = label.new_zeros(n).scatter_(0, identity, label)[several]
    total = vectors.new_zeros(classes).index_add_(0, label_of, cosine)
    count = torch.bincount(label_of, minlength=classes)
    overall = cosine.mean() if len(cosine) else vectors.new_ones(())
    return torch.where(count > 0, total / count.clamp_min(1), overall)
