"""CN-Celeb's preparation, on a small tree in exactly the form of the distribution, and what can be wrong with it."""

import csv
import hashlib

import numpy as np
import pytest
import soundfile

from cmd_speaker.corpora import check_data
from cmd_speaker.corpora.cnceleb_lists import Recording
from cmd_speaker.errors import DataError, DataErrors, UsageError, exit_code_of
from cmd_speaker.lists.trials import load_trials
from cmd_speaker.manifest import load_manifest, refuse_shared_speakers
from cmd_speaker.scoring.enrolment import load_enrol_map, members
from data_prep.cnceleb import main, prepare
from data_prep.joining import Piece, join_short, write_joined

RATE = 16000
FIRST, SECOND = "CN-Celeb_flac", "CN-Celeb2_flac"
TRAINING = {
    FIRST: ("id00000", "id00001", "id00002", "id00003", "id00010"),
    SECOND: ("id10000", "id10001"),
}
BY_HASH = sorted(TRAINING[FIRST], key=lambda name: hashlib.sha256(name.encode()).hexdigest())
EVALUATED = ("id00800", "id00801", "id00802")
UTTERANCES = {"speech-01-001": 0.6, "speech-01-002": 0.2, "singing-01-001": 0.2, "live_broadcast-02-001": 0.5}
"""Seconds of each utterance of a training speaker."""


def write_flac(path, seconds, pitch=9.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(round(seconds * RATE)) / pitch), RATE)


def write_lines(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def corpus(tmp_path):
    """CN-Celeb1 with five training and three evaluation speakers, CN-Celeb2 with two; enrolments of two recordings."""
    root = tmp_path / "corpus"
    for folder, speakers in TRAINING.items():
        for k, speaker in enumerate(speakers):
            for name, seconds in UTTERANCES.items():
                write_flac(root / folder / "data" / speaker / f"{name}.flac", seconds, 9 + k)
    for speaker in EVALUATED:
        for name in ("speech-01-001", "speech-01-002", "singing-01-005"):
            write_flac(root / FIRST / "data" / speaker / f"{name}.flac", 0.3)
        write_flac(root / FIRST / "eval" / "enroll" / f"{speaker}-enroll.flac", 0.6)
        write_flac(root / FIRST / "eval" / "test" / f"{speaker}-singing-01-005.flac", 0.3)
    tests = [f"test/{speaker}-singing-01-005.wav" for speaker in EVALUATED]
    lists = root / FIRST / "eval" / "lists"
    write_lines(root / FIRST / "dev" / "dev.lst", *TRAINING[FIRST])
    write_lines(root / SECOND / "spk.lst", *TRAINING[SECOND])
    write_lines(lists / "enroll.lst", *(f"{s}-enroll enroll/{s}-enroll.wav" for s in EVALUATED))
    write_lines(
        lists / "enroll.map", *(f"{s}-enroll {s}/speech-01-001.wav {s}/speech-01-002.wav" for s in EVALUATED)
    )
    write_lines(lists / "test.lst", *tests)
    trials = [f"{s}-enroll {test} {int(s in test)}" for s in EVALUATED for test in tests]
    write_lines(lists / "trials.lst", *trials)
    return root


def prepare_small(root, output, **options):
    return prepare(root, output, **{"validation_speakers": 2, "min_seconds": 0, **options})


def refused(root, output, *texts, **options):
    """The message of the error must hold `texts`; no manifest may have been written."""
    with pytest.raises((DataError, DataErrors, UsageError)) as caught:
        prepare_small(root, output, **options)
    for text in texts:
        assert text in str(caught.value)
    assert not output.exists()


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {row["ID"]: row for row in csv.DictReader(file)}


def lists(root):
    return root / FIRST / "eval" / "lists"


def replace_line(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_manifests_load_and_nobody_evaluated_is_trained_on(corpus, tmp_path):
    prepared = prepare_small(corpus, tmp_path / "out")
    train, valid, test = (
        load_manifest(path, corpus, check_files=True)
        for path in (prepared.train, prepared.valid, prepared.test)
    )
    for known, other in ((train, valid), (train, test), (valid, test)):
        refuse_shared_speakers(known, other)
    assert valid.speakers == sorted(BY_HASH[:2])
    assert train.speakers == sorted((*BY_HASH[2:], *TRAINING[SECOND]))
    assert test.speakers == list(EVALUATED)
    row = rows_of(prepared.train)["id10000/live_broadcast-02-001"]
    assert row["wav"] == f"$data_root/{SECOND}/data/id10000/live_broadcast-02-001.flac"
    assert (row["session"], row["genre"], row["duration"]) == ("live_broadcast-02", "live_broadcast", "0.5")
    counts = prepared.counts
    assert (counts["train_utterances"], counts["train_singing"], counts["valid_utterances"]) == (20, 5, 8)
    assert (counts["evaluation_speakers_kept_out"], counts["recordings_kept_out"]) == (3, 9)
    assert counts["other_speakers_kept_out"] == counts["listed_speakers_without_recordings"] == 0
    assert prepared.left_out == []


def test_the_trials_are_the_corpus_own_and_all_their_names_are_in_the_manifest(corpus, tmp_path):
    prepared = prepare_small(corpus, tmp_path / "out")
    trials = load_trials(prepared.test_trials)
    rows = rows_of(prepared.test)
    assert prepared.test_trials == lists(corpus) / "trials.lst"
    assert (len(trials), int(trials.labels.sum()), prepared.counts["test_trials"]) == (9, 3, 9)
    assert set(trials.ids) <= rows.keys()
    for k, label in enumerate(trials.labels):
        a, b = (rows[name]["spk_id"] for name in trials.pair(k))
        assert (a == b) == label
    test, enrolment = rows["test/id00801-singing-01-005.wav"], rows["id00801-enroll"]
    assert test["wav"] == f"$data_root/{FIRST}/eval/test/id00801-singing-01-005.flac"
    assert (test["genre"], test["session"]) == ("singing", "singing-01")
    # The genre of an enrolment is that of the recordings which it was put together from.
    assert (enrolment["genre"], enrolment["session"], enrolment["duration"]) == ("speech", "", "0.6")


def test_validation_trials_are_of_two_sessions(corpus, tmp_path):
    prepared = prepare_small(corpus, tmp_path / "out")
    trials, rows = load_trials(prepared.valid_trials), rows_of(prepared.valid)
    # Sessions of 2, 1 and 1 utterances: 2 + 2 + 1 pairs a speaker; 4 x 4 nontargets.
    assert (len(trials), int(trials.labels.sum())) == (10 + 16, 10)
    for k in np.flatnonzero(trials.labels):
        a, b = (rows[name]["session"] for name in trials.pair(k))
        assert a != b


def test_the_enrolment_map_is_read_and_its_recordings_are_in_the_manifest(corpus, tmp_path):
    prepared = prepare_small(corpus, tmp_path / "out")
    enrolled = load_enrol_map(prepared.enrolment_map)
    assert enrolled.models["id00802-enroll"] == ["id00802/speech-01-001.wav", "id00802/speech-01-002.wav"]
    rows = rows_of(prepared.test)
    found = members(enrolled, {name: k for k, name in enumerate(rows)})
    assert (len(found.index), len(found.rows), found.missing) == (3, 6, {})
    assert {rows[name]["spk_id"] for name in enrolled.models["id00802-enroll"]} == {"id00802"}
    (lists(corpus) / "enroll.map").unlink()
    without = prepare_small(corpus, tmp_path / "out")
    assert without.enrolment_map is None
    assert not prepared.enrolment_map.exists()
    assert rows_of(without.test)["id00801-enroll"]["genre"] == ""


def test_cnceleb1_alone(corpus, tmp_path):
    (corpus / SECOND).rename(tmp_path / "elsewhere")
    prepared = prepare_small(corpus, tmp_path / "out", validation_speakers=0)
    assert load_manifest(prepared.train, corpus).speakers == list(TRAINING[FIRST])
    assert prepared.valid is prepared.valid_trials is None


def pieces(**seconds):
    """Recordings of one speaker, by genre and session (`speech_01`), with the lengths of each."""
    return [
        Piece(Recording(f"id1/{name}-{k}", f"{name}-{k}.flac", "id1", name, "g"), round(s * RATE))
        for name, lengths in seconds.items()
        for k, s in enumerate(lengths)
    ]


def joined(clips):
    return {clip.id.removeprefix("id1/"): round(clip.samples / RATE, 3) for clip in clips}


def test_joining_by_hand():
    # Short ones in order: 2 + 2 + 1 = 5 is a clip; 3 + 1 = 4 are left over, and go to the last clip.
    assert joined(join_short(pieces(a=[2, 6, 2, 1, 3, 1]), 5)) == {"a-0+4": 9, "a-1": 6}
    # 4 + 4 = 8, 3 + 2 = 5: two clips, nothing left over.
    assert joined(join_short(pieces(a=[4, 4, 3, 2]), 5)) == {"a-0+1": 8, "a-2+1": 5}
    # Never across sessions; what a session lacks stays short, alone or joined; long ones are not touched.
    assert joined(join_short(pieces(a=[2], b=[4, 6], c=[1, 1]), 5)) == {
        "a-0": 2,
        "b-0": 4,
        "b-1": 6,
        "c-0+1": 2,
    }
    assert joined(join_short(pieces(a=[0.2, 0.1]), 0)) == {"a-0": 0.2, "a-1": 0.1}
    assert joined(join_short(pieces(a=[5, 5]), 5)) == {"a-0": 5, "a-1": 5}


def test_joined_audio_is_that_of_the_recordings(corpus, tmp_path):
    # At 0.4 s: speech-01-002 (0.2 s) and singing-01-001 are short, and alone in their sessions.
    write_flac(corpus / FIRST / "data" / "id00000" / "speech-01-003.flac", 0.3, 5)
    prepared = prepare_small(corpus, tmp_path / "out", min_seconds=0.4, validation_speakers=0)
    row = rows_of(prepared.train)["id00000/speech-01-002+1"]
    assert row["wav"] == "$data_root/CN-Celeb_joined/0.4s/id00000/speech-01-002+1.flac"
    assert (row["duration"], row["session"], row["genre"]) == ("0.5", "speech-01", "speech")
    parts = [corpus / FIRST / "data" / "id00000" / f"speech-01-00{k}.flac" for k in (2, 3)]
    expected = np.concatenate([soundfile.read(path, dtype="int16")[0] for path in parts])
    found = soundfile.read(corpus / row["wav"].removeprefix("$data_root/"), dtype="int16")[0]
    np.testing.assert_array_equal(found, expected)
    assert "id00000/speech-01-002" not in rows_of(prepared.train)
    keys = ("short_utterances", "short_utterances_joined", "joined_clips", "clips_still_short")
    # 7 speakers have two short ones each, and id00000 one more; 13 of these 15 find no company.
    assert [prepared.counts[key] for key in keys] == [15, 2, 1, 13]
    assert load_manifest(prepared.train, corpus, check_files=True)


def test_joining_goes_on_where_it_was_broken_off(corpus, tmp_path):
    write_flac(corpus / FIRST / "data" / "id00000" / "speech-01-003.flac", 0.3)
    write_flac(corpus / FIRST / "data" / "id00001" / "speech-01-003.flac", 0.3)
    folder = tmp_path / "elsewhere"
    options = {"min_seconds": 0.4, "validation_speakers": 0, "joined_folder": folder}
    prepared = prepare_small(corpus, tmp_path / "out", **options)
    one, two = (folder / "0.4s" / name / "speech-01-002+1.flac" for name in ("id00000", "id00001"))
    assert rows_of(prepared.train)["id00001/speech-01-002+1"]["wav"] == str(two)
    whole, content = one.stat().st_mtime_ns, two.read_bytes()
    write_flac(two, 0.1)
    prepare_small(corpus, tmp_path / "out", **options)
    assert two.read_bytes() == content
    two.write_bytes(b"no flac")
    prepare_small(corpus, tmp_path / "out", **options)
    assert two.read_bytes() == content
    assert one.stat().st_mtime_ns == whole


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
    refused(corpus, tmp_path / "out", "dev.lst, row 6", "'id00801' is evaluated")


def test_a_speaker_of_both_corpora(corpus, tmp_path):
    (corpus / SECOND / "data" / "id10001").rename(corpus / SECOND / "data" / "id00003")
    write_lines(corpus / SECOND / "spk.lst", "id10000", "id00003")
    refused(corpus, tmp_path / "out", "spk.lst, row 2", f"'id00003' is in {FIRST} too")


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
    refused(corpus, tmp_path / "out", "dev.lst, row 6", expected, f"'{line}'")


@pytest.mark.parametrize("name", ["speech-01.flac", "01-speech-001.flac", "id00000-speech-01-001.flac"])
def test_file_names_of_another_form(corpus, tmp_path, name):
    write_flac(corpus / FIRST / "data" / "id00000" / name, 0.2)
    refused(corpus, tmp_path / "out", "not the name of an utterance", name, "GENRE-SESSION-UTTERANCE")


def test_an_utterance_in_two_files(corpus, tmp_path):
    soundfile.write(corpus / FIRST / "data" / "id00000" / "speech-01-001.wav", np.zeros(8000), RATE)
    refused(corpus, tmp_path / "out", "speech-01-001.wav", "an utterance is there twice")


def test_not_the_corpus(corpus, tmp_path):
    refused(corpus / FIRST, tmp_path / "out", "not CN-Celeb", "holds CN-Celeb_flac", "data/")
    (corpus / FIRST / "dev" / "dev.lst").unlink()
    refused(corpus, tmp_path / "out", "no list of the training speakers", "dev.lst")


def test_evaluation_files_that_are_missing(corpus, tmp_path):
    (corpus / FIRST / "eval" / "test" / "id00801-singing-01-005.flac").unlink()
    (corpus / FIRST / "eval" / "enroll" / "id00802-enroll.flac").unlink()
    (corpus / FIRST / "data" / "id00800" / "speech-01-002.flac").unlink()
    names = ("'test/id00801-singing-01-005.wav'", "'id00802-enroll'", "'id00800/speech-01-002.wav'")
    refused(corpus, tmp_path / "out", "3 of 12 names lead nowhere", *names)


def test_evaluation_audio_that_cannot_be_used(corpus, tmp_path):
    path = corpus / FIRST / "eval" / "test" / "id00801-singing-01-005.flac"
    path.write_bytes(b"")
    refused(corpus, tmp_path / "out", str(path), "recordings of the evaluation cannot be used")


def test_lists_of_another_form(corpus, tmp_path):
    replace_line(lists(corpus) / "enroll.lst", "id00801-enroll enroll", "id00809-enroll enroll")
    replace_line(lists(corpus) / "enroll.map", "id00802-enroll", "id00802")
    refused(corpus, tmp_path / "out", "no line for the enrolment 'id00801-enroll'", "'id00802-enroll'")


def test_names_of_another_form_in_the_trials(corpus, tmp_path):
    (corpus / FIRST / "eval" / "test" / "id00801-05.flac").write_bytes(b"x")
    replace_line(lists(corpus) / "trials.lst", "test/id00801-singing-01-005.wav", "test/id00801-05.wav")
    refused(corpus, tmp_path / "out", "a name of another form", "'test/id00801-05.wav'", "singing-01-005.wav")


def test_labels_that_contradict_the_speakers(corpus, tmp_path):
    replace_line(lists(corpus) / "trials.lst", "id00801-enroll test/id00800-singing-01-005.wav 0",
                 "id00801-enroll test/id00800-singing-01-005.wav 1")  # fmt: skip
    refused(corpus, tmp_path / "out", "trials.lst, row 4", "a label that is not that of the speakers")
    write_lines(lists(corpus) / "trials.lst", "id00800-enroll test/id00800-singing-01-005.wav")
    refused(corpus, tmp_path / "out", "the trials have no labels")


def test_an_enrolment_of_another_speakers_recordings(corpus, tmp_path):
    replace_line(lists(corpus) / "enroll.map", "id00801/speech-01-001", "id00802/speech-01-001")
    refused(corpus, tmp_path / "out", "'id00801-enroll' is put together from another speaker's recording")


@pytest.mark.parametrize(("options", "text"), [
    ({"min_seconds": -1}, "expected 0 (join nothing) to 60"),
    ({"validation_speakers": 1}, "expected 0, or 2 and more"),
    ({"validation_speakers": 4}, "too few speakers"),
])  # fmt: skip
def test_options_that_cannot_be(corpus, tmp_path, options, text):
    refused(corpus, tmp_path / "out", text, **options)


def test_check_data_cnceleb(corpus):
    rows = {row.what: row for row in check_data("cnceleb", corpus).rows}
    assert not [row for row in rows.values() if row.status == "problem"]
    assert rows["CN-Celeb_flac speakers"].found == "8 (a part)"
    assert rows["CN-Celeb_flac speakers"].expected == "997"
    assert rows["CN-Celeb_flac utterances"].expected == "126,532"
    assert rows["CN-Celeb2_flac speakers"][1:3] == ("1,996", "2 (a part)")
    assert rows["CN-Celeb_flac not for training"].found == "3 speakers with 9 utterances"
    assert rows["evaluation trials"][1:3] == ("3,484,292", "9 (a part)")
    # 7 x 4 for training; 3 enrolments, 6 recordings of them, 3 tests.
    assert rows["audio"].found == "40 good, 0 bad"


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
