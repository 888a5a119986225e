"""Sources of the speech's quality in training: columns of the manifest, and measures of what the student hears."""

from types import SimpleNamespace

import numpy as np
import pytest
import speechbrain as sb
import torch

from cmd_speaker.brain import SpeakerBrain
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.manifest import load_manifest, write_manifest
from cmd_speaker.quality import speech
from cmd_speaker.training.data import Batch
from cmd_speaker.training.objective import QualityWeights
from cmd_speaker.training.qualities import check_quality, columns, read_columns, sources


@pytest.fixture
def manifest(tmp_path):
    """Two columns of numbers, of which one has holes, and one of words."""
    rows = [
        ("u1", 1.5, "a.wav", "", "", "s", "-3", "", "f"),
        ("u2", 2.5, "a.wav", "", "", "s", "1e1", "0.5", "m"),
        ("u3", 3.5, "a.wav", "", "", "s", "0", "nan", "m"),
    ]
    write_manifest(tmp_path / "train.csv", ("level", "detector_probability", "gender"), rows)
    return load_manifest(tmp_path / "train.csv")


def asking(**arguments):
    return SimpleNamespace(quality=QualityWeights(**arguments))


def test_which_sources_are_asked_for():
    distillations = [
        asking(student="snr"), asking(student="none"), asking(student="duration"), asking(student="snr"),
        asking(student="gender", enabled=False), asking(),
    ]  # fmt: skip
    assert sources(distillations) == ["duration", "norm", "snr"]
    assert columns(["duration", "norm", "snr"]) == ["duration"]


def test_columns_by_hand(manifest):
    found = read_columns(manifest, ["level", "duration"])
    assert found.dtype == np.float32
    assert found.tolist() == [[-3, 1.5], [10, 2.5], [0, 3.5]]
    assert read_columns(manifest, []).shape == (3, 0)


def test_an_unknown_column_is_named_with_those_there(manifest):
    with pytest.raises(DataError) as error:
        read_columns(manifest, ["snrr"])
    for part in (
        "train.csv, row 1: no source of the speech's quality 'snrr'; did you mean 'snr'?",
        "expected norm, none, snr, clipping, level, speech_seconds or a column of numbers",
        "found columns duration, level, detector_probability, gender",
    ):
        assert part in str(error.value)


def test_every_value_that_is_no_number_is_listed(manifest):
    with pytest.raises(DataErrors) as error:
        read_columns(manifest, ["level", "detector_probability"])
    assert "train.csv: 2 qualities are not known" in str(error.value)
    assert "row 2: no detector_probability of 'u1' (expected a finite number, found '')" in str(error.value)
    assert "row 4: no detector_probability of 'u3' (expected a finite number, found 'nan')" in str(
        error.value
    )
    with pytest.raises(DataErrors, match="3 qualities"):
        read_columns(manifest, ["gender"])


def test_a_bank_without_the_source():
    check_quality("face", "none", ["norm"])
    check_quality("face", "face_size", ["norm", "face_size"])
    with pytest.raises(DataError, match=r"teacher 'face': 'face_sise'; did you mean 'face_size'\?") as error:
        check_quality("face", "face_sise", ["norm", "face_size"])
    assert "expected one of none, face_size, norm" in str(error.value)


class Doubled:
    """An augmenter that adds a copy of each sample, changed by `change`."""

    do_augment = True

    def __init__(self, change):
        self.change = change

    def __call__(self, x, lengths):
        return torch.cat([x, self.change(x)]), torch.cat([lengths, lengths])

    def replicate_labels(self, labels):
        return torch.cat([labels, labels])


def test_speech_is_measured_as_heard():
    """After the augmentation of the waveforms, in the order of the copies of the features."""
    brain = SimpleNamespace(
        device="cpu", device_type="cpu", sources=["clipping", "duration", "level", "norm"],
        hparams=SimpleNamespace(
            wav_augment=Doubled(lambda x: x / 10), feature_augment=Doubled(lambda features: features)
        ),
        modules=SimpleNamespace(front_end=lambda x: x[:, None, :], student=lambda features: features[:, 0, :4]),
    )  # fmt: skip
    waveforms = torch.stack([torch.ones(800), 0.1 * torch.ones(800)])
    waveforms[:, ::2] *= -1
    batch = Batch(waveforms, torch.tensor([0, 1]), torch.empty(2, 0), torch.empty(2, 0))
    heard = SpeakerBrain.compute_forward(brain, batch, sb.Stage.TRAIN)
    assert heard.origin.tolist() == [0, 1] * 4
    assert sorted(heard.quality) == ["clipping", "level"]
    # Square waves of amplitude 1 and 0.1, and their copies at a tenth.
    assert heard.quality["level"].tolist() == pytest.approx([0, -20, -20, -40] * 2, abs=1e-4)
    assert heard.quality["clipping"].tolist() == [1.0] * 8


def test_every_measure_of_a_batch_is_that_of_each_file():
    rng = np.random.default_rng(0)
    waveforms = torch.from_numpy(rng.standard_normal((3, 9000)).astype(np.float32)) * torch.tensor(
        [[1], [0.1], [9]]
    )
    for measure in speech.MEASURES.values():
        one_by_one = torch.cat([measure(each[None]) for each in waveforms])
        torch.testing.assert_close(measure(waveforms), one_by_one)
