"""Sessions: the room, microphone, level and noise of one day, and recordings made in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from cmd_speaker.audio import SAMPLE_RATE

BANDS = np.array([60, 125, 250, 500, 1000, 2000, 4000, 8000])
"""Hz: where a microphone's response is drawn; between them it is interpolated."""


@dataclass(frozen=True)
class Session:
    """What the recordings of one day have in common."""

    response: np.ndarray
    """Impulse response of room and microphone together, float64 [samples], at 16 kHz."""
    snr: float
    """Signal-to-noise ratio in dB."""
    slope: float
    """Of the noise's power, in dB an octave: 0 is white, -3 pink, -6 brown."""
    level: float
    """Root mean square of the recording, in dB re full scale."""


def draw_session(rng: np.random.Generator) -> Session:
    """A room of 0.1 to 0.4 s reverberation, a microphone of some 4 dB unevenness, 8 to 28 dB SNR."""
    seconds = rng.uniform(0.1, 0.4)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    # Exponentially decaying noise (Polack's model): 60 dB down at the end.
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    room = tail * np.sqrt(rng.uniform(0.02, 0.5) / np.sum(tail**2))
    room[0] = 1.0
    size = next_fast_len(2 * len(room), real=True)
    octaves = np.log2(np.maximum(rfftfreq(size, 1 / SAMPLE_RATE), BANDS[0]))
    microphone = 10 ** (np.interp(octaves, np.log2(BANDS), rng.normal(0, 4, len(BANDS))) / 20)
    response = irfft(rfft(room, size) * microphone, size)
    return Session(response, rng.uniform(8, 28), rng.uniform(-6, 0), rng.uniform(-34, -18))


def record(wave: np.ndarray, session: Session, rng: np.random.Generator) -> np.ndarray:
    """`wave` float32 [samples] at 16 kHz -> the same sentence as recorded in `session`, of equal length."""
    size = next_fast_len(len(wave) + len(session.response), real=True)
    speech = irfft(rfft(wave, size) * rfft(session.response, size), size)[: len(wave)]
    frequencies = np.maximum(rfftfreq(size, 1 / SAMPLE_RATE), BANDS[0])
    noise = irfft(rfft(rng.standard_normal(size)) * frequencies ** (session.slope / 6.02), size)[: len(wave)]
    mixed = speech / _rms(speech) + noise / _rms(noise) * 10 ** (-session.snr / 20)
    return np.clip(mixed * 10 ** (session.level / 20) / _rms(mixed), -1, 1).astype(np.float32)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))
