"""What decides about recordings: a back-end with its calibration."""

from dataclasses import replace

import numpy as np
import pytest

from cmd_speaker.calibration.calibration import Calibration, Origin
from cmd_speaker.calibration.calibration_file import FILE_NAME
from cmd_speaker.calibration.qualities import Quality
from cmd_speaker.decision import Decider
from cmd_speaker.errors import DataError
from cmd_speaker.scoring.backend import Backend
from tests.refusals import refused
from tests.registries import MODEL, recording


def test_several_recordings_are_averaged_at_length_one():
    """(1, 0) and (0, 2) average to (1, 1) / sqrt 2, whose cosine with (0, 1) is sqrt 1/2; alone: 0 and 1."""
    speakers = [[recording(1, 0), recording(0, 2)], [recording(1, 0)], [recording(0, 2)]]
    found = Decider(Backend()).compare(speakers, recording(0, 5))
    np.testing.assert_allclose(found.scores, [0.5**0.5, 0, 1], atol=1e-7)
    assert found.llrs is None
    for way, score in (("score", 0.5), ("best", 1.0)):
        found = Decider(Backend(enrolment=way)).compare(speakers, recording(0, 5))
        np.testing.assert_allclose(found.scores, [score, 0, 1], atol=1e-7)


def test_the_mean_is_subtracted_before_the_average():
    """(2, 1) and (2, 2) less (1, 1) point to 0 and 45 degrees, their average to 22.5; the test points to 0."""
    backend = Backend(mean=np.float32([1, 1]))
    found = Decider(backend).compare([[recording(2, 1), recording(2, 2)]], recording(3, 1))
    np.testing.assert_allclose(found.scores, [np.cos(np.pi / 8)], atol=1e-6)


def calibration(*columns, **changes):
    measures = tuple(Quality(column, 0.0, 1.0, -50.0, 50.0, 1.0, 10.0) for column in columns)
    backend = Backend().description()
    origin = Origin({"name": "dev.txt", "sha256": "d" * 64}, None, 100, 1000, None, backend, MODEL)
    return replace(Calibration(2.0, -1.0, 0.01, origin, measures), **changes)


def test_quality_measures_of_recordings():
    """LLR = 2 s - 1 + lower + 10 * higher: lengths 1 + 2 s against 4 s, norms (2 + 4) / 2 against 5."""
    speakers = [[recording(0, 2, seconds=1.0), recording(0, 4, seconds=2.0)]]
    test = recording(0, 5, seconds=4.0)
    found = Decider(Backend(), calibration("duration")).compare(speakers, test)
    np.testing.assert_allclose(found.llrs, [1 + np.log(3) + 10 * np.log(4)], rtol=1e-6)
    found = Decider(Backend(), calibration("norm")).compare(speakers, test)
    np.testing.assert_allclose(found.llrs, [1 + 3 + 50], rtol=1e-6)


def test_the_cohort_mean_is_that_of_the_average():
    """Cohort (1, 0) and (0, 1), top 1: the average (1, 1) / sqrt 2 has sqrt 1/2, the test recording 1."""
    backend = Backend(cohort=np.eye(2, dtype=np.float32), top=1)
    speakers = [[recording(1, 0), recording(0, 2)]]
    found = Decider(backend, calibration("cohort_mean")).compare(speakers, recording(0, 5))
    np.testing.assert_allclose(found.llrs, [2 * 0.5**0.5 - 1 + 0.5**0.5 + 10], rtol=1e-6)


def test_recordings_of_two_models_are_not_compared():
    other = recording(1, 0, model="b" * 64)
    assert refused(lambda: Decider(Backend()).verify(recording(1, 0), other), "two models", "bbbbbbbbbbbb")
    assert Decider(Backend()).verify(recording(1, 0), recording(2, 0, model=None)).score == 1


def test_a_measure_beyond_the_range_is_warned_of():
    narrow = replace(calibration("duration").qualities[0], low=0.0, high=1.0)
    decider = Decider(Backend(), calibration(qualities=(narrow,)))
    assert decider.compare([[recording(1, 0)]], recording(1, 1)).warnings == []
    (warning,) = decider.compare([[recording(1, 0)]], recording(1, 1, seconds=60.0)).warnings
    assert "duration" in warning


def test_a_folder_keeps_back_end_and_calibration(tmp_path):
    backend = Backend(mean=np.float32([1, 1]), sources={"mean": {"name": "t.npz", "sha256": "e" * 64}})
    fit = calibration()
    fit = replace(fit, origin=replace(fit.origin, backend=backend.description()))
    Decider(backend, fit).save(tmp_path)
    loaded = Decider.load(tmp_path, MODEL)
    assert loaded.calibration == fit
    assert loaded.warnings == []
    np.testing.assert_array_equal(loaded.backend.mean, backend.mean)
    with pytest.raises(DataError, match="another model"):
        Decider.load(tmp_path, "b" * 64)
    Backend().save(tmp_path)
    with pytest.raises(DataError, match="another back-end"):
        Decider.load(tmp_path, MODEL)
    (tmp_path / FILE_NAME).unlink()
    assert Decider.load(tmp_path, MODEL).calibration is None


@pytest.mark.parametrize("column", ["snr", "cohort_mean"])
def test_what_recordings_do_not_tell_is_refused(tmp_path, column):
    with pytest.raises(DataError, match=f"{column} cannot be computed"):
        Decider(Backend(), calibration("duration", column)).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
