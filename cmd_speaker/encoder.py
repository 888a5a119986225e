"""The one embedding path: waveforms -> front-end -> sentence mean normalisation -> student.

Training, validation, the command line and every export go through `SpeakerEncoder`; everything that
embeds files goes through `embed_all`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cmd_speaker.errors import UsageError
from cmd_speaker.features import mean_normalise

READ_AHEAD = 256
"""Utterances that are held at once in order to find equally long ones."""


class SpeakerEncoder(nn.Module):
    """Front-end and student, of `FRONT_ENDS` and `STUDENTS`. Only this is needed at test time."""

    front_end: Any
    student: Any

    def __init__(self, front_end: nn.Module, student: nn.Module) -> None:
        super().__init__()
        self.front_end, self.student = front_end, student

    def features(self, waveforms: Tensor) -> Tensor:
        """[batch, samples] -> mean-normalised features [batch, frames, mels]."""
        return features_of(self.front_end, waveforms)


def check_device(device: str | torch.device) -> None:
    """Raise `UsageError` where nothing can be computed on `device`."""
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"no device '{device}' here: {reason}; use cpu, or cuda where there is one"
        ) from error


def features_of(front_end: nn.Module, waveforms: Tensor) -> Tensor:
    """What a student sees of waveforms [batch, samples]: [batch, frames, mels], in full precision.

    Power spectra span more than half-precision numbers hold, so automatic mixed precision is off here.
    """
    with torch.autocast(waveforms.device.type, enabled=False):
        return mean_normalise(front_end(waveforms))


def embed_all(
    encoder: SpeakerEncoder,
    utterances: Iterable[tuple[str, np.ndarray]],
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 16,
) -> Iterator[tuple[str, np.ndarray]]:
    """Embed (key, samples [n]) pairs; yield (key, embedding [D]) in the order in which they came.

    Only utterances with equally many frames share a batch, so nothing is ever padded: padding changes
    an embedding (benchmarks/batching.py has figures), and reflection at the convolutions' ends cannot be
    masked away. On a CPU every batch is computed on one thread, several at once, which is faster than one batch on
    several threads and gives the same bits on any number of them. The encoder must be in evaluation mode.
    """
    on_cpu = torch.device(device).type == "cpu"
    threads = torch.get_num_threads() if on_cpu else 1
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        each = pool.map if on_cpu else map
        held: list[tuple[str, np.ndarray]] = []
        try:
            for item in utterances:
                held.append(item)
                if len(held) == READ_AHEAD:
                    yield from _embed_held(encoder, held, device, batch_size, each)
                    held = []
            yield from _embed_held(encoder, held, device, batch_size, each)
        finally:
            if on_cpu:
                # The workers' choice is also what threads that begin later would take over.
                torch.set_num_threads(threads)


def _embed_held(
    encoder: SpeakerEncoder,
    held: list[tuple[str, np.ndarray]],
    device: str | torch.device,
    batch_size: int,
    each: Callable[..., Iterator[Any]],
) -> Iterator[tuple[str, np.ndarray]]:
    """`each` maps a function over a list, as `map` does."""

    @torch.inference_mode()
    def features_of_one(samples: np.ndarray) -> Tensor:
        return encoder.features(torch.from_numpy(samples).to(device)[None])[0]

    @torch.inference_mode()
    def embed_batch(places: list[int]) -> np.ndarray:
        return encoder.student(torch.stack([features[place] for place in places])).float().cpu().numpy()

    features = list(each(features_of_one, [samples for _, samples in held]))
    groups: dict[int, list[int]] = defaultdict(list)
    for place, frames in enumerate(features):
        groups[len(frames)].append(place)
    batches = [
        group[k : k + batch_size] for group in groups.values() for k in range(0, len(group), batch_size)
    ]
    vectors: dict[int, np.ndarray] = {}
    for places, embedded in zip(batches, each(embed_batch, batches), strict=True):
        vectors.update(zip(places, embedded, strict=True))
    for place, (key, _) in enumerate(held):
        yield key, vectors[place]
