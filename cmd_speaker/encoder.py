"""The one embedding path: waveforms -> front-end -> sentence mean normalisation -> student.

Training, validation, the command line and every export go through `SpeakerEncoder`; everything that
embeds files goes through `embed_read`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cmd_speaker.ahead import ahead_in
from cmd_speaker.errors import UsageError
from cmd_speaker.features import mean_normalise
from cmd_speaker.onednn import OneDnnConvolutions

READ_AHEAD = 256
"""Utterances that are held at once in order to find equally long ones."""
HELD_FRAMES = 360_000
"""An hour: more is not held, however few utterances it is."""
Read = Callable[[], np.ndarray | None]
"""Gives the samples [n] of an utterance, or None where there is nothing to embed."""


class SpeakerEncoder(nn.Module):
    """Front-end and student, of `FRONT_ENDS` and `STUDENTS`. Only this is needed at test time."""

    front_end: Any
    student: Any
    engine = "torch"
    """What computes the student's embeddings."""

    def __init__(self, front_end: nn.Module, student: nn.Module) -> None:
        super().__init__()
        self.front_end, self.student = front_end, student

    def features(self, waveforms: Tensor) -> Tensor:
        """[batch, samples] -> mean-normalised features [batch, frames, mels]."""
        return features_of(self.front_end, waveforms)

    def embed(self, features: Tensor) -> Tensor:
        """Mean-normalised features [batch, frames, mels] -> embeddings [batch, D], without gradients."""
        with OneDnnConvolutions():
            return self.student(features)


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

    As `embed_read`, for samples that are there already.
    """
    keys: deque[str] = deque()

    def reads() -> Iterator[Read]:
        for key, samples in utterances:
            keys.append(key)
            yield partial(_as_given, samples)

    for vector in embed_read(encoder, reads(), device=device, batch_size=batch_size):
        assert vector is not None
        yield keys.popleft(), vector


def embed_read(
    encoder: SpeakerEncoder,
    reads: Iterable[Read],
    *,
    device: str | torch.device = "cpu",
    batch_size: int = 16,
    read_ahead: int = READ_AHEAD,
) -> Iterator[np.ndarray | None]:
    """Embed what each call gives, samples [n]; yield an embedding [D] for each, in order, None where it gave None.

    Only utterances with equally many frames share a batch, so nothing is ever padded: padding changes
    an embedding (benchmarks/batching.py has figures), and reflection at the convolutions' ends cannot be
    masked away. `read_ahead` utterances, or an hour of them, are held in order to find equally long ones; 1 gives
    each embedding as soon as it can be.

    The calls are made in threads, ahead of their use. On a CPU every batch is computed on one thread, several at
    once, which is faster than one batch on several threads and gives the same bits on any number of them, also
    where several threads of a program embed with one encoder. The encoder must be in evaluation mode.
    """
    on_cpu = torch.device(device).type == "cpu"

    @torch.inference_mode()
    def prepare(read: Read) -> Any:
        samples = read()
        return features_of_one(samples) if on_cpu and samples is not None else samples

    @torch.inference_mode()
    def features_of_one(samples: np.ndarray) -> Tensor:
        return encoder.features(torch.from_numpy(samples).to(device)[None])[0]

    with (
        _one_thread_each() as threads,
        ThreadPoolExecutor(threads, "embed", _take_one_thread) as pool,
    ):
        each = pool.map if on_cpu else map
        held: list[Tensor | None] = []
        frames = 0
        for found in ahead_in(pool, prepare, reads, min(2 * threads, read_ahead - 1)):
            features = found if on_cpu or found is None else features_of_one(found)
            held.append(features)
            frames += 0 if features is None else len(features)
            if len(held) >= read_ahead or frames >= HELD_FRAMES:
                yield from _embed_held(encoder, held, batch_size, each)
                held, frames = [], 0
        yield from _embed_held(encoder, held, batch_size, each)


def _embed_held(
    encoder: SpeakerEncoder,
    held: Sequence[Tensor | None],
    batch_size: int,
    each: Callable[..., Iterable[Any]],
) -> Iterator[np.ndarray | None]:
    """`each` maps a function over a list, as `map` does."""

    @torch.inference_mode()
    def embed_batch(places: list[int]) -> np.ndarray:
        batch = torch.stack([features for place in places if (features := held[place]) is not None])
        return encoder.embed(batch).float().cpu().numpy()

    groups: dict[int, list[int]] = defaultdict(list)
    for place, features in enumerate(held):
        if features is not None:
            groups[len(features)].append(place)
    # The longest first: what is left for the end, where a thread may wait for another, is short.
    batches = [
        groups[frames][k : k + batch_size]
        for frames in sorted(groups, reverse=True)
        for k in range(0, len(groups[frames]), batch_size)
    ]
    vectors: dict[int, np.ndarray] = {}
    for places, embedded in zip(batches, each(embed_batch, batches), strict=True):
        vectors.update(zip(places, embedded, strict=True))
    for place in range(len(held)):
        yield vectors.get(place)


def _as_given(samples: np.ndarray) -> np.ndarray:
    return samples


def _take_one_thread() -> None:
    # A thread that first computes takes over what others have chosen, even after its own choice: ask before.
    torch.get_num_threads()
    torch.set_num_threads(1)


class _Threads:
    """How many threads torch may use, whatever the workers of those who embed at the moment have chosen."""

    lock = Lock()
    embedding = 0
    chosen = 1


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Workers in the block choose one thread for themselves; gives the number of workers there may be.

    Their choice is also what threads that begin later would take over, so it is undone.
    """
    with _Threads.lock:
        if _Threads.embedding == 0:
            _Threads.chosen = torch.get_num_threads()
        _Threads.embedding += 1
        threads = _Threads.chosen
    try:
        yield threads
    finally:
        with _Threads.lock:
            _Threads.embedding -= 1
            torch.set_num_threads(threads)
