"""Graded damage, the same for the same seed: noise, reverberation, clipping, truncation, blur, lost words.

Quality measures are judged by their answer to it, and students by what they make of it. Every function gives a new
array or text; where chance decides, it is the caller's `rng`.
"""

from __future__ import annotations

import math

import numpy as np

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.errors import DataError, UsageError

COLOURS = {"white": 0.0, "pink": 1.0}
"""Power density of the noise goes with one over the frequency to this power."""
LOWEST_HZ = 20.0
"""Pink noise begins here: below it there is as much power in every octave, and nothing to hear."""


def add_noise(
    samples: np.ndarray, snr_db: float, rng: np.random.Generator, colour: str = "white"
) -> np.ndarray:
    """Speech [samples] with Gaussian noise, as `mix` does.

    `colour` is white (equal power at all frequencies) or pink (power falls by 3 dB an octave, as the noise of
    many places does). Raises as `mix` does, and `UsageError` for another colour.
    """
    if colour not in COLOURS:
        raise UsageError(f"colour of the noise: expected {' or '.join(COLOURS)}, found '{colour}'")
    return mix(samples, coloured_noise(len(samples), rng, COLOURS[colour]), snr_db)


def mix(samples: np.ndarray, other: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech [samples] with `other` [samples] `snr_db` decibels below it, both by their mean power: float32.

    The mean is over the whole recording, pauses included. Raises `DataError` where one of them is silent.
    """
    speech, other = np.asarray(samples, np.float64), np.asarray(other, np.float64)
    gain = math.sqrt(_power(speech) / 10 ** (snr_db / 10) / _power(other))
    return (speech + gain * other).astype(np.float32)


def _power(samples: np.ndarray) -> float:
    power = float(np.mean(np.square(samples))) if samples.size else 0.0
    if not 0 < power < math.inf:
        raise DataError(
            "signals cannot be mixed at a ratio", expected="finite signals that are not silent",
            found=f"mean power {power}", fix="Leave the recording out",
        )  # fmt: skip
    return power


def coloured_noise(length: int, rng: np.random.Generator, slope: float) -> np.ndarray:
    """Gaussian noise [length] whose power density falls with the frequency to the power `slope`; float64.

    A slope other than 0 has no power below `LOWEST_HZ`; what is too short for that frequency is white.
    """
    white = rng.standard_normal(length)
    if slope == 0 or length < SAMPLE_RATE / LOWEST_HZ:
        return white
    frequencies = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    audible = frequencies >= LOWEST_HZ
    gain = np.zeros(len(frequencies))
    gain[audible] = frequencies[audible] ** (-slope / 2)
    return np.fft.irfft(np.fft.rfft(white) * gain, length)


def reverberate(samples: np.ndarray, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Speech [samples] in a room whose sound decays by 60 dB in `seconds`: float32, no longer than it was.

    The response is a direct path and Gaussian noise that decays exponentially (Polack's statistical model), the
    two of equal energy.
    """
    from scipy.signal import fftconvolve

    time = np.arange(1, round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * np.exp(-math.log(1000) * time / seconds)
    response = np.concatenate([[1.0], tail / math.sqrt(np.square(tail).sum())])
    return fftconvolve(samples, response)[: len(samples)].astype(np.float32)


def clip_samples(samples: np.ndarray, share: float) -> np.ndarray:
    """Speech [samples] cut at the level that `share` of them, in [0, 1), exceed; at share 0 as it was."""
    samples = np.asarray(samples)
    limit = np.quantile(np.abs(samples), 1 - share).astype(samples.dtype)
    return np.clip(samples, -limit, limit)


def truncate(samples: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of `share`, in (0, 1], of the speech [samples]; at least one sample."""
    length = max(1, round(share * len(samples)))
    start = int(rng.integers(len(samples) - length + 1))
    return samples[start : start + length].copy()


def blur(picture: np.ndarray, radius: float) -> np.ndarray:
    """A picture uint8 [..., height, width] under a Gaussian of standard deviation `radius` pixels."""
    from scipy.ndimage import gaussian_filter

    sharp = picture.astype(np.float64)
    return gaussian_filter(sharp, radius, axes=(-2, -1)).round().clip(0, 255).astype(np.uint8)


def downscale(picture: np.ndarray, factor: float) -> np.ndarray:
    """A picture uint8 [..., height, width] at `1 / factor` of its height and width, at least one pixel each."""
    from PIL import Image

    height, width = (max(1, round(side / factor)) for side in picture.shape[-2:])
    planes = picture.reshape(-1, *picture.shape[-2:])
    small = [Image.fromarray(plane).resize((width, height), Image.Resampling.BOX) for plane in planes]
    return np.stack([np.asarray(plane) for plane in small]).reshape(*picture.shape[:-2], height, width)


def drop_words(text: str, share: float, rng: np.random.Generator) -> str:
    """A text without `share`, in [0, 1], of its words, drawn at random; at least one of them stays."""
    words = text.split()
    kept = max(1, round((1 - share) * len(words)))
    places = np.sort(rng.permutation(len(words))[:kept])
    return " ".join(words[place] for place in places)
