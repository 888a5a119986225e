"""Does an export give the embeddings of the model it was made from?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.errors import DataError
from cmd_speaker.model import SpeakerModel
from cmd_speaker.progress import track

LENGTHS = (0.1, 1.0, 3.7, 20.0)
"""Seconds."""
ACROSS_ENGINES = 1e-4
WITHIN_TORCH = 1e-5
Embed = Callable[[np.ndarray], np.ndarray]
"""Waveforms [batch, samples] at 16 kHz -> embeddings [batch, D]."""


@dataclass(frozen=True)
class Parity:
    """Seconds of a recording -> the largest difference between an embedding of `client` and the model's own.

    A difference is that of one component, relative to the norm of the model's embedding: embeddings are not
    length-normalised, and their norm is anything from below 1 to above 100.
    """

    client: str
    differences: dict[float, float]

    @property
    def largest(self) -> float:
        return max(self.differences.values())

    def __str__(self) -> str:
        each = ", ".join(f"{seconds:g} s {value:.1e}" for seconds, value in self.differences.items())
        return f"{self.client}: largest difference {self.largest:.1e} ({each})"


def check_parity(model: SpeakerModel, embed: Embed, client: str, tolerance: float, out: Path) -> Parity:
    """Hold the embeddings of two recordings of each length, as one batch, against those of the model.

    Raises `DataError` for a shape other than [batch, D], and where they differ by more than `tolerance` or are not
    finite. `out` is the file to be written, named in the error.
    """
    differences = {}
    for seconds in track(LENGTHS, f"Comparing with {client}"):
        signals = parity_signals(seconds)
        expected = np.stack([model.embed(signal) for signal in signals])
        found = np.asarray(embed(signals))
        if found.shape != expected.shape:
            raise _refused(out, client, f"embeddings {list(expected.shape)}", list(found.shape))
        norms = np.linalg.norm(expected, axis=1, keepdims=True)
        differences[seconds] = float((np.abs(found - expected) / norms).max())
        # Written so that NaN is refused too.
        if not differences[seconds] <= tolerance:
            wanted = f"a difference of at most {tolerance:g} of the norm"
            raise _refused(out, client, wanted, f"{differences[seconds]:.2g} at {seconds:g} s")
    return Parity(client, differences)


def parity_signals(seconds: float) -> np.ndarray:
    """Two recordings, float32 [2, samples]: voices of 120 and 210 Hz that swell, noise, digital silence."""
    n = round(seconds * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    noise = 0.01 * np.random.default_rng(0).standard_normal((2, n))
    pitch = np.array([[120.0], [210.0]])
    voiced = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 20)) / 4
    signals = np.abs(np.sin(2 * np.pi * 3 * time)) * voiced + noise
    signals[:, n // 2 : n // 2 + n // 5] = 0
    return signals.astype(np.float32)


def _refused(out: Path, client: str, expected: str, found: object) -> DataError:
    return DataError(
        f"{client} gives other embeddings than the model", file=out, expected=expected, found=found,
        fix="Check the versions of torch and of the client",
    )  # fmt: skip
