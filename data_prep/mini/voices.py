"""What a speaker says, as the synthesiser says it: samples at 16 kHz, before any room or microphone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.errors import DataError

SYNTHESISER = Path(__file__).with_name("synthesiser.py")
SYNTHESISER_RATE = 22050


@dataclass(frozen=True)
class Sentence:
    """One sentence and how it is said: pitch and range (of the intonation) 0 to 99, rate in words a minute."""

    text: str
    pitch: int
    rate: int
    range: int


def speak(variant: str, tract: float, sentences: Sequence[Sentence]) -> list[np.ndarray]:
    """Every sentence in espeak-ng's voice `variant`, float32 [samples] at 16 kHz.

    `tract` is the length of the vocal tract relative to the variant's own: formants and pitch are divided by
    it, the duration is not changed. Raises `DataError` where espeak-ng is not installed or fails.
    """
    request = {
        "language": "en-us",
        "variant": variant,
        # Stretching by `tract` slows speech down, which the rate makes up for.
        "sentences": [{**vars(s), "rate": round(s.rate * tract)} for s in sentences],
    }
    command = [sys.executable, "-P", str(SYNTHESISER)]
    done = subprocess.run(command, input=json.dumps(request).encode(), capture_output=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        missing = "No module named 'espeakng_loader" in reason[-1]
        raise DataError(
            "the synthesiser is not installed" if missing else f"the synthesiser cannot speak as '{variant}'",
            expected="espeak-ng, which the package espeakng-loader brings", found=reason[-1],
            fix="pip install 'cmd-speaker[mini]'",
        )  # fmt: skip
    waves, rest = [], done.stdout
    while rest:
        count = int(np.frombuffer(rest, np.uint32, 1)[0])
        wave = np.frombuffer(rest, np.int16, count, offset=4).astype(np.float32) / 32768
        rest = rest[4 + 2 * count :]
        waves.append(_resample(wave, tract * SAMPLE_RATE / SYNTHESISER_RATE))
    return waves


def _resample(wave: np.ndarray, ratio: float) -> np.ndarray:
    """`wave` float32 [samples] with `ratio` times as many samples, band-limited (by its Fourier transform)."""
    size = next_fast_len(round(len(wave) * ratio), real=True)
    # Silence at the end makes both transforms cover the same time.
    before = round(size / ratio)
    spectrum = rfft(wave, before)[: size // 2 + 1]
    return irfft(spectrum, size)[: round(len(wave) * ratio)].astype(np.float32) * np.float32(size / before)
