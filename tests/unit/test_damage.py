"""Graded damage: what was asked for, and the same for the same seed."""

from itertools import pairwise

import numpy as np
import pytest

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.quality import damage
from tests.conftest import voice

SPEECH = voice(120, 1.0, 2.0, np.random.default_rng(0))


def rng(seed=1):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("colour", ["white", "pink"])
@pytest.mark.parametrize("snr_db", [20, 0])
def test_noise_has_the_power_that_was_asked_for(colour, snr_db):
    noisy = damage.add_noise(SPEECH, snr_db, rng(), colour)
    noise = noisy.astype(float) - SPEECH
    assert noisy.dtype == np.float32
    assert 10 * np.log10((SPEECH.astype(float) ** 2).mean() / (noise**2).mean()) == pytest.approx(
        snr_db, abs=0.01
    )
    assert np.array_equal(noisy, damage.add_noise(SPEECH, snr_db, rng(), colour))
    assert not np.array_equal(noisy, damage.add_noise(SPEECH, snr_db, rng(2), colour))


def test_power_of_pink_noise_halves_with_each_octave():
    """The density does; so every octave has the same power, and there is none below 20 Hz."""
    for slope, ratio in ((0.0, 2.0), (1.0, 1.0)):
        power = np.abs(np.fft.rfft(damage.coloured_noise(160000, rng(), slope))) ** 2  # bins of 0.1 Hz
        octaves = [power[first : 2 * first].sum() for first in (5000, 10000, 20000)]
        assert [b / a for a, b in pairwise(octaves)] == pytest.approx([ratio] * 2, rel=0.05)
        assert (power[:200].max() < 1e-9) == (slope == 1)


def test_noise_on_very_short_recordings():
    assert damage.add_noise(np.array([0.5], np.float32), 10, rng(), "pink").shape == (1,)


@pytest.mark.parametrize("samples", [np.zeros(100, np.float32), np.array([]), np.array([np.nan, 1.0])])
def test_noise_cannot_be_set_against_nothing(samples):
    with pytest.raises(DataError, match="signals cannot be mixed at a ratio"):
        damage.add_noise(samples, 10, rng())


def test_other_colours_are_refused():
    with pytest.raises(UsageError, match="expected white or pink, found 'brown'"):
        damage.add_noise(SPEECH, 10, rng(), "brown")


def test_mixing_by_hand():
    # Powers 4 and 1, the other 6.0206 dB below: as it is.
    mixed = damage.mix(np.array([2.0, -2.0]), np.array([1.0, 1.0]), 20 * np.log10(2))
    assert mixed.tolist() == pytest.approx([3, -1])


def test_reverberation_decays_by_60_db():
    click = np.zeros(16000, np.float32)
    click[0] = 1
    response = damage.reverberate(click, 0.5, rng())
    assert len(response) == 16000
    assert np.sum(np.square(response[1:])) == pytest.approx(response[0] ** 2, rel=1e-4) == 1
    power = [np.square(response[start : start + 400]).mean() for start in (400, 400 + 4000)]
    assert 10 * np.log10(power[0] / power[1]) == pytest.approx(30, abs=2), (
        "half of the time, half of the decibels"
    )
    assert np.abs(response[8000:]).max() < 1e-6


def test_clipping_by_hand():
    # A quarter of the magnitudes (1, 2, 3, 4, 5) lies above 4, their 75 % quantile.
    samples = np.array([-1, 2, -5, 4, 3], np.float32)
    assert damage.clip_samples(samples, 0.25).tolist() == [-1, 2, -4, 4, 3]
    assert damage.clip_samples(samples, 0).tolist() == samples.tolist()
    assert np.mean(
        np.abs(damage.clip_samples(SPEECH, 0.1)) == np.abs(damage.clip_samples(SPEECH, 0.1)).max()
    ) == (pytest.approx(0.1, abs=0.001))


def test_truncation_keeps_a_stretch():
    samples = np.arange(100)
    cut = damage.truncate(samples, 0.25, rng())
    assert np.array_equal(cut, np.arange(cut[0], cut[0] + 25))
    assert {int(damage.truncate(samples, 0.25, rng(seed))[0]) for seed in range(5)} != {int(cut[0])}
    assert len(damage.truncate(samples, 0.001, rng())) == 1
    assert np.array_equal(damage.truncate(samples, 1.0, rng()), samples)


def test_blur_spreads_a_point_and_keeps_its_sum():
    picture = np.zeros((3, 21, 21), np.uint8)
    picture[0, 10, 10] = 250
    blurred = damage.blur(picture, 1.0).astype(int)
    # A Gaussian of standard deviation 1 has 1 / (2 pi) of its sum at its centre, up to the grid's rounding.
    assert blurred[0, 10, 10] == pytest.approx(250 / (2 * np.pi), abs=1)
    assert blurred[0].sum() == pytest.approx(250, abs=15)
    assert blurred[1:].sum() == 0, "a colour must not run into another"
    assert np.array_equal(damage.blur(picture, 0), picture)


def test_downscaling_by_hand():
    picture = np.array([[0, 100, 4, 4], [100, 200, 4, 4]], np.uint8)
    assert damage.downscale(picture, 2).tolist() == [[100, 4]]
    assert damage.downscale(np.stack([picture] * 3), 100).shape == (3, 1, 1)


def test_lost_words():
    text = "one two three four five"
    kept = damage.drop_words(text, 0.4, rng()).split()
    assert len(kept) == 3
    assert kept == [word for word in text.split() if word in kept], "in their order"
    assert damage.drop_words(text, 0, rng()) == text
    assert len(damage.drop_words(text, 0.99, rng()).split()) == 1
    assert damage.drop_words("", 0.5, rng()) == ""
