"""VoxCeleb's manifests, on a small tree."""

import csv
import hashlib
from itertools import combinations

import pytest
import soundfile

from cmd_speaker.errors import exit_code_of
from cmd_speaker.lists.trials import load_trials
from cmd_speaker.manifest import load_manifest, refuse_shared_speakers
from data_prep.voxceleb import prepare
from data_prep.voxceleb.__main__ import main
from tests.refusals import refused
from tests.voxceleb import (
    REAL_LINES,
    TEST_NAMES,
    VIDEOS,
    VOX1_SPEAKERS,
    VOX2_SPEAKERS,
    names_of,
    publish,
    write_audio,
    write_files,
    write_tree,
)


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


@pytest.mark.parametrize(
    ("train", "speakers"),
    [("vox1", VOX1_SPEAKERS), ("vox2", VOX2_SPEAKERS), ("both", VOX1_SPEAKERS + VOX2_SPEAKERS)],
)
def test_manifests_and_trials(tree, tmp_path, monkeypatch, train, speakers):
    trials = publish(monkeypatch, tmp_path / "list", "VoxCeleb1-O")
    prepared = prepare(tree, tmp_path / "out", train, trials=[trials], valid_speakers=2)
    learned, valid, test = (
        load_manifest(path, tree, check_files=True)
        for path in (prepared.train, prepared.valid, prepared.test)
    )
    # The order of the SHA-256 of the ids, worked out here anew.
    held_out = sorted(speakers, key=lambda speaker: hashlib.sha256(speaker.encode()).digest())[:2]
    assert valid.speakers == sorted(held_out)
    assert learned.speakers == sorted(set(speakers) - set(held_out))
    assert [u.id for u in learned] == sorted(names_of(learned.speakers))
    assert [u.id for u in test] == TEST_NAMES
    for manifest in (learned, valid):
        refuse_shared_speakers(manifest, test)
    first = test.utterances[0]
    assert (first.duration, first.start, first.stop) == (0.5, 0, 8000)
    assert first.fields == {"session": "8jEAjG6SegY"}
    assert f"$data_root/vox1_test_wav/wav/{first.id}" in prepared.test.read_text()
    assert prepared.trials["VoxCeleb1-O-cleaned"].read_text() == REAL_LINES
    assert load_trials(prepared.trials["VoxCeleb1-O-cleaned"]).ids == load_trials(trials).ids
    assert prepared.counts["train_utterances"] == 4 * (len(speakers) - 2)
    assert prepared.counts["test_speakers"] == 4
    assert prepared.counts["VoxCeleb1-O-cleaned"] == 6


def test_validation_trials_are_all_pairs_but_of_one_video(tree, tmp_path):
    prepared = prepare(tree, tmp_path / "out", "vox1", valid_speakers=2)
    valid = load_manifest(prepared.valid, tree)
    pairs = [line.split() for line in prepared.valid_trials.read_text().splitlines()]
    # 2 speakers with 2 videos of 2 utterances: 2 x 2 x 2 targets of two videos, 4 x 4 nontargets.
    assert [sum(label == wanted for label, *_ in pairs) for wanted in "10"] == [8, 16]
    assert all(a.rsplit("/", 1)[0] != b.rsplit("/", 1)[0] for _, a, b in pairs)
    expected = {frozenset(pair) for pair in combinations([u.id for u in valid], 2)}
    assert {frozenset(pair) for _, *pair in pairs} <= expected


def test_at_most_twenty_utterances_of_a_validation_speaker(tree, tmp_path):
    more = [f"{s}/{v}/{n:05}.wav" for s in VOX1_SPEAKERS for v in VIDEOS for n in range(3, 19)]
    write_files(tree / "vox1_dev_wav" / "wav", more)
    prepared = prepare(tree, tmp_path / "out", "vox1", valid_speakers=3)
    assert prepared.counts["valid_utterances"] == 60
    assert prepared.counts["valid_not_used"] == 3 * (4 + 32 - 20)
    first = prepared.valid.read_bytes()
    prepare(tree, tmp_path / "again", "vox1", valid_speakers=2)
    again = (tmp_path / "again" / "valid.csv").read_bytes().splitlines()
    assert set(again) <= set(first.splitlines())


def test_without_lists_the_test_part_is_that_of_voxceleb1(tree, tmp_path):
    prepared = prepare(tree, tmp_path / "out", "vox2", valid_speakers=0)
    assert (prepared.valid, prepared.valid_trials, prepared.trials) == (None, None, {})
    assert [u.id for u in load_manifest(prepared.test, tree)] == TEST_NAMES
    assert load_manifest(prepared.train, tree).speakers == sorted(VOX2_SPEAKERS)
    assert "VoxCeleb2 dev: 4 of 5,994 speakers, 16 of 1,092,009 utterances" in prepared.notes


def test_what_an_earlier_run_left_is_removed(tree, tmp_path):
    prepare(tree, tmp_path / "out", "vox1", valid_speakers=2)
    prepare(tree, tmp_path / "out", "vox1", valid_speakers=0)
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["preparation.json", "test.csv", "train.csv"]


def test_voxceleb2s_test_speakers_are_not_trained_on(tree, tmp_path):
    write_files(
        tree / "dev" / "flac", ["id00017/01dfn2spqyE/00001.wav", "id00017/5MkXgwdrmJw/00002.wav"], ".flac"
    )
    prepared = prepare(tree, tmp_path / "out", "vox2", valid_speakers=0)
    assert load_manifest(prepared.train, tree).speakers == sorted(VOX2_SPEAKERS)


def test_bad_training_files_are_left_out_and_listed(tree, tmp_path):
    folder = tree / "vox1_dev_wav" / "wav" / "id10001"
    (folder / "1zcIwhmdeo4" / "00001.wav").unlink()
    (folder / "1zcIwhmdeo4" / "00001.wav").touch()
    write_audio(folder / "astray.wav")
    prepared = prepare(tree, tmp_path / "out", "vox1", valid_speakers=0)
    assert prepared.counts["train_utterances"] == 19
    rows = list(csv.reader((tmp_path / "out" / "left_out.csv").open()))
    assert [row[0] for row in rows] == [
        "file", "id10001/1zcIwhmdeo4/00001.wav", "vox1_dev_wav/wav/id10001/astray.wav",
    ]  # fmt: skip
    assert "the file is empty" in rows[1][1]
    assert f"2 files were left out, see {tmp_path / 'out' / 'left_out.csv'}" in prepared.notes


def test_training_sets_that_are_not_there(tree, tmp_path):
    packed = tree / "dev" / "aac" / "id00012" / "21Uxsk56VDQ"
    packed.mkdir(parents=True)
    (packed / "00001.m4a").touch()
    out = tmp_path / "out"
    assert refused(
        lambda: prepare(tree, out, "vox2"),
        "the training set is not converted",
        "1 m4a files",
        "convert first",
    )
    assert prepare(tree, out, "vox1", valid_speakers=0).counts["train_utterances"] == 20
    vox1 = tree / "vox1_dev_wav"
    assert refused(
        lambda: prepare(vox1, out, "both"), "no recordings of VoxCeleb2 dev", "found 20 of VoxCeleb1 dev"
    )
    write_files(tree / "copy", names_of(["id10001"]))
    assert refused(lambda: prepare(tree, out, "vox1"), "an utterance is there twice", "4 utterances again")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"train": "vox3"}, "train 'vox3': expected vox1, vox2, both"),
        ({"valid_speakers": 1}, "valid_speakers 1"),
        ({"valid_speakers": -2}, "valid_speakers -2"),
        ({"train": "vox1", "valid_speakers": 4}, "expected at least 6, found 5"),
    ],
)
def test_wrong_options(tree, tmp_path, options, expected):
    assert refused(lambda: prepare(tree, tmp_path / "out", **options), expected)


def test_validation_needs_target_trials(tmp_path):
    names = [f"{speaker}/1zcIwhmdeo4/0000{n}.wav" for speaker in VOX1_SPEAKERS for n in (1, 2)]
    write_files(tmp_path / "data" / "wav", names)
    assert refused(
        lambda: prepare(tmp_path / "data", tmp_path / "out", "vox1", valid_speakers=2),
        "no validation speaker has two videos", "found 2 speakers",
    )  # fmt: skip


def test_no_audio_is_decoded(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile, "read", None)
    monkeypatch.setattr(soundfile, "SoundFile", None)
    assert prepare(tree, tmp_path / "out", "both", valid_speakers=0).counts["train_utterances"] == 36


def test_same_input_same_bytes(tree, tmp_path):
    for name in ("a", "b"):
        prepare(tree, tmp_path / name, "both", valid_speakers=2)
    for file in ("train.csv", "valid.csv", "valid_trials.txt", "test.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_command_line(tree, tmp_path, capsys, monkeypatch):
    trials = publish(monkeypatch, tmp_path / "list", "VoxCeleb1-O")
    arguments = [str(tree), str(tmp_path / "out"), "--trials", str(trials), "--valid_speakers", "2"]
    assert exit_code_of(main, ["prepare", *arguments]) == 0
    said = capsys.readouterr().out
    assert "train_utterances                     8" in said
    assert f"{trials.name} is VoxCeleb1-O (cleaned, 6 trials)" in said
    assert (
        exit_code_of(main, ["prepare", *arguments, "--train", "vox1", "--faces", str(tmp_path / "none")]) == 3
    )
    assert "no such folder of faces" in capsys.readouterr().err
