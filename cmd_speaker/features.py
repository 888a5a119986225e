"""The front-ends a model may name, and sentence mean normalisation.

A front-end maps waveforms [batch, samples] in [-1, 1] to log-mel features [batch, frames, mels].
All waveforms of a batch have the same number of samples: nothing is padded, nothing is masked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cmd_speaker.audio import SAMPLE_RATE


class KaldiFbank(nn.Module):
    """Kaldi's log-mel filterbank, for whole batches and on any device.

    Povey window of 25 ms every 10 ms, no dither, `snip_edges` off, pre-emphasis 0.97, DC removal,
    mel filters from 20 Hz to 400 Hz below the Nyquist frequency: what sherpa-onnx computes,
    so that a model trained on it can be used there. Equal to
    `torchaudio.compliance.kaldi.fbank` and kaldi-native-fbank (tests/parity).
    """

    frame_length = 400
    frame_shift = 160
    fft_size = 512
    preemphasis = 0.97
    scale = 32768.0
    """Kaldi works on 16-bit integers."""
    banks: Tensor
    window: Tensor

    def __init__(self, n_mels: int = 80) -> None:
        super().__init__()
        from torchaudio.compliance.kaldi import get_mel_banks

        self.n_mels = n_mels
        banks, _ = get_mel_banks(n_mels, self.fft_size, float(SAMPLE_RATE), 20.0, -400.0, 100.0, -500.0, 1.0)
        # Kaldi's filters leave out the Nyquist bin.
        self.register_buffer("banks", nn.functional.pad(banks, (0, 1)).T.contiguous(), persistent=False)
        window = torch.hann_window(self.frame_length, periodic=False, dtype=torch.float64) ** 0.85
        self.register_buffer("window", window.float(), persistent=False)

    def config(self) -> dict[str, Any]:
        return {"n_mels": self.n_mels}

    def forward(self, waveforms: Tensor) -> Tensor:
        frames = self._frames(waveforms * self.scale)
        frames = frames - frames.mean(dim=-1, keepdim=True)
        previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        frames = (frames - self.preemphasis * previous) * self.window
        power = torch.fft.rfft(frames, n=self.fft_size).abs().square()
        return (power @ self.banks).clamp_min(torch.finfo(torch.float32).eps).log()

    def _frames(self, waveforms: Tensor) -> Tensor:
        """[batch, samples] -> [batch, frames, 400]: centred frames, mirrored at both ends.

        There is a frame for every 160 samples, rounded; the last one reaches 41 to 200 samples into the mirror.
        """
        left, right = (self.frame_length - self.frame_shift) // 2, self.frame_length // 2
        # `narrow` rather than slices: an export sees that their lengths do not depend on the recording's.
        start = waveforms.narrow(1, 0, left)
        end = waveforms.narrow(1, waveforms.shape[1] - right, right)
        ends = [start.flip(1), waveforms, end.flip(1)]
        return torch.cat(ends, dim=1).unfold(1, self.frame_length, self.frame_shift)


class SpeechBrainFbank(nn.Module):
    """SpeechBrain's own log-mel filterbank, for models that live in its recipes only."""

    def __init__(self, n_mels: int = 80) -> None:
        super().__init__()
        from speechbrain.lobes.features import Fbank

        self.n_mels = n_mels
        self.fbank = Fbank(n_mels=n_mels, sample_rate=SAMPLE_RATE)

    def config(self) -> dict[str, Any]:
        return {"n_mels": self.n_mels}

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.fbank(waveforms)


FRONT_ENDS: dict[str, type[nn.Module]] = {
    "kaldi_fbank": KaldiFbank,
    "speechbrain_fbank": SpeechBrainFbank,
}


def build_front_end(name: str, **arguments: Any) -> nn.Module:
    """A front-end of `FRONT_ENDS` by its name; raises `ValueError` for another name."""
    if name not in FRONT_ENDS:
        raise ValueError(f"unknown front-end '{name}': expected {' or '.join(FRONT_ENDS)}")
    return FRONT_ENDS[name](**arguments)


def mean_normalise(features: Tensor) -> Tensor:
    """Subtract each utterance's mean over time: [batch, frames, mels] -> the same shape."""
    return features - features.mean(dim=1, keepdim=True)
