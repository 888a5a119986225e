"""Long recordings in windows: one embedding for the whole, or one for each window, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.encoder import READ_AHEAD, SpeakerEncoder
from cmd_speaker.errors import DataError
from cmd_speaker.hearing import Hearing, hear_window
from cmd_speaker.listening import Listening, embed_heard
from cmd_speaker.recording import Recording
from cmd_speaker.streams import cut_windows


@dataclass(frozen=True, eq=False)
class EmbeddedWindow:
    """A stretch of a recording, in seconds from its beginning, and its embedding, float32 [D].

    `seconds` of it were embedded. The embedding is None where there was nothing to hear, or nobody spoke.
    """

    start: float
    stop: float
    seconds: float
    embedding: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Windows:
    """The N windows of a recording that were embedded: `times` float64 [N, 2], `embeddings` float32 [N, D].

    Times are start and stop in seconds, as diarisation needs them; `seconds` float64 [N] is what of each window
    was embedded. `left_out` float64 [M, 2] are the windows in which there was nothing to hear, or nobody spoke.
    """

    times: np.ndarray
    embeddings: np.ndarray
    seconds: np.ndarray
    left_out: np.ndarray

    @property
    def length(self) -> float:
        """Of the recording, in seconds."""
        return float(np.concatenate([self.times, self.left_out]).max())

    def mean(self) -> Recording:
        """The recording as a whole: the mean of the windows' embeddings, and the seconds that they cover.

        Where windows overlap, the share that was embedded is taken of the recording's length.
        """
        of_all = float(np.diff(np.concatenate([self.times, self.left_out])).sum())
        heard = self.length * float(self.seconds.sum()) / of_all
        return Recording(
            self.embeddings.mean(axis=0, dtype=np.float64).astype(np.float32), heard, self.length
        )


def embed_windows(
    encoder: SpeakerEncoder, blocks: Iterable[np.ndarray], hearing: Hearing, path: Path | None = None
) -> Windows:
    """All windows of a recording that comes in blocks (see `cmd_speaker.streams`); `path` names it in errors.

    Raises `DataError` where there is nothing to hear in any of them.
    """
    embedded: list[EmbeddedWindow] = []
    vectors: list[np.ndarray] = []
    left_out: list[tuple[float, float]] = []
    for each in each_window(encoder, blocks, hearing, path):
        if each.embedding is None:
            left_out.append((each.start, each.stop))
        else:
            embedded.append(each)
            vectors.append(each.embedding)
    if not vectors:
        expected = "in which somebody speaks" if hearing.vad else "in which there is something to hear"
        raise DataError(
            "nothing of it can be embedded", file=path, expected=f"a window {expected}",
            found=f"none of {len(left_out)}", fix="Leave it out or record it again",
        )  # fmt: skip
    return Windows(
        np.array([(each.start, each.stop) for each in embedded]),
        np.stack(vectors),
        np.array([each.seconds for each in embedded]),
        np.array(left_out).reshape(-1, 2),
    )


def each_window(
    encoder: SpeakerEncoder,
    blocks: Iterable[np.ndarray],
    hearing: Hearing,
    path: Path | None = None,
    read_ahead: int = READ_AHEAD,
) -> Iterator[EmbeddedWindow]:
    """The windows of a recording, one after the other; `read_ahead` of them are held at once."""
    hearing.check()
    times: deque[tuple[float, float]] = deque()

    def items() -> Iterator[Listening]:
        for window in cut_windows(blocks, hearing.window_samples, hearing.hop_samples):
            times.append((window.start / SAMPLE_RATE, window.stop / SAMPLE_RATE))
            yield Listening(partial(hear_window, window.samples, hearing, path), path)

    for item, vector in embed_heard(encoder, items(), read_ahead):
        recording = item.recording(vector)
        yield EmbeddedWindow(
            *times.popleft(), item.seconds, None if recording is None else recording.embedding
        )
