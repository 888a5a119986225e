"""Measures of speech, pictures and texts: hand-worked values, and their answer to graded damage."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cmd_speaker.audio import read_audio
from cmd_speaker.quality import damage, image, speech, text
from cmd_speaker.quality.columns import MEASURED_IN, measure_speech
from cmd_speaker.quality.sources import SOURCES, sign_of
from cmd_speaker.teachers.pictures import read_picture

GRADES = (20, 15, 10, 5, 0)


@pytest.fixture(scope="module")
def voices(tiny_speechocean):
    """The synthetic recordings, 0.6 to 2 s."""
    return [read_audio(path) for path in sorted(tiny_speechocean().rglob("*.WAV"))]


@pytest.fixture(scope="module")
def faces(shared_data):
    """Fifteen people of the ORL faces, uint8 [3, 112, 92]."""
    return [read_picture(shared_data / "orl_faces" / f"s{k}" / "1.pgm") for k in range(1, 16)]


def measured(name, recordings):
    return np.array([measure_speech(samples, [name])[name] for samples in recordings])


def noisy(recordings, snr_db, colour, seed=0):
    return [
        damage.add_noise(samples, snr_db, np.random.default_rng((seed, snr_db, k)), colour)
        for k, samples in enumerate(recordings)
    ]


def auc(better, worse):
    return roc_auc_score([1] * len(better) + [0] * len(worse), [*better, *worse])


@pytest.mark.parametrize("colour", ["white", "pink"])
def test_snr_falls_with_every_grade_of_noise(voices, colour):
    clean = measured("snr", voices)
    graded = [measured("snr", noisy(voices, snr, colour)) for snr in GRADES]
    medians = [np.median(values) for values in (clean, *graded)]
    assert all(a > b for a, b in pairwise(medians)), medians
    assert auc(clean, graded[GRADES.index(10)]) > 0.9
    assert np.mean(clean > graded[0]) > 0.9, "of the same recording too"


def test_snr_falls_with_every_grade_on_real_speech(shared_data):
    corpus = shared_data / "speechocean762"
    recordings = [read_audio(path) for path in sorted((corpus / "WAVE" / "SPEAKER0003").glob("*.opus"))[:6]]
    crops = [samples[8000:24000] for samples in recordings]
    for colour in ("white", "pink"):
        graded = [measured("snr", crops), *(measured("snr", noisy(crops, snr, colour)) for snr in GRADES)]
        assert all((a > b).all() for a, b in pairwise(graded)), (
            "each recording at each grade, in 1 s of speech"
        )


def test_speech_seconds_fall_with_noise_and_truncation(voices):
    clean = measured("speech_seconds", voices)
    seconds = np.array([len(samples) / 16000 for samples in voices])
    assert ((clean > 0) & (clean <= seconds)).all()
    assert (measured("speech_seconds", noisy(voices, 0, "pink")) < clean).mean() > 0.9
    rng = np.random.default_rng(0)
    cut = measured("speech_seconds", [damage.truncate(samples, 0.5, rng) for samples in voices])
    assert (cut < clean).all()


def test_noise_alone_has_no_speech_and_no_snr():
    noise = torch.randn(20, 48000, generator=torch.Generator().manual_seed(0))
    assert speech.snr(noise).mean().item() == pytest.approx(0, abs=0.1)
    assert speech.speech_seconds(noise).max() < 0.06


def test_snr_by_hand():
    """Noise that is 40 dB quieter for 15 % of its time: what the quietest tenth of the frames show is its floor.

    In every band the mean is 0.85 * 10^4 times that of the quiet frames. The floor, a tenth of all frames, is the
    67th percentile of the quiet ones, close to their mean. 3.3 dB are what noise alone would have.
    """
    noise = torch.randn(1, 160000, generator=torch.Generator().manual_seed(0))
    noise[:, :24000] *= 0.01
    expected = 10 * math.log10(0.85e4) - speech.FLOOR_BIAS_DB
    assert speech.snr(noise).item() == pytest.approx(expected, abs=0.7)


def test_clipping_by_hand():
    # Ten samples from -5 to 4: within 1 % of the range of 9 lie the lowest and the two highest.
    ramp = torch.tensor([[-5.0, -4, -3, -2, -1, 0, 1, 2, 4, 4], [0.5] * 10])
    assert speech.clipping(ramp).tolist() == pytest.approx([0.3, 0])
    assert speech.clipping(0.001 * ramp).tolist() == pytest.approx([0.3, 0])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_clipping_finds_the_share_at_any_level(voices, share):
    clipped = [damage.clip_samples(0.01 * samples, share) for samples in voices]
    assert np.median(measured("clipping", clipped)) == pytest.approx(share, rel=0.25)
    assert auc(-measured("clipping", voices), -measured("clipping", clipped)) == 1


def test_level_by_hand():
    square = torch.tensor([[1.0, -1.0] * 8, [0.1, -0.1] * 8, [0.0] * 16])
    assert speech.level(square).tolist() == pytest.approx([0, -20, -120], abs=1e-4)


@pytest.mark.parametrize("gain", [0.01, 3.0])
def test_only_level_depends_on_the_level(voices, gain):
    for name in ("snr", "clipping", "speech_seconds"):
        louder = measured(name, [np.float32(gain) * samples for samples in voices])
        assert louder == pytest.approx(measured(name, voices), rel=0.01, abs=0.05), name


def test_a_constant_added_by_a_recorder_is_not_heard(voices):
    for name in ("snr", "clipping", "speech_seconds"):
        shifted = measured(name, [samples + np.float32(0.5) for samples in voices])
        assert shifted == pytest.approx(measured(name, voices), rel=0.01, abs=0.05), name


@pytest.mark.parametrize("samples", [[0.0] * 1600, [0.5] * 1600, [0.5], [0.0]])
def test_measures_are_defined_on_nothing(samples):
    found = measure_speech(np.array(samples, np.float32), list(speech.MEASURES))
    assert found["snr"] == pytest.approx(-speech.FLOOR_BIAS_DB)
    assert found["clipping"] == found["speech_seconds"] == 0
    assert found["level"] == pytest.approx(20 * math.log10(samples[0]) if samples[0] else -120)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_bad_recording_spoils_only_its_own_values(bad):
    batch = 0.1 * torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))
    batch[1, 100] = bad
    for name, measure in speech.MEASURES.items():
        finite = measure(batch).isfinite().tolist()
        assert finite == [True, False, True] or (math.isinf(bad) and finite[::2] == [True, True]), name


def test_sharpness_by_hand():
    # Columns 0, 1, 0, 1, ...: the Laplacian is 2 on zeros and -2 on ones, so 4 times the deviation: 12 dB.
    stripes = np.tile([0.0, 1.0], (6, 3))
    assert image.sharpness_of(stripes) == pytest.approx(10 * math.log10(16))
    # A ramp has no Laplacian.
    assert image.sharpness_of(np.tile(np.arange(6.0), (6, 1))) == image.LEAST_SHARPNESS


def test_sharpness_does_not_depend_on_light(faces):
    for face in faces:
        darker = (face * 0.5 + 20).round().astype(np.uint8)
        assert image.sharpness(darker) == pytest.approx(image.sharpness(face), abs=0.3)


def test_sharpness_falls_with_blur_and_size(faces):
    for spoil, grades in ((damage.blur, (0.5, 1, 2, 4)), (damage.downscale, (1.5, 2, 3, 4))):
        values = [[image.sharpness(face) for face in faces]]
        values += [[image.sharpness(spoil(face, grade)) for face in faces] for grade in grades]
        assert all(a > b for before, after in pairwise(values) for a, b in zip(before, after, strict=True))
        assert auc(values[0], values[2]) > 0.95


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 40, 30)])
def test_pictures_of_one_colour(shape):
    assert image.sharpness(np.full(shape, 7, np.uint8)) == image.LEAST_SHARPNESS
    assert image.size(np.full(shape, 7, np.uint8)) == min(shape[1:])


def test_words():
    assert [text.words(each) for each in ("", "  ", "A woman,  in her\ttwenties.")] == [0, 0, 5]


def test_every_measure_is_a_known_source():
    assert MEASURED_IN.keys() <= SOURCES.keys()
    assert "detector_probability" in SOURCES
    assert [name for name in SOURCES if sign_of(name) < 0] == ["clipping"]
    assert sign_of("a column of my own") == 1
