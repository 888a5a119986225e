"""Anybody's own tree: what is made of it, and every mistake that people make with such trees."""

import csv
import hashlib

import numpy as np
import pytest
import soundfile

from cmd_speaker.corpora import check_data
from cmd_speaker.errors import DataError, DataErrors, UsageError, exit_code_of
from cmd_speaker.lists.trials import load_trials
from cmd_speaker.manifest import load_manifest, refuse_shared_speakers
from cmd_speaker.teachers.pictures import face_inputs
from data_prep import parts
from data_prep.folder import main, prepare
from data_prep.parts import Spoken, draw_trials

RATE = 16000
NAMES = ("ada", "ben", "cleo", "dora", "emil", "finn", "gero", "hanna")
BY_HASH = sorted(NAMES, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
"""The first two are the test, the next two the validation, in most tests."""


def write_wav(path, seconds=0.2, rate=RATE, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.sin(np.arange(round(seconds * rate)) / 9)
    soundfile.write(path, np.stack([wave] * channels, 1), rate)


def touch(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    """Eight speakers with two utterances in each of two sessions, in ROOT/audio."""
    root = tmp_path / "corpus"
    for name in NAMES:
        for session in ("s1", "s2"):
            for utterance in ("a.wav", "b.flac"):
                write_wav(root / "audio" / name / session / utterance)
    return root


def prepare_small(root, output, **options):
    return prepare(root, output, **{"validation_speakers": 2, "test_speakers": 2, **options})


def refused(root, output, *texts, **options):
    """The message of the error must hold `texts`; nothing may have been written."""
    with pytest.raises((DataError, DataErrors, UsageError)) as caught:
        prepare_small(root, output, **options)
    for text in texts:
        assert text in str(caught.value)
    assert not output.exists()


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mistakes(prepared):
    return "\n".join(map(str, prepared.mistakes))


def test_parts_load_and_share_nobody(tree, tmp_path):
    prepared = prepare_small(tree, tmp_path / "out")
    train, valid, test = (
        load_manifest(path, tree, check_files=True)
        for path in (prepared.train, prepared.valid, prepared.test)
    )
    assert test.speakers == sorted(BY_HASH[:2])
    assert valid.speakers == sorted(BY_HASH[2:4])
    assert train.speakers == sorted(BY_HASH[4:])
    for known, other in ((train, valid), (train, test), (valid, test)):
        refuse_shared_speakers(known, other)
    first = rows_of(prepared.train)[0]
    name = train.speakers[0]
    assert (first["ID"], first["wav"]) == (f"{name}/s1/a.wav", f"$data_root/audio/{name}/s1/a.wav")
    assert (first["duration"], first["session"]) == ("0.2", "s1")
    assert "text" not in first
    assert "face" not in first
    assert not prepared.mistakes
    assert prepared.counts["train_seconds"] == 3  # 4 speakers x 4 utterances x 0.2 s = 3.2 s


def test_trials_join_sessions_and_name_the_manifest(tree, tmp_path):
    prepared = prepare_small(tree, tmp_path / "out")
    trials = load_trials(prepared.test_trials)
    rows = {row["ID"]: row for row in rows_of(prepared.test)}
    # Two speakers: 2 x 2 pairs of two sessions each are targets, 4 x 4 pairs nontargets.
    assert (len(trials), int(trials.labels.sum())) == (8 + 16, 8)
    for k, label in enumerate(trials.labels):
        a, b = (rows[name] for name in trials.pair(k))
        assert (a["spk_id"] == b["spk_id"]) == label
        assert a["spk_id"] != b["spk_id"] or a["session"] != b["session"]
    assert prepared.counts["test_trials_targets"] == 8
    assert prepared.counts["test_trials_targets_of_one_session"] == 0


def test_the_same_tree_gives_the_same_bytes(tree, tmp_path):
    made = [prepare_small(tree, tmp_path / name) for name in ("one", "two")]
    for file in ("train", "valid", "test", "valid_trials", "test_trials"):
        one, two = (getattr(prepared, file).read_bytes() for prepared in made)
        assert one == two


def test_without_sessions_and_without_a_folder_for_the_audio(tmp_path):
    for name in NAMES:
        for utterance in ("a", "b", "c"):
            write_wav(tmp_path / "own" / name / f"{utterance}.wav")
    write_wav(tmp_path / "own" / "faces" / "noise.wav")  # faces are no speaker
    prepared = prepare_small(tmp_path / "own", tmp_path / "out")
    row = rows_of(prepared.valid)[0]
    assert row["session"] == ""
    assert row["wav"] == f"$data_root/{row['ID']}"
    # 2 speakers x 3 pairs, not known to be of two sessions; 3 x 3 nontargets.
    assert prepared.counts["valid_trials"] == 6 + 9
    assert prepared.counts["valid_trials_targets_of_one_session"] == 6


def test_faces_are_the_most_specific_and_never_of_the_test(tree, tmp_path):
    who, other, nobody = sorted(BY_HASH[4:7])
    touch(tree / "faces" / who / "1.jpg")
    touch(tree / "faces" / who / "s1" / "1.png")
    touch(tree / "faces" / who / "s1" / "b" / "1.jpeg")
    touch(tree / "faces" / other / "s2" / "1.jpg")
    touch(tree / "faces" / BY_HASH[0] / "1.jpg")
    prepared = prepare_small(tree, tmp_path / "out")
    faces = {row["ID"]: row["face"] for row in rows_of(prepared.train)}
    assert faces[f"{who}/s1/a.wav"] == f"$data_root/faces/{who}/s1"
    assert faces[f"{who}/s1/b.flac"] == f"$data_root/faces/{who}/s1/b"
    assert faces[f"{who}/s2/a.wav"] == f"$data_root/faces/{who}"
    assert faces[f"{other}/s1/a.wav"] == ""
    assert faces[f"{nobody}/s1/a.wav"] == ""
    assert "face" not in rows_of(prepared.test)[0]
    found = {key: prepared.counts[f"train_face_{key}"] for key in ("of_utterance", "of_session", "none")}
    # who: 1 by utterance, 1 by session, 2 by identity; other: 2 by session; 2 speakers and a session: none.
    assert found == {"of_utterance": 1, "of_session": 3, "none": 10}
    assert prepared.counts["train_face_of_identity"] == 2
    assert not prepared.mistakes
    levels = [i.level for i in face_inputs(load_manifest(prepared.train, tree), tree)]
    # A bank's level is that of those who name a folder: one utterance names s1, those of s2 the identity's.
    assert sorted(levels) == ["session", "session", "utterance", "utterance"]


def test_texts_of_training_and_validation(tree, tmp_path):
    for name in NAMES:
        touch(tree / "text" / f"{name}.txt", "A woman,\n  of forty. \n")
    prepared = prepare_small(tree, tmp_path / "out")
    assert {row["text"] for row in rows_of(prepared.train)} == {"A woman, of forty."}
    assert {row["text"] for row in rows_of(prepared.valid)} == {"A woman, of forty."}
    assert "text" not in rows_of(prepared.test)[0]
    assert prepared.counts["train_speakers_described"] == 4


def test_folders_that_lie_elsewhere(tree, tmp_path):
    touch(tmp_path / "photos" / BY_HASH[4] / "1.jpg")
    touch(tmp_path / "notes" / f"{BY_HASH[4]}.txt", "Quiet.")
    prepared = prepare(
        tmp_path,
        tmp_path / "out",
        0,
        0,
        audio=tree / "audio",
        faces=tmp_path / "photos",
        text=tmp_path / "notes",
    )
    row = next(row for row in rows_of(prepared.train) if row["spk_id"] == BY_HASH[4])
    assert (row["face"], row["text"]) == (f"$data_root/photos/{BY_HASH[4]}", "Quiet.")
    assert row["wav"] == f"$data_root/corpus/audio/{row['ID']}"
    assert prepared.valid is prepared.test_trials is None


def test_who_is_no_longer_held_out_is_in_no_old_manifest(tree, tmp_path):
    first = prepare_small(tree, tmp_path / "out")
    prepare_small(tree, tmp_path / "out", validation_speakers=0)
    assert not first.valid.exists()
    assert not first.valid_trials.exists()
    assert first.test.exists()


def test_the_test_does_not_change_with_the_validation(tree, tmp_path):
    few = prepare_small(tree, tmp_path / "few")
    more = prepare_small(tree, tmp_path / "more", validation_speakers=4)
    assert few.test.read_bytes() == more.test.read_bytes()


def test_a_speaker_with_one_utterance_trains_only(tree, tmp_path):
    for path in list((tree / "audio" / BY_HASH[0]).rglob("*.*"))[1:]:
        path.unlink()
    prepared = prepare_small(tree, tmp_path / "out")
    assert load_manifest(prepared.test, tree).speakers == sorted(BY_HASH[1:3])
    assert BY_HASH[0] in load_manifest(prepared.train, tree).speakers
    assert prepared.counts["speakers_with_one_utterance"] == 1


def test_unreadable_and_other_sample_rates_are_named_and_the_rest_done(tree, tmp_path, capsys):
    who = BY_HASH[4]
    (tree / "audio" / who / "s1" / "a.wav").write_bytes(b"RIFF, but no audio")
    (tree / "audio" / who / "s1" / "b.flac").write_bytes(b"")
    write_wav(tree / "audio" / who / "s2" / "a.wav", rate=8000)
    write_wav(tree / "audio" / BY_HASH[5] / "s2" / "a.wav", channels=2)
    write_wav(tree / "audio" / BY_HASH[5] / "s1" / "a.wav", seconds=0.05)
    output = tmp_path / "out"
    assert (
        exit_code_of(main, [str(tree), str(output), "--validation-speakers", "2", "--test_speakers", "2"])
        == 3
    )
    said = capsys.readouterr().err
    listed = (output / "mistakes.txt").read_text()
    for text in (f"{who}/s1/a.wav", f"{who}/s1/b.flac", "8000 Hz", "2 channel(s)", "0.050 s"):
        assert text in said
        assert text in listed
    assert len(listed.splitlines()) == 5
    assert len(load_manifest(output / "train.csv", tree, check_files=True)) == 16 - 5


def test_a_tree_of_another_sample_rate_is_refused_with_the_way_out(tree, tmp_path):
    for path in (tree / "audio").rglob("*.*"):
        write_wav(path, rate=44100)
    refused(tree, tmp_path / "out", "none of the 32 recordings", "44100 Hz", "ffmpeg")


def test_no_audio_says_what_is_there(tmp_path):
    touch(tmp_path / "own" / "audio" / "ada" / "s1" / "a.m4a")
    refused(tmp_path / "own", tmp_path / "out", "no audio below", "1 .m4a", "ffmpeg")
    refused(tmp_path / "gone", tmp_path / "out", "no such folder", "gone")


@pytest.mark.parametrize(
    ("place", "text"), [("audio", "one level too few"), ("audio/a/b/c/d", "2 levels too many")]
)
def test_a_tree_that_begins_elsewhere(tmp_path, place, text):
    for name in "ab":
        write_wav(tmp_path / "own" / place / f"{name}.wav")
    refused(tmp_path / "own", tmp_path / "out", text, "speaker/session/utterance.wav", "a.wav")


def test_single_files_on_another_level(tree, tmp_path):
    write_wav(tree / "audio" / "ada" / "loose.wav")
    write_wav(tree / "audio" / "ben" / "s1" / "take2" / "deep.wav")
    refused(
        tree,
        tmp_path / "out",
        "2 of 34 files",
        "loose.wav: one level too few",
        "deep.wav: one level too many",
    )


def test_two_folders_of_audio(tree, tmp_path):
    write_wav(tree / "wav" / "ada" / "s1" / "a.wav")
    refused(tree, tmp_path / "out", "two folders of audio", "--audio")
    assert prepare_small(tree, tmp_path / "out", audio=tree / "audio").counts["train_utterances"] == 16


@pytest.mark.parametrize("name", ["ann marie", "ann,marie", "ann\tmarie"])
def test_names_that_no_list_can_hold(tree, tmp_path, name):
    write_wav(tree / "audio" / name / "s1" / "a.wav")
    write_wav(tree / "audio" / name / "s1" / "b.wav")
    refused(tree, tmp_path / "out", "1 names cannot be used", ascii(name), "Rename")


def test_one_utterance_in_two_files(tree, tmp_path):
    write_wav(tree / "audio" / "ada" / "s1" / "a.flac")
    refused(tree, tmp_path / "out", "duplicate utterance 'ada/s1/a'", "ada/s1/a.flac")


def test_faces_and_texts_of_nobody(tree, tmp_path):
    touch(tree / "faces" / "adda" / "1.jpg")
    touch(tree / "faces" / "ben" / "s3" / "1.jpg")
    touch(tree / "faces" / "cleo" / "s1" / "zzz" / "1.jpg")
    touch(tree / "faces" / "dora" / "face.gif")
    touch(tree / "faces" / "1.jpg")
    touch(tree / "text" / "clea.txt", "Tall.")
    touch(tree / "text" / "list.md", "Tall.")
    prepared = prepare_small(tree, tmp_path / "out")
    said = mistakes(prepared)
    assert "'adda' is nobody's in the audio" in said
    assert "Did you mean 'ada'?" in said
    assert "ben/s3: 's3' is nobody's" in said
    assert "cleo/s1/zzz: 'zzz' is nobody's" in said
    assert "dora: no picture in this folder" in said
    assert "faces: pictures are nobody's" in said
    assert "Did you mean 'cleo'?" in said
    assert "list.md: not a description" in said
    assert len(prepared.mistakes) == 7
    assert {row["face"] + row["text"] for row in rows_of(prepared.train)} == {""}


def test_descriptions_that_teach_nothing_or_names(tree, tmp_path):
    texts = {"ada": " \n", "ben": "Ben is a man.", "cleo": "A clever woman.", "dora": "\udcff"}
    for name, text in texts.items():
        path = tree / "text" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode(errors="surrogateescape"))
    said = mistakes(prepare_small(tree, tmp_path / "out"))
    assert "ada.txt: the description is empty" in said
    assert "ben.txt: the description holds the name" in said
    assert "'Ben'" in said
    assert "dora.txt: the description cannot be read" in said
    assert "cleo" not in said


@pytest.mark.parametrize("speaker", ["Anna_Schmidt", "schmidt-2"])
def test_a_part_of_the_folders_name_is_a_name(tree, tmp_path, speaker):
    for session in ("s1", "s2"):
        write_wav(tree / "audio" / speaker / session / "a.wav")
    touch(tree / "text" / f"{speaker}.txt", "Mrs Schmidt is calm.")
    assert "'Schmidt'" in mistakes(prepare_small(tree, tmp_path / "out"))


@pytest.mark.parametrize(
    ("validation", "test", "text"),
    [(1, 2, "expected 0, or 2 and more"), (-2, 0, "expected 0, or 2"), (4, 4, "8 speakers")],
)
def test_numbers_of_speakers_that_cannot_be(tree, tmp_path, validation, test, text):
    refused(tree, tmp_path / "out", text, validation_speakers=validation, test_speakers=test)


def test_hidden_and_other_files_are_no_utterances(tree, tmp_path):
    touch(tree / "audio" / "ada" / "s1" / "._a.wav")
    touch(tree / "audio" / "ada" / "s1" / "a.lab")
    prepared = prepare_small(tree, tmp_path / "out")
    assert prepared.counts["other_files"] == 1
    assert not prepared.mistakes


def test_trials_are_all_pairs_within_the_limits(monkeypatch):
    said = [Spoken(f"{who}{n}", who, f"s{n % 3}") for who in "xyz" for n in range(7)]
    # Sessions of 3, 2 and 2 utterances: 3 x 2 + 3 x 2 + 2 x 2 = 16 targets a speaker; 3 x 7 x 7 nontargets.
    everything = draw_trials(said)
    assert (len(everything), int(everything.labels.sum())) == (48 + 147, 48)
    pairs = {frozenset(everything.pair(k)) for k in range(len(everything))}
    assert len(pairs) == len(everything)
    monkeypatch.setattr(parts, "TARGETS", 10)
    monkeypatch.setattr(parts, "NONTARGETS", 20)
    some = draw_trials(said)
    assert (len(some), int(some.labels.sum())) == (30, 10)
    assert {frozenset(some.pair(k)) for k in range(30)} < pairs


def test_within_a_single_session_every_pair_is_a_target():
    trials = draw_trials([Spoken(f"{who}{n}", who, "") for who in "xy" for n in range(5)])
    targets = [set(trials.pair(k)) for k in np.flatnonzero(trials.labels)]
    expected = [{f"{who}{a}", f"{who}{b}"} for who in "xy" for b in range(5) for a in range(b)]
    assert sorted(map(sorted, targets)) == sorted(map(sorted, expected))


def test_check_data_folder(tree, tmp_path):
    touch(tree / "faces" / "ada" / "s1" / "1.jpg")
    touch(tree / "text" / "ada.txt", "Calm.")
    report = check_data("folder", tree)
    found = {row.what: row for row in report.rows}
    assert report.ok
    assert found["recordings"].found == "8 speakers, 32 utterances in 16 sessions"
    assert found["audio"].found == "32 good, 0 bad"
    assert found["faces"].found == "2 by session, 30 by none"
    assert found["descriptions"].found == "1 of 8 speakers"
    (tree / "audio" / "ada" / "s1" / "a.wav").write_bytes(b"x")
    touch(tree / "faces" / "bem" / "1.jpg")
    problems = "\n".join(row.found for row in check_data("folder", tree).problems)
    assert "ada/s1/a.wav" in problems
    assert "Did you mean 'ben'?" in problems
    assert not check_data("folder", tmp_path / "corpus" / "text").ok
