"""Distances between directions: embeddings and class vectors are compared after length normalisation."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import normalize

Distance = Literal["l2", "squared_l2", "cosine"]


def distance_between(a: Tensor, b: Tensor, distance: Distance) -> Tensor:
    """Distances [batch] of the directions of a and b, [batch, D] each.

    `l2` of unit vectors, in [0, 2]; `squared_l2`, its square, in [0, 4]; `cosine`, 1 - cos, half of that. The
    gradient of `l2` is 0, not undefined, where both are equal.
    """
    a, b = normalize(a), normalize(b)
    if distance == "cosine":
        return 1 - (a * b).sum(-1)
    return vector_norm(a - b, dim=-1) if distance == "l2" else (a - b).square().sum(-1)


def from_l2(margin: Tensor, distance: Distance) -> Tensor:
    """A distance of unit vectors in the units of `distance`: m, m^2 or m^2 / 2."""
    return {"l2": margin, "squared_l2": margin.square(), "cosine": margin.square() / 2}[distance]
