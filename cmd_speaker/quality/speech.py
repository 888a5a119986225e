"""Measures of a recording: signal-to-noise ratio, clipping, level, seconds of speech.

Each takes waveforms [batch, samples] at 16 kHz and gives one value a recording, float32 [batch]: the same code
measures a file, as a batch of one, and a training batch as the student hears it. None needs a model, and
all are defined on silence, on a constant and on a single sample; where a sample is NaN or infinite the value is
NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from cmd_speaker.audio import SAMPLE_RATE

FRAME, HOP, BINS = 512, 256, 8
"""Frames of 32 ms, every 16 ms; 8 neighbouring bins, 250 Hz, are one band, 31 bands in all."""
FLOOR_SHARE = 0.1
"""A band's noise floor is the power that this share of its frames stay below."""
FLOOR_BIAS_DB = 3.3
"""Mean power of Gaussian noise above the floor that is measured in it; by simulation, for 3 s."""
SPEECH_DB = 4.0
"""A frame this far above the floor, in the mean over the bands, is speech: noise alone has 2.8 +/- 0.4."""
QUIETEST = 1e-7
"""Least power of a band in a frame, relative to the mean of the recording: 70 dB below it nothing is heard."""
SILENCE = 1e-12
"""Least power of a recording's bands: under the rounding error of a constant."""
EXTREME = 0.01
"""A sample within this share of the range of the highest or the lowest one is at the extreme."""


def snr(waveforms: Tensor) -> Tensor:
    """Mean over 31 bands of the band's mean power above its noise floor, in dB.

    Noise alone has 0, silence -3.3. Speech leaves every band again and again, even where the recording has no
    pause: so the power that a tenth of a band's frames stay below is its noise (after minimum statistics,
    Martin 2001; the mean of decibels over bands is ours). It falls with stationary noise of any colour. It is
    no wide-band ratio: white noise buries the weak high bands first, and 10 dB of it gives about 3. Noise
    that comes and goes, or a second voice, is taken for speech.
    """
    power = _band_power(waveforms)
    return _decibels(power.mean(1) / _noise_floor(power)[:, 0]).mean(1) - FLOOR_BIAS_DB


def speech_seconds(waveforms: Tensor) -> Tensor:
    """Seconds of speech that stand out of the noise, after the same floor as in `snr`."""
    power = _band_power(waveforms)
    above = _decibels(power / _noise_floor(power)).mean(2) > SPEECH_DB
    share = above.float().mean(1).where(power.isfinite().all(2).all(1), torch.nan)
    return share * waveforms.shape[1] / SAMPLE_RATE


def clipping(waveforms: Tensor) -> Tensor:
    """Share of the samples at the extremes of the recording's own range, whatever its level; 0 for a constant.

    Speech that was not clipped has some in 10,000 there. What a codec or noise has smoothed afterwards is
    not found.
    """
    high, low = waveforms.amax(1, keepdim=True), waveforms.amin(1, keepdim=True)
    near = EXTREME * (high - low)
    share = ((waveforms >= high - near) | (waveforms <= low + near)).float().mean(1)
    return share.where(high[:, 0] > low[:, 0], high[:, 0] - low[:, 0])


def level(waveforms: Tensor) -> Tensor:
    """Mean power in dB below full scale (dBFS: a square wave of amplitude 1 has 0); silence has -120."""
    return _decibels(waveforms.square().mean(1).clamp_min(1e-12))


MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "snr": snr,
    "clipping": clipping,
    "level": level,
    "speech_seconds": speech_seconds,
}
"""Waveforms [batch, samples] -> [batch], by the name that a manifest's column and a recipe's source have."""


def _band_power(waveforms: Tensor) -> Tensor:
    """Waveforms [batch, samples] -> power [batch, frames, bands]; a frame that is not full ends in 0."""
    waveforms = pad(waveforms.float(), (0, max(0, FRAME - waveforms.shape[1])))
    frames = waveforms.unfold(1, FRAME, HOP)
    # Recorders add a constant, whose power leaks into the lowest band.
    frames = frames - frames.mean(2, keepdim=True)
    spectrum = torch.fft.rfft(frames * torch.hann_window(FRAME, device=waveforms.device))
    power = spectrum.real.square() + spectrum.imag.square()
    bands = power[..., 1 : 1 + (FRAME // 2 // BINS - 1) * BINS].unflatten(2, (-1, BINS)).mean(3)
    return bands.maximum((QUIETEST * bands.mean((1, 2), keepdim=True)).clamp_min(SILENCE))


def _noise_floor(power: Tensor) -> Tensor:
    """Power [batch, frames, bands] -> [batch, 1, bands]."""
    place = max(1, round(FLOOR_SHARE * power.shape[1]))
    return power.kthvalue(place, dim=1, keepdim=True).values


def _decibels(ratio: Tensor) -> Tensor:
    return 10 * torch.log10(ratio)
