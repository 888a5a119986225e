"""Recordings that threads read while others are embedded, and what became of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from cmd_speaker.encoder import READ_AHEAD, SpeakerEncoder, embed_read
from cmd_speaker.errors import DataError
from cmd_speaker.hearing import Heard
from cmd_speaker.recording import Recording


class Listening:
    """One recording that a thread reads: afterwards how much was heard, or why nothing was.

    `path` names it in errors.
    """

    def __init__(self, hear: Callable[[], Heard | None], path: Path | None = None) -> None:
        self._hear: Callable[[], Heard | None] | None = hear
        self.path = path
        self.seconds = self.length = 0.0
        self.error: DataError | None = None

    def __call__(self) -> np.ndarray | None:
        """The samples that are to be embedded; None where there are none, and for an error, which is kept."""
        assert self._hear is not None, "a recording is read once"
        # What is read again and again, a window's samples, is held no longer than it is needed.
        hear, self._hear = self._hear, None
        try:
            heard = hear()
        except DataError as error:
            self.error = error
            return None
        if heard is None:
            return None
        self.seconds, self.length = heard.seconds, heard.length
        return heard.samples

    def recording(self, vector: np.ndarray | None) -> Recording | None:
        """With its embedding [D]; None where there was nothing to embed. Raises `DataError` as reading it did."""
        if self.error is not None:
            raise self.error
        if vector is None:
            return None
        if not np.isfinite(vector).all():
            raise DataError(
                "the embedding is not finite", file=self.path, expected="samples in [-1, 1]",
                found="samples so large that the features overflow", fix="Write the file again from its source",
            )  # fmt: skip
        return Recording(vector, self.seconds, self.length)


def embed_heard(
    encoder: SpeakerEncoder, items: Iterable[Listening], read_ahead: int = READ_AHEAD
) -> Iterator[tuple[Listening, np.ndarray | None]]:
    """Each with its embedding [D], in order; None where it was not embedded."""
    waiting: deque[Listening] = deque()

    def reads() -> Iterator[Listening]:
        for item in items:
            waiting.append(item)
            yield item

    device = next(encoder.student.parameters()).device
    for vector in embed_read(encoder, reads(), device=device, read_ahead=read_ahead):
        yield waiting.popleft(), vector
