"""The calibration's file, and which scores it may be applied to: those of its model and back-end."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cmd_speaker.calibration.calibration import fit_calibration
from cmd_speaker.calibration.calibration_file import load_calibration, save_calibration
from cmd_speaker.calibration.qualities import Quality
from cmd_speaker.errors import DataError
from cmd_speaker.files import json_checksum
from tests.calibrations import BACKEND, ORIGIN, gaussian


@pytest.fixture
def saved(tmp_path):
    scores, labels = gaussian(1000, 7000)
    durations = tuple(np.random.default_rng(1).uniform(1, 50, (2, 8000)))
    fit = fit_calibration(scores, labels, ORIGIN, qualities={"duration": durations})
    save_calibration(tmp_path / "calibration.json", fit)
    return tmp_path / "calibration.json", fit


def test_round_trip(saved):
    path, fit = saved
    loaded = load_calibration(path)
    assert loaded == fit
    assert loaded.path == path
    assert loaded.origin.targets + loaded.origin.nontargets == 8000


@pytest.mark.parametrize("place", [0.05, 0.4, 0.95])
def test_a_changed_byte_is_found(saved, place):
    path, _ = saved
    content = bytearray(path.read_bytes())
    digits = [k for k, byte in enumerate(content) if chr(byte).isalnum()]
    content[digits[int(place * len(digits))]] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"calibration\.json"):
        load_calibration(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{", '{"format_version": 1}', "[" * 100_000])
def test_another_file_is_no_calibration(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=r"c\.json"):
        load_calibration(tmp_path / "c.json")
    with pytest.raises(DataError, match="no such calibration"):
        load_calibration(tmp_path / "d.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "another version"),
        ({"format_version": "1"}, "another version"),
        ({"slope": -1.0}, "slope"),
        ({"slope": float("nan")}, "slope"),
        ({"slope": "3"}, "slope"),
        ({"offset": float("inf")}, "offset"),
        ({"prior": 1.0}, "prior"),
        ({"prior": True}, "prior"),
        ({"separable": 0}, "separable"),
        ({"qualities": [{"column": "duration"}]}, "damaged"),
        ({"qualities": {"a": 1}}, "damaged"),
        ({"origin": {}}, "damaged"),
        ({"origin": {"scores": {"name": "s"}}}, "damaged"),
        ({"origin": {"scores": {"name": "s", "sha256": "0"}, "backend": "cosine"}}, "backend"),
        ({"command": "rm"}, "damaged"),
    ],
)
def test_damaged_values_are_refused_also_with_a_right_checksum(saved, change, message):
    path, _ = saved
    content = json.loads(path.read_text()) | change
    content.pop("checksum")
    path.write_text(json.dumps({**content, "checksum": json_checksum(content)}))
    with pytest.raises(DataError, match=message) as error:
        load_calibration(path)
    assert "calibration.json" in str(error.value)


RECORD = {"backend": BACKEND, "embeddings": {"model": "m" * 64}, "calibration": None}


def test_scores_of_the_same_model_and_back_end_need_no_warning():
    fit = fit_calibration(*gaussian(100, 1000), ORIGIN)
    assert fit.check(RECORD, "test.txt", "e" * 64) == []


def test_what_is_not_known_is_warned_of():
    fit = fit_calibration(*gaussian(100, 1000), ORIGIN)
    (warning,) = fit.check(None, "test.txt")
    assert "test.txt has no record" in warning
    (warning,) = fit.check(RECORD | {"embeddings": {"model": None}}, "test.txt")
    assert "model of test.txt is not known" in warning
    unknown = fit_calibration(*gaussian(100, 1000), replace(ORIGIN, backend=None, model=None))
    assert [w.split(" of ")[0] for w in unknown.check(RECORD, "test.txt")] == ["the back-end", "the model"]


def test_its_own_list_is_warned_of():
    fit = fit_calibration(*gaussian(100, 1000), ORIGIN)
    (warning,) = fit.check(RECORD, "dev.txt", "d" * 64)
    assert "fitted on" in warning


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backend": BACKEND | {"norm": "as", "top": 300}}, ["norm none", "norm as", "top 300"]),
        ({"backend": BACKEND | {"mean": {"name": "train.npz", "sha256": "a" * 64}}}, ["mean None", "a" * 64]),
        ({"embeddings": {"model": "n" * 64}}, ["mmmmmm", "nnnnnn"]),
        ({"calibration": {"name": "c.json"}}, ["calibrated already"]),
    ],
)
def test_scores_of_another_model_or_back_end_are_refused(change, words):
    fit = fit_calibration(*gaussian(100, 1000), ORIGIN)
    with pytest.raises(DataError) as error:
        fit.check(RECORD | change, "test.txt")
    assert all(word in str(error.value) for word in ["test.txt", *words])


COHORT_MEAN = Quality("cohort_mean", 0.5, 0.1, 0.2, 0.8, 1.0, 1.0)


@pytest.mark.parametrize(
    ("norm", "qualities", "change", "refused"),
    [
        ("none", (COHORT_MEAN,), {"top": 12}, True),
        ("none", (COHORT_MEAN,), {"cohort": {"sha256": "d" * 64}}, True),
        ("none", (), {"top": None, "cohort": None}, False),
        ("s", (COHORT_MEAN,), {"top": 12}, True),
        ("s", (), {"top": 12}, False),
        ("s", (), {"cohort": None}, True),
        ("as", (), {"top": 12}, True),
    ],
)
def test_cohort_and_top_are_compared_where_they_matter(norm, qualities, change, refused):
    backend = BACKEND | {"norm": norm, "top": 5, "cohort": {"sha256": "c" * 64}}
    fit = replace(
        fit_calibration(*gaussian(100, 1000), replace(ORIGIN, backend=backend)), qualities=qualities
    )
    record = RECORD | {"backend": backend | change}
    if refused:
        with pytest.raises(DataError, match="another back-end"):
            fit.check(record, "test.txt")
    else:
        assert fit.check(record, "test.txt") == []


def test_another_name_of_the_same_cohort_makes_no_difference():
    cohort = {"name": "cohort.npz", "sha256": "c" * 64, "count": 5}
    ours = replace(ORIGIN, backend=BACKEND | {"norm": "as", "top": 5, "cohort": cohort})
    theirs = BACKEND | {"norm": "as", "top": 5, "cohort": cohort | {"name": "other.npz"}}
    fit = fit_calibration(*gaussian(100, 1000), ours)
    assert fit.check(RECORD | {"backend": theirs}, "test.txt") == []
