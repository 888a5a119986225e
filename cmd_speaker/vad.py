"""Where somebody speaks: the voice activity detector of the package `silero-vad`, which holds its weights."""

from __future__ import annotations

from functools import cache
from queue import Empty, LifoQueue
from typing import Any

import numpy as np
import torch

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.errors import UsageError


class SpeechDetector:
    """Finds speech in samples [n] at 16 kHz, on the CPU; any number of threads may use one detector."""

    def __init__(self) -> None:
        """Raises `UsageError` where the package is not installed."""
        threads = torch.get_num_threads()
        try:
            from silero_vad import get_speech_timestamps, load_silero_vad
        except ImportError as error:
            raise UsageError(
                "speech is looked for by silero-vad, which is not installed: pip install 'cmd-speaker[vad]'"
            ) from error
        finally:
            # Importing it takes all threads but one from torch.
            torch.set_num_threads(threads)
        self._load, self._find = load_silero_vad, get_speech_timestamps
        # A network remembers what it has heard, so each caller needs one of its own.
        self._free: LifoQueue[Any] = LifoQueue()

    @torch.inference_mode()
    def segments(self, samples: np.ndarray) -> np.ndarray:
        """Stretches of speech, in samples: int64 [k, 2], start and stop."""
        try:
            network = self._free.get_nowait()
        except Empty:
            network = self._load()
        try:
            found = self._find(torch.from_numpy(samples), network, sampling_rate=SAMPLE_RATE)
        finally:
            self._free.put(network)
        return np.array([(each["start"], each["end"]) for each in found], np.int64).reshape(-1, 2)

    def speech(self, samples: np.ndarray) -> np.ndarray:
        """The samples in which somebody speaks, one stretch after the other; may be none."""
        kept = [samples[start:stop] for start, stop in self.segments(samples)]
        return np.concatenate(kept) if kept else samples[:0]


@cache
def speech_detector() -> SpeechDetector:
    """The one detector of this program; raises `UsageError` as `SpeechDetector` does."""
    return SpeechDetector()
