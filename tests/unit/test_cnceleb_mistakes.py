"""What can be wrong with CN-Celeb's folders and lists, and what is said of it."""

import numpy as np
import pytest
import soundfile

from cmd_speaker.corpora import check_data
from cmd_speaker.errors import DataError, exit_code_of
from data_prep.cnceleb import main
from data_prep.joining import join_short, write_joined
from tests.cnceleb import (
    FIRST,
    RATE,
    SECOND,
    TRAINING,
    build_corpus,
    lists,
    pieces,
    prepare_small,
    refused,
    replace_line,
    rows_of,
    write_flac,
    write_lines,
)


@pytest.fixture
def corpus(tmp_path):
    return build_corpus(tmp_path / "corpus")


def test_a_recording_that_cannot_be_decoded_is_left_out_of_its_clip(corpus, tmp_path, capsys):
    bad = corpus / FIRST / "data" / "id00000" / "speech-01-003.flac"
    for k in (3, 4):
        write_flac(bad.with_name(f"speech-01-00{k}.flac"), 0.3)
    bad.write_bytes(bad.read_bytes()[:400])
    empty = corpus / SECOND / "data" / "id10000" / "speech-01-001.flac"
    empty.write_bytes(b"")
    options = ["--min-seconds", "0.7", "--validation_speakers", "0"]
    assert exit_code_of(main, [str(corpus), str(tmp_path / "out"), *options]) == 3
    said = capsys.readouterr()
    for text in (f"{bad}: decoding failed", f"{empty}: the file is empty", "2 recordings left out"):
        assert text in said.err
    assert "no descriptions, no faces" in said.out
    assert len((tmp_path / "out" / "left_out.txt").read_text().splitlines()) == 2
    rows = rows_of(tmp_path / "out" / "train.csv")
    # 0.6 + 0.2 s are a clip; 0.3 (bad) and 0.3 were left over and had gone to it.
    assert float(rows["id00000/speech-01-001+2"]["duration"]) == pytest.approx(1.1)
    assert "id10000/speech-01-002" in rows


def test_joined_audio_that_cannot_be_written(tmp_path):
    write_flac(tmp_path / "a-0.flac", 0.2)
    write_flac(tmp_path / "a-1.flac", 0.2)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_joined(tmp_path, tmp_path / "file", join_short(pieces(a=[0.2, 0.2]), 1))


def test_a_speaker_who_is_trained_on_and_evaluated(corpus, tmp_path):
    write_lines(corpus / FIRST / "dev" / "dev.lst", *TRAINING[FIRST], "id00801")
    assert refused(corpus, tmp_path / "out", "dev.lst, row 6", "'id00801' is evaluated")


def test_a_speaker_of_both_corpora(corpus, tmp_path):
    (corpus / SECOND / "data" / "id10001").rename(corpus / SECOND / "data" / "id00003")
    write_lines(corpus / SECOND / "spk.lst", "id10000", "id00003")
    assert refused(corpus, tmp_path / "out", "spk.lst, row 2", f"'id00003' is in {FIRST} too")


def test_listed_without_recordings_and_recorded_without_line(corpus, tmp_path):
    write_lines(corpus / FIRST / "dev" / "dev.lst", *TRAINING[FIRST][1:], "id00799")
    prepared = prepare_small(corpus, tmp_path / "out")
    assert prepared.counts["listed_speakers_without_recordings"] == 1
    assert (prepared.counts["evaluation_speakers_kept_out"], prepared.counts["other_speakers_kept_out"]) == (
        3,
        1,
    )
    assert prepared.counts["recordings_kept_out"] == 9 + 4


@pytest.mark.parametrize(
    ("line", "expected"), [("id0001", "one speaker, as id00010"), ("id00000", "'id00000' once")]
)
def test_lines_that_are_no_speaker(corpus, tmp_path, line, expected):
    write_lines(corpus / FIRST / "dev" / "dev.lst", *TRAINING[FIRST], line)
    assert refused(corpus, tmp_path / "out", "dev.lst, row 6", expected, f"'{line}'")


@pytest.mark.parametrize("name", ["speech-01.flac", "01-speech-001.flac", "id00000-speech-01-001.flac"])
def test_file_names_of_another_form(corpus, tmp_path, name):
    write_flac(corpus / FIRST / "data" / "id00000" / name, 0.2)
    assert refused(corpus, tmp_path / "out", "not the name of an utterance", name, "GENRE-SESSION-UTTERANCE")


def test_an_utterance_in_two_files(corpus, tmp_path):
    soundfile.write(corpus / FIRST / "data" / "id00000" / "speech-01-001.wav", np.zeros(8000), RATE)
    assert refused(corpus, tmp_path / "out", "speech-01-001.wav", "an utterance is there twice")


def test_not_the_corpus(corpus, tmp_path):
    assert refused(corpus / FIRST, tmp_path / "out", "not CN-Celeb", "holds CN-Celeb_flac", "data/")
    (corpus / FIRST / "dev" / "dev.lst").unlink()
    assert refused(corpus, tmp_path / "out", "no list of the training speakers", "dev.lst")


def test_evaluation_files_that_are_missing(corpus, tmp_path):
    (corpus / FIRST / "eval" / "test" / "id00801-singing-01-005.flac").unlink()
    (corpus / FIRST / "eval" / "enroll" / "id00802-enroll.flac").unlink()
    (corpus / FIRST / "data" / "id00800" / "speech-01-002.flac").unlink()
    names = ("'test/id00801-singing-01-005.wav'", "'id00802-enroll'", "'id00800/speech-01-002.wav'")
    assert refused(corpus, tmp_path / "out", "3 of 12 names lead nowhere", *names)


def test_evaluation_audio_that_cannot_be_used(corpus, tmp_path):
    path = corpus / FIRST / "eval" / "test" / "id00801-singing-01-005.flac"
    path.write_bytes(b"")
    assert refused(corpus, tmp_path / "out", str(path), "recordings of the evaluation cannot be used")


def test_lists_of_another_form(corpus, tmp_path):
    replace_line(lists(corpus) / "enroll.lst", "id00801-enroll enroll", "id00809-enroll enroll")
    replace_line(lists(corpus) / "enroll.map", "id00802-enroll", "id00802")
    assert refused(corpus, tmp_path / "out", "no line for the enrolment 'id00801-enroll'", "'id00802-enroll'")


def test_names_of_another_form_in_the_trials(corpus, tmp_path):
    (corpus / FIRST / "eval" / "test" / "id00801-05.flac").write_bytes(b"x")
    replace_line(lists(corpus) / "trials.lst", "test/id00801-singing-01-005.wav", "test/id00801-05.wav")
    assert refused(
        corpus, tmp_path / "out", "a name of another form", "'test/id00801-05.wav'", "singing-01-005.wav"
    )


def test_labels_that_contradict_the_speakers(corpus, tmp_path):
    replace_line(lists(corpus) / "trials.lst", "id00801-enroll test/id00800-singing-01-005.wav 0",
                 "id00801-enroll test/id00800-singing-01-005.wav 1")  # fmt: skip
    assert refused(corpus, tmp_path / "out", "trials.lst, row 4", "a label that is not that of the speakers")
    write_lines(lists(corpus) / "trials.lst", "id00800-enroll test/id00800-singing-01-005.wav")
    assert refused(corpus, tmp_path / "out", "the trials have no labels")


def test_an_enrolment_of_another_speakers_recordings(corpus, tmp_path):
    replace_line(lists(corpus) / "enroll.map", "id00801/speech-01-001", "id00802/speech-01-001")
    assert refused(
        corpus, tmp_path / "out", "'id00801-enroll' is put together from another speaker's recording"
    )


@pytest.mark.parametrize(("options", "text"), [
    ({"min_seconds": -1}, "expected 0 (join nothing) to 60"),
    ({"validation_speakers": 1}, "expected 0, or 2 and more"),
    ({"validation_speakers": 4}, "too few speakers"),
])  # fmt: skip
def test_options_that_cannot_be(corpus, tmp_path, options, text):
    assert refused(corpus, tmp_path / "out", text, **options)


def test_check_data_names_what_is_wrong(corpus, tmp_path):
    (corpus / SECOND).rename(tmp_path / "elsewhere")
    write_lines(corpus / FIRST / "dev" / "dev.lst", *TRAINING[FIRST], "id00801")
    (corpus / FIRST / "data" / "id00000" / "speech-01-001.flac").write_bytes(b"")
    report = check_data("cnceleb", corpus)
    problems = "\n".join(row.found for row in report.problems)
    assert "'id00801' is evaluated" in problems
    assert "speech-01-001.flac: the file is empty" in problems
    assert any(row.what == SECOND and row.status == "note" for row in report.rows)
    (corpus / FIRST / "eval" / "test" / "id00801-singing-01-005.flac").unlink()
    assert "names lead nowhere" in "\n".join(row.found for row in check_data("cnceleb", corpus).problems)
