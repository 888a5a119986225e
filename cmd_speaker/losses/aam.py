"""Identity loss: additive-angular-margin softmax, per sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class AamSoftmax(nn.Module):
    """Classifier with an additive angular margin (ArcFace, Deng et al. 2019, eq. 3).

    The logit of the true class is `scale * cos(theta + margin)`, that of the others
    `scale * cos(theta)`. Where `theta + margin` would pass pi the logit continues linearly
    (`cos(theta) - margin * sin(margin)`), so that it keeps falling as theta grows.

    `weight` [classes, embedding_size] holds the class vectors; `margin` (radians) may be changed
    between steps.
    """

    def __init__(self, n_classes: int, embedding_size: int, margin: float = 0.2, scale: float = 30.0) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(torch.empty(n_classes, embedding_size))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings [batch, D] and labels [batch] -> losses [batch]."""
        cosine = functional.linear(functional.normalize(embeddings), functional.normalize(self.weight))
        return aam_softmax(cosine, labels, self.margin, self.scale)


def aam_softmax(cosine: Tensor, labels: Tensor, margin: float, scale: float) -> Tensor:
    """Cosines [batch, classes] and labels [batch] -> per-sample losses [batch]."""
    true = cosine.gather(1, labels[:, None])
    # The bound keeps the gradient of sin finite at cos = 1.
    sine = (1 - true.square()).clamp_min(1e-12).sqrt()
    shifted = true * math.cos(margin) - sine * math.sin(margin)
    shifted = torch.where(true > math.cos(math.pi - margin), shifted, true - margin * math.sin(margin))
    logits = scale * cosine.scatter(1, labels[:, None], shifted)
    return functional.cross_entropy(logits, labels, reduction="none")
