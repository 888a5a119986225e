"""A recording as a model hears it: its embedding, and how much of it was heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Recording:
    """One utterance: its embedding as the network gives it, float32 [D], and how long it lasts, in seconds.

    `seconds` is what was embedded: of a recording with a part that nobody speaks in, what is left of its `length`
    once that is taken out. `length` is None where it is not known, and so is `model`, the checksum of the model
    that made it.
    """

    embedding: np.ndarray
    seconds: float
    length: float | None = None
    model: str | None = None
