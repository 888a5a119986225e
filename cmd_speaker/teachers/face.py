"""A face teacher: a small convolutional network that learns to tell the training speakers' faces apart.

There is no detector here: the pictures must already be cropped to the face, and they are brought to a square.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from cmd_speaker.losses.aam import AamSoftmax
from cmd_speaker.progress import track
from cmd_speaker.teachers.pictures import read_pictures
from cmd_speaker.teachers.weights import weights_checksum


class SmallFaceTeacher:
    """`FaceEncoder`, trained from scratch on the pictures given to `fit` [ours].

    Pictures are read at `pixels` by `pixels`; embeddings have `size` numbers. `fit` takes `steps` steps of
    `batch_size` pictures under the additive-angular-margin identity loss; the classifier is then thrown
    away and the encoder frozen. `seed` decides the weights; the global random state is left as it was.
    """

    modality = "face"

    def __init__(
        self, pixels: int = 56, size: int = 64, steps: int = 300, batch_size: int = 64, seed: int = 0
    ) -> None:
        self.pixels, self.size, self.steps = pixels, size, steps
        self.batch_size, self.seed = batch_size, seed
        self.encoder: FaceEncoder | None = None

    def fit(self, pictures: Sequence[str | Path], identities: Sequence[str]) -> None:
        """Train on picture files, each of the identity at the same place.

        Raises `DataErrors` naming every file that is no picture.
        """
        images = torch.from_numpy(read_pictures(pictures, self.pixels))
        places = {identity: place for place, identity in enumerate(sorted(set(identities)))}
        labels = torch.tensor([places[identity] for identity in identities])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.encoder = FaceEncoder(self.pixels, self.size)
            _train(self.encoder, images, labels, self.steps, self.batch_size)
        self.encoder.eval().requires_grad_(False)

    @torch.inference_mode()
    def embed(self, pictures: Sequence[str | Path]) -> np.ndarray:
        """Picture files -> float32 [n, size], not normalised. One at a time: no picture changes another's bits."""
        assert self.encoder is not None, "fit first"
        images = torch.from_numpy(read_pictures(pictures, self.pixels))
        return torch.cat([self.encoder(standardised(image[None])) for image in images]).numpy()

    def identity(self) -> str:
        assert self.encoder is not None, "fit first"
        return weights_checksum(self.encoder)

    def source(self) -> str:
        return f"SmallFaceTeacher{(self.pixels, self.size, self.steps, self.batch_size, self.seed)}"


class FaceEncoder(nn.Module):
    """Pictures [n, 3, pixels, pixels] -> [n, size]: four halving convolutions with batch norm, one linear map.

    The map sees every place of the face, because the pictures are cropped to it.
    """

    def __init__(self, pixels: int, size: int, channels: Sequence[int] = (24, 48, 96, 128)) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after in zip((3, *channels), channels, strict=False):
            blocks += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            pixels = (pixels + 1) // 2
        self.blocks = nn.Sequential(*blocks)
        self.project = nn.Linear(channels[-1] * pixels**2, size)

    def forward(self, images: Tensor) -> Tensor:
        return self.project(self.blocks(images).flatten(1))


def standardised(images: Tensor) -> Tensor:
    """uint8 [n, 3, H, W] -> float32, about -2 to 2."""
    return (images.float() / 255 - 0.5) / 0.25


def augmented(images: Tensor) -> Tensor:
    """Standardised pictures [n, 3, H, W], each shifted and scaled by up to a twentieth, its light changed."""
    n = len(images)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 1)

    # Coordinates run from -1 to 1: a tenth of them is a twentieth of the picture.
    scale, shift = draw(0.95, 1.05), torch.cat([draw(-0.1, 0.1), draw(-0.1, 0.1)], 1)
    grid = affine_grid(torch.cat([scale * torch.eye(2), shift], 2), list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, padding_mode="border", align_corners=False)
    contrast, brightness = draw(0.6, 1.4), draw(-0.8, 0.8)
    return moved * contrast[..., None] + brightness[..., None]


def _train(encoder: FaceEncoder, images: Tensor, labels: Tensor, steps: int, batch_size: int) -> None:
    """Images uint8 [n, 3, H, W] and labels [n]; draws from torch's random state."""
    classifier = AamSoftmax(int(labels.max()) + 1, encoder.project.out_features)
    parameters = [*encoder.parameters(), *classifier.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=8e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    for _ in track(range(steps), "Training the face encoder", steps):
        chosen = torch.randint(len(images), (batch_size,))
        loss = classifier(encoder(augmented(standardised(images[chosen]))), labels[chosen]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
