"""The noise that a study adds to test speech."""

import numpy as np
import pytest

from cmd_speaker.manifest import Utterance
from cmd_speaker.study.noise import AddedNoise

SPEECH = np.sin(np.arange(16000) / 9).astype(np.float32)


def added(snr, name):
    return AddedNoise(snr)(Utterance(name, None), SPEECH) - SPEECH


def test_every_system_hears_the_same_noise():
    np.random.seed(3)
    first = added(10, "a")
    np.random.seed(4)
    np.testing.assert_array_equal(added(10, "a"), first)
    # Another utterance, another noise: two Gaussian noises of 16,000 samples hardly correlate.
    assert abs(np.corrcoef(first, added(10, "b"))[0, 1]) < 0.05


@pytest.mark.parametrize("snr", [20.0, 0.0])
def test_levels_differ_in_loudness_only(snr):
    noise = added(snr, "a")
    assert 10 * np.log10(np.mean(SPEECH**2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.01)
    assert np.corrcoef(noise, added(10, "a"))[0, 1] > 0.999
