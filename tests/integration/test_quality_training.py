"""Runs whose samples are weighed by other sources of quality than the norms."""

import numpy as np
import pytest

from cmd_speaker.errors import DataError
from tests.training import weights


@pytest.mark.parametrize("source", ["snr", "duration"])
def test_a_source_weighs_samples_and_is_repeatable(train, trained, tmp_path, source):
    options = {"quality_weights": True, "text_quality": "none", "speech_quality": source, "noise": True}
    one = train(tmp_path / "one", **options)
    assert weights(train(tmp_path / "again", **options)) == weights(one)
    by_norm = train(tmp_path / "norm", **{**options, "speech_quality": "norm"})
    assert weights(by_norm) != weights(one)
    last = (one / "train_log.txt").read_text().splitlines()[-1]
    mean = float(last.partition("text.weight: ")[2].partition(",")[0])
    assert np.isfinite(mean)
    assert 0.5 < mean < 1.5


def test_an_unknown_source_is_found_before_stage_1(train, tmp_path):
    with pytest.raises(DataError, match="no source of the speech's quality 'snrr'; did you mean 'snr'"):
        train(tmp_path / "run", quality_weights=True, speech_quality="snrr")
    assert not (tmp_path / "run" / "teachers").exists()


def test_an_unknown_source_of_the_teacher_is_found_before_stage_1(train, tmp_path):
    message = "no source of the quality of teacher 'text': 'nrm'; did you mean 'norm'"
    with pytest.raises(DataError, match=message):
        train(tmp_path / "run", quality_weights=True, text_quality="nrm")
    assert not (tmp_path / "run" / "teachers").exists()


def test_a_measure_of_the_bank_weighs_samples(train, trained, tmp_path):
    options = {"quality_weights": True, "speech_quality": "none"}
    by_words = train(tmp_path / "words", text_quality="text_words", **options)
    assert weights(by_words) != weights(train(tmp_path / "norm", text_quality="norm", **options))
    with pytest.raises(DataError, match="'text_word'; did you mean 'text_words'") as error:
        train(tmp_path / "wrong", text_quality="text_word", **options)
    assert "expected one of none, norm, text_words" in str(error.value)


def test_sources_do_not_matter_without_quality_weights(train, trained, tmp_path):
    assert weights(train(tmp_path / "run", speech_quality="snrr", text_quality="nrm")) == weights(trained)
