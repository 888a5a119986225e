"""Speed, noise and reverberation through SpeechBrain's augmenter."""

import random
import threading

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.freq_domain import SpectrogramDrop
from speechbrain.augment.time_domain import SpeedPerturb

from cmd_speaker.audio import read_audio
from cmd_speaker.brain import augment
from cmd_speaker.errors import DataError
from cmd_speaker.training import augmentation
from cmd_speaker.training.augmentation import RandomNoise, RandomReverb, spec_augment, waveform_augmenter

SPEECH = 0.1 * torch.randn(4, 8000, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.ones(4)


@pytest.fixture
def noises(tmp_path):
    """Two files, of which one is constantly positive and one constantly negative; half a second each."""
    for name, sign in (("up", 0.5), ("down", -0.5)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(4000, sign) + 0.001 * np.arange(4000) / 4000, 16000)
    return tmp_path


def snr(clean, noisy):
    # SpeechBrain scales the speech down by 1 - factor, so project it out.
    scale = (noisy * clean).sum(1) / clean.square().sum(1)
    noise = noisy - scale[:, None] * clean
    return 20 * torch.log10(scale * clean.norm(dim=1) / noise.norm(dim=1))


def test_nothing_switched_on_is_none():
    assert waveform_augmenter() is None


def test_speed_is_changed_on_the_device_of_the_waveforms():
    """`meta` stands for a GPU: nothing can come to the CPU from there."""
    augmenter = waveform_augmenter(speed=True, speeds=(80,))
    assert augmenter is not None
    (changed,) = augmenter.augmentations.values()
    assert changed(torch.empty(4, 8000, device="meta")).shape == (4, 10000)


def test_noises_are_read_side_by_side_whatever_torch_has_of_threads(noises, monkeypatch):
    """Under torchrun that is one. Two readings wait here for each other."""
    both, stretch = threading.Barrier(2, timeout=20), augmentation._stretch
    monkeypatch.setattr(augmentation, "_stretch", lambda *a: (both.wait(), stretch(*a))[1])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert RandomNoise(noises, 0, 0)._load_noise(torch.ones(2), 1000)[0].shape == (2, 1000)


def test_white_noise_at_the_asked_ratio():
    noisy = RandomNoise(None, 10.0, 10.0)(SPEECH, LENGTHS)
    assert snr(SPEECH, noisy).tolist() == pytest.approx([10.0] * 4, abs=0.2)


def test_files_of_noise_at_the_asked_ratio_longer_than_the_file(noises):
    torch.manual_seed(0)
    speech = SPEECH.repeat(8, 1)
    noisy = RandomNoise(noises, 5.0, 5.0)(speech, torch.ones(32))
    assert snr(speech, noisy).tolist() == pytest.approx([5.0] * 32, abs=0.2)
    offsets = (noisy - speech * 0.64).mean(dim=1)
    assert len(set(torch.sign(offsets).tolist())) == 2, "both files are drawn"


@pytest.mark.parametrize("form", ["noise.wav", "noise.flac", "noise.mp3", "8 kHz.wav", "stereo.wav"])
def test_a_stretch_of_noise_is_that_of_the_whole_file(tmp_path, form):
    """Drawn file by file from torch's random state: 12,000 samples of one file, repeated at its end."""
    rate, channels = 8000 if form == "8 kHz.wav" else 16000, 2 if form == "stereo.wav" else 1
    noise = np.random.default_rng(0).normal(0, 0.1, (2 * rate, channels))
    soundfile.write(tmp_path / form, noise, rate)
    whole = read_audio(tmp_path / form, convert=True)
    torch.manual_seed(0)
    stretches, _ = RandomNoise(tmp_path, 0, 0)._load_noise(torch.ones(20), 12000)
    torch.manual_seed(0)
    drawn = [(torch.randint(1, ()), torch.randint(len(whole), ()))[1] for _ in range(20)]
    places = np.stack([np.arange(start, start + 12000) % len(whole) for start in drawn])
    assert 1 < (places[:, -1] < places[:, 0]).sum() < 19, "some run over the end, some do not"
    np.testing.assert_array_equal(stretches, whole[places])


def test_a_noise_may_pause_but_not_be_silent(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, (16000, 2))
    soundfile.write(tmp_path / "a.wav", np.concatenate([np.zeros((32000, 2)), noise]), 16000)
    torch.manual_seed(0)
    stretches, _ = RandomNoise(tmp_path, 0, 0)._load_noise(torch.ones(20), 1000)
    assert 0 < (stretches == 0).all(dim=1).sum() < 20
    soundfile.write(tmp_path / "b.wav", 0 * noise, 16000)
    with pytest.raises(DataError, match="silent"):
        RandomNoise(tmp_path, 0, 0)._load_noise(torch.ones(20), 1000)


def test_of_a_long_noise_only_the_stretch_is_decoded(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "long.flac", np.random.default_rng(0).normal(0, 0.1, 600 * 16000), 16000)
    decoded, read = [], soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda *a, **k: decoded.append(out := read(*a, **k)) or out
    )
    torch.manual_seed(0)
    RandomNoise(tmp_path, 0, 0)._load_noise(torch.ones(4), 8000)
    assert [len(samples) for samples in decoded] == [8000] * 4


def test_reverberation_keeps_shape_and_changes_sound():
    torch.manual_seed(0)
    reverberant = RandomReverb(None)(SPEECH)
    assert reverberant.shape == SPEECH.shape
    assert (reverberant - SPEECH).norm() > 0.1 * SPEECH.norm()


def test_a_response_from_a_file_is_used(tmp_path):
    delta = np.zeros(800)
    delta[0] = 0.9
    soundfile.write(tmp_path / "delta.wav", delta, 16000)
    torch.testing.assert_close(RandomReverb(tmp_path)(SPEECH), SPEECH, rtol=1e-3, atol=1e-3)


def test_musan_and_rirs_noises_as_they_are_unpacked(tmp_path):
    """Of MUSAN all recordings, at any depth, beside its texts; of RIRS_NOISES the simulated responses only."""
    musan = (
        "music/fma/music-fma-0000.wav",
        "noise/free-sound/noise-free-sound-0000.wav",
        "noise/sound-bible/a.wav",
    )
    rirs = (
        "simulated_rirs/smallroom/Room001/Room001-00001.wav", "pointsource_noises/noise-free-sound-0000.wav",
        "simulated_rirs/largeroom/Room200/Room200-00100.wav",
        "real_rirs_isotropic_noises/RVB2014_type1_noise_largeroom1_1.wav",
    )  # fmt: skip
    texts = (
        "musan/README",
        "musan/noise/free-sound/ANNOTATIONS",
        "RIRS_NOISES/simulated_rirs/smallroom/rir_list",
    )
    for name in (*(f"musan/{each}" for each in musan), *(f"RIRS_NOISES/{each}" for each in rirs), *texts):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    noise, reverb = RandomNoise(tmp_path / "musan", 0, 15), RandomReverb(tmp_path / "RIRS_NOISES")
    assert noise.files == [tmp_path / "musan" / each for each in musan]
    assert reverb.files == sorted(tmp_path / "RIRS_NOISES" / each for each in rirs[::2])


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="no audio files"):
        waveform_augmenter(noise=True, noise_folder=tmp_path)


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(DataError, match="leads nowhere"):
        waveform_augmenter(noise=True, noise_folder=tmp_path)


def test_the_random_state_decides_everything(noises):
    augmenter = waveform_augmenter(True, True, True, noise_folder=noises)

    def run():
        random.seed(5)
        torch.manual_seed(5)
        return [augmenter(SPEECH, LENGTHS)[0] for _ in range(6)]

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)


def test_copies_are_followed_by_their_index_and_nothing_is_padded():
    torch.manual_seed(0)
    faster = Augmenter(
        concat_original=True,
        min_augmentations=1,
        max_augmentations=1,
        augmentations=[SpeedPerturb(16000, speeds=[110])],
    )
    out, index = augment(faster, SPEECH, torch.arange(4))
    assert index.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert out.shape == (8, round(8000 / 1.1))
    assert (out[4:, -20:].abs() > 0).any(dim=1).all()


def test_without_augmenter_nothing_changes():
    out, index = augment(None, SPEECH, torch.arange(4))
    assert out is SPEECH
    assert index.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("enabled", [True, False])
def test_spec_augment_draws_and_drops_as_speechbrains_parts_do(enabled):
    """The block that a YAML would hold; the same draws also where it is switched off."""
    stretch = {"drop_length_low": 1, "drop_count_low": 1, "drop_count_high": 2}
    parts = Augmenter(
        min_augmentations=0, max_augmentations=2, enable_augmentations=[enabled, enabled],
        augmentations=[
            SpectrogramDrop(drop_length_high=10, dim=1, **stretch),
            SpectrogramDrop(drop_length_high=8, dim=2, **stretch),
        ],
    )  # fmt: skip
    features = torch.rand(4, 60, 40, generator=torch.Generator().manual_seed(0)) + 1

    def run(augmenter):
        random.seed(5)
        torch.manual_seed(5)
        out = [augmenter(features, LENGTHS)[0] for _ in range(8)]
        return torch.stack([*out]), torch.rand(3), random.random()

    (out, *drawn), (expected, *expected_draws) = run(spec_augment(enabled)), run(parts)
    assert torch.equal(out, expected)
    assert torch.equal(drawn[0], expected_draws[0])
    assert drawn[1] == expected_draws[1]
    assert bool((out == 0).any()) == enabled
