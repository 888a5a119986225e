"""Augmentation through SpeechBrain's augmenter: speed, noise, reverberation, and SpecAugment on features.

SpeechBrain's `AddNoise` and `AddReverb` step through their files with iterators whose place no checkpoint
holds. The two classes here draw each file from torch's random state instead, so that a resumed run
goes on with the same noises.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.freq_domain import SpectrogramDrop
from speechbrain.augment.time_domain import AddNoise, AddReverb, SpeedPerturb
from torch import Tensor

from cmd_speaker.audio import SAMPLE_RATE, probe, read_audio
from cmd_speaker.errors import DataError
from cmd_speaker.inputs import audio_files


def waveform_augmenter(
    speed: bool = False,
    noise: bool = False,
    reverberation: bool = False,
    noise_folder: str | Path | None = None,
    rir_folder: str | Path | None = None,
    speeds: tuple[int, ...] = (95, 100, 105),
    snr_low: float = 0.0,
    snr_high: float = 15.0,
    probability: float = 1.0,
) -> Augmenter | None:
    """SpeechBrain's `Augmenter` with the parts that are switched on, or None.

    A step applies a random number of them, in random order. `noise_folder` holds noise recordings (MUSAN,
    for example), searched recursively; without one the noise is white. `rir_folder` holds room impulse
    responses, likewise, for example RIRS_NOISES; without one they are drawn from a statistical model. `speeds`
    are percentages, signal-to-noise ratios dB.
    """
    parts: list[torch.nn.Module] = []
    if speed:
        parts.append(RandomSpeed(SAMPLE_RATE, speeds=list(speeds)))
    if reverberation:
        parts.append(RandomReverb(rir_folder))
    if noise:
        parts.append(RandomNoise(noise_folder, snr_low, snr_high))
    if not parts:
        return None
    return Augmenter(
        min_augmentations=0, max_augmentations=len(parts), shuffle_augmentations=True,
        augment_prob=probability, augmentations=parts,
    )  # fmt: skip


def spec_augment(enabled: bool = True) -> Augmenter:
    """Light SpecAugment (Park et al. 2019) on features [batch, frames, bins]: a step applies none, one or both.

    One or two stretches of up to 10 frames, and one or two of up to 8 bins, are set to zero. Where it is not
    `enabled` it changes nothing but still draws its numbers, so that the rest of the run draws the same.
    """

    def drop(longest: int, dim: int) -> SpectrogramDrop:
        return SpectrogramDrop(
            drop_length_low=1, drop_length_high=longest, drop_count_low=1, drop_count_high=2, dim=dim
        )

    return Augmenter(
        min_augmentations=0, max_augmentations=2, enable_augmentations=[enabled, enabled],
        augmentations=[drop(10, dim=1), drop(8, dim=2)],
    )  # fmt: skip


class RandomSpeed(SpeedPerturb):
    """SpeechBrain's, on the waveforms' own device; its own would take them to the CPU and back."""

    def forward(self, waveform: Tensor) -> Tensor:
        self.device = waveform.device
        return super().forward(waveform)


class RandomNoise(AddNoise):
    """Adds a random stretch of a random file to each waveform of the batch, or white noise."""

    def __init__(self, folder: str | Path | None, snr_low: float, snr_high: float) -> None:
        super().__init__(snr_low=snr_low, snr_high=snr_high)
        self.files = _files(folder) if folder else []
        self.csv_file = str(folder) if folder else None

    def _load_noise(self, lengths: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
        drawn = []
        for _ in range(len(lengths)):
            path = self.files[_draw(len(self.files))]
            drawn.append((path, _draw(_length(path)), max_length))
        # More than torch's threads, of which there is one under torchrun: they wait for the disk.
        with ThreadPoolExecutor() as pool:
            rows = list(pool.map(_stretch, *zip(*drawn, strict=True)))
        return torch.from_numpy(np.stack(rows)).to(lengths.device), lengths


class RandomReverb(AddReverb):
    """Convolves the batch with a random room impulse response.

    Without files the response is Gaussian noise that decays by 60 dB in 0.1 to 0.6 s after a direct path
    (Polack's statistical model). Of RIRS_NOISES (OpenSLR 28; Ko et al., ICASSP 2017) the simulated responses are
    taken, as most recipes do: its other folders hold noises too, and responses of eight channels.
    """

    def __init__(self, folder: str | Path | None) -> None:
        super().__init__(csv_file="")
        self.files = []
        if folder:
            simulated = Path(folder) / "simulated_rirs"
            self.files = _files(simulated if simulated.is_dir() else folder)

    def _load_rir(self, waveforms: Tensor) -> Tensor:
        if self.files:
            response = torch.from_numpy(_read(self.files[_draw(len(self.files))]))
        else:
            seconds = 0.1 + 0.5 * float(torch.rand(()))
            time = torch.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
            response = 0.1 * torch.randn(len(time)) * torch.exp(-6.908 * time / seconds)
            response[0] = 1.0
        return response[None, :, None].to(waveforms)


def _draw(end: int) -> int:
    return int(torch.randint(end, ()))


def _files(folder: str | Path) -> list[Path]:
    """As `audio_files`; a link that leads nowhere is refused before the training, not when it is drawn."""
    files = audio_files(folder)
    for path in files:
        if not path.is_file():
            raise DataError(
                "a link that leads nowhere", file=path, fix="Mount the disk that it leads to, or remove it"
            )
    return files


def _stretch(path: Path, start: int, length: int) -> np.ndarray:
    """`length` samples of a file, repeated where it ends; where that can be, no others are decoded."""
    if not _is_seekable(path) or start + length > _length(path):
        return np.take(_read(path), np.arange(start, start + length), mode="wrap")
    try:
        return read_audio(path, start=start, stop=start + length, convert=True, min_seconds=0.0)
    except DataError:
        # A noise may pause: the file as a whole is judged, and what is wrong with it is raised.
        return _read(path)[start : start + length]


@cache
def _is_seekable(path: Path) -> bool:
    """Whether samples at 16 kHz can be read from the midst of the file."""
    return path.suffix.lower() in (".wav", ".flac") and probe(path).sample_rate == SAMPLE_RATE


@cache
def _length(path: Path) -> int:
    """Samples at 16 kHz."""
    return probe(path).samples if _is_seekable(path) else len(_read(path))


@lru_cache(maxsize=256)
def _read(path: Path) -> np.ndarray:
    return read_audio(path, convert=True, min_seconds=0.0)
