"""The front-end against two other implementations of Kaldi's."""

import kaldi_native_fbank
import numpy as np
import pytest
import torch
from torchaudio.compliance import kaldi

from cmd_speaker.features import KaldiFbank, SpeechBrainFbank, mean_normalise

LENGTHS = [1600, 16000, 16079, 16080, 32003, 40077]


def waveforms(samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(3, samples, generator=torch.Generator().manual_seed(samples))


@pytest.mark.parametrize("samples", LENGTHS)
def test_equals_torchaudio(samples):
    x = waveforms(samples)
    batch = KaldiFbank()(x)
    for row, features in zip(x, batch, strict=True):
        expected = kaldi.fbank(
            row[None] * 32768,
            num_mel_bins=80,
            dither=0.0,
            snip_edges=False,
            high_freq=-400.0,
            window_type="povey",
        )
        torch.testing.assert_close(features, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("samples", LENGTHS)
def test_equals_kaldi_native_fbank(samples):
    """The library that sherpa-onnx computes its features with."""
    x = waveforms(samples)
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.frame_opts.snip_edges = 0.0, False
    options.mel_opts.num_bins, options.mel_opts.high_freq = 80, -400.0
    native = kaldi_native_fbank.OnlineFbank(options)
    native.accept_waveform(16000, (x[1] * 32768).tolist())
    native.input_finished()
    expected = np.stack([native.get_frame(i) for i in range(native.num_frames_ready)])
    np.testing.assert_allclose(KaldiFbank()(x)[1].numpy(), expected, rtol=0, atol=2e-3)


def test_another_number_of_mels():
    assert KaldiFbank(40)(waveforms(16000)).shape == (3, 100, 40)


def test_silence_has_the_floor_of_kaldi():
    floor = float(np.log(np.finfo(np.float32).eps))
    assert KaldiFbank()(torch.zeros(1, 16000)).unique().tolist() == pytest.approx([floor])


def test_speechbrain_front_end_is_speechbrains():
    from speechbrain.lobes.features import Fbank

    x = waveforms(16000)
    torch.testing.assert_close(SpeechBrainFbank()(x), Fbank(n_mels=80)(x))


def test_mean_normalise():
    normalised = mean_normalise(torch.randn(2, 50, 8) + 5)
    assert normalised.mean(dim=1).abs().max() < 1e-5
