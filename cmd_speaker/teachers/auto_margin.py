"""The dead zone that a teacher's own bank suggests: `margin: auto`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

SPEAKER_COSINE = 0.1
"""Mean cosine that the student is to have between different speakers [ours]."""


def auto_margin(
    embedding: Tensor, label: Tensor, identity: Tensor, speaker_cosine: float = SPEAKER_COSINE
) -> Tensor:
    """The margin of each row [rows], the distance of unit vectors; equal within a class [ours].

    `embedding` [rows, D] is t, `label` [rows] the teacher's class, `identity` [rows] whose row it is. How far
    from a row t of a class would the best student be, one that knows the class exactly and nothing else
    of the row? That far it must be left alone, for two reasons:

    *Room.* k identities share the class, so that their targets are the same, but the student must keep them
    apart, say at a pairwise cosine of `c = speaker_cosine`. k unit vectors u_a with pairwise cosine c have a mean
    of squared length `(1/k^2) (k + k (k - 1) c) = c + (1 - c)/k`. With the direction of that mean each has the
    cosine `(1/k) (1 + (k - 1) c) / |mean| = |mean|`. So, centred on the class's direction, `cos_room =
    sqrt(c + (1 - c)/k)`: 1 for k = 1, sqrt(c) for a large k.

    *Spread.* The rows of one identity differ (another picture, another text), which speech cannot know. With a
    mean cosine r between two of its rows, rows have the cosine `cos_spread = sqrt(r)` with their common centre:
    two independent deviations from it leave `cos_spread^2`. So many rows or few give the same r; the mean
    over pairs has no bias. A class whose identities have one row each takes the other classes' mean r, and where
    there is none r = 1: nothing is known of the spread.

    Both deviations are independent, so their components at right angles to the centre cancel on average, and
    `cos(s, t) = cos_room * cos_spread`. The margin is the distance of unit vectors with that cosine:

        m = sqrt(2 - 2 * cos_room * cos_spread)

    A one-to-one teacher with equal rows gives m = 0, the hard constraint; one that knows nothing (k large) gives
    `sqrt(2 - 2 sqrt(c))`, 1.17 for c = 0.1; unrelated vectors are 1.41 apart.
    """
    classes = int(label.max()) + 1
    pairs = torch.unique(torch.stack([label, identity]), dim=1)
    k = torch.bincount(pairs[0], minlength=classes).double()
    room = (speaker_cosine + (1 - speaker_cosine) / k).sqrt()
    spread = _mean_cosine(embedding, label, identity, classes).clamp(0, 1).sqrt()
    return (2 - 2 * room * spread).clamp_min(0).sqrt()[label].to(embedding.dtype)


def _mean_cosine(embedding: Tensor, label: Tensor, identity: Tensor, classes: int) -> Tensor:
    """Mean cosine between two rows of one identity, over the identities of each class [classes]."""
    vectors = normalize(embedding.double())
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
