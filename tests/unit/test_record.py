"""The record beside a score file: it comes back, and a score file that changed is refused."""

import json

import pytest

from cmd_speaker import __version__
from cmd_speaker.errors import DataError
from cmd_speaker.files import file_checksum
from cmd_speaker.scoring.record import load_record, record_path, save_record

RECORD = {"trials": {"name": "t.txt", "sha256": "0"}, "backend": {"norm": "as"}, "seconds": 0.5}


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("a b 0.5\n")
    save_record(path, RECORD)
    return path


def test_a_record_comes_back_with_the_checksum_of_the_scores(scores):
    assert record_path(scores).name == "scores.txt.json"
    record = load_record(scores)
    assert record.pop("scores") == {"name": "scores.txt", "sha256": file_checksum(scores)}
    assert record == {**RECORD, "version": __version__}


def test_no_record(tmp_path):
    assert load_record(tmp_path / "scores.txt") is None


def test_changed_scores_are_refused(scores):
    scores.write_text("a b 0.6\n")
    with pytest.raises(DataError, match=r"has changed since its record was written .*Score the list again"):
        load_record(scores)


@pytest.mark.parametrize(
    "change", [{"embeddings": 3}, {"calibration": {"slope": 1}}, {"backend": {"norm": "s"}}]
)
def test_a_record_that_was_changed_is_refused(scores, change):
    content = json.loads(record_path(scores).read_text())
    record_path(scores).write_text(json.dumps(content | change))
    with pytest.raises(DataError, match=r"the record of the score file was changed .*Score the list again"):
        load_record(scores)


@pytest.mark.parametrize("text", ["", "[1]", json.dumps({"scores": "s.txt"}), '{"scores": {}}', "\udcff"])
def test_what_is_not_a_record_is_refused(scores, text):
    record_path(scores).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="not the record of a score file"):
        load_record(scores)
