"""VoxCeleb's manifests and trial lists, on a small tree of real paths and, where they are, the real lists."""

import csv
import gzip
import hashlib
from itertools import combinations

import pytest
import soundfile

from cmd_speaker.corpora import recognise_list, trial_lists
from cmd_speaker.corpora.trial_lists import PublishedList
from cmd_speaker.errors import DataError, DataErrors, UsageError, exit_code_of
from cmd_speaker.lists.trials import load_trials
from cmd_speaker.manifest import load_manifest, refuse_shared_speakers
from data_prep.voxceleb import prepare
from data_prep.voxceleb.__main__ import main
from data_prep.voxceleb.trials import read_trial_list
from tests.voxceleb import (
    REAL_LINES,
    TEST_NAMES,
    VIDEOS,
    VOX1_SPEAKERS,
    VOX2_SPEAKERS,
    names_of,
    write_audio,
    write_files,
    write_tree,
)

ALL_OF_VOX1 = "0 id10001/1zcIwhmdeo4/00001.wav id10270/x6uYqmx31kE/00001.wav\n"


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """`publish(name, text) -> path`: make a list a published one; its file's name says nothing."""

    def write(name, text):
        path = tmp_path / f"list_{name}"
        path.write_text(text)
        published = PublishedList(name, "cleaned", "x.txt", 6, hashlib.md5(text.encode()).hexdigest())
        known = (*trial_lists.PUBLISHED_LISTS, published)
        monkeypatch.setattr(trial_lists, "PUBLISHED_LISTS", known)
        return path

    return write


def refused(call, *parts):
    with pytest.raises((DataError, DataErrors, UsageError)) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("train", "speakers"),
    [("vox1", VOX1_SPEAKERS), ("vox2", VOX2_SPEAKERS), ("both", VOX1_SPEAKERS + VOX2_SPEAKERS)],
)
def test_manifests_and_trials(tree, tmp_path, publish, train, speakers):
    trials = publish("VoxCeleb1-O", REAL_LINES)
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
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test.csv", "train.csv"]


def test_all_of_voxceleb1_may_be_tested_after_training_on_voxceleb2(tree, tmp_path, publish):
    trials = publish("VoxCeleb1-E", ALL_OF_VOX1)
    prepared = prepare(tree, tmp_path / "out", "vox2", trials=[trials], valid_speakers=2)
    assert [u.id for u in load_manifest(prepared.test, tree)] == ALL_OF_VOX1.split()[1:]


@pytest.mark.parametrize("train", ["vox1", "both"])
@pytest.mark.parametrize("name", ["VoxCeleb1-E", "VoxCeleb1-H"])
def test_lists_over_training_speakers_are_refused(tree, tmp_path, publish, train, name):
    trials = publish(name, ALL_OF_VOX1)
    error = refused(
        lambda: prepare(tree, tmp_path / "out", train, trials=[trials], valid_speakers=2),
        f"{trials}: {name} (cleaned, 6 trials) tests on 2 speakers, and 1 of them are trained on (VoxCeleb1 dev",
        "the first is id10001",
        "train on vox2",
    )
    assert isinstance(error, UsageError)
    assert not (tmp_path / "out").exists()


def test_voxceleb2s_test_speakers_are_not_trained_on(tree, tmp_path):
    write_files(
        tree / "dev" / "flac", ["id00017/01dfn2spqyE/00001.wav", "id00017/5MkXgwdrmJw/00002.wav"], ".flac"
    )
    prepared = prepare(tree, tmp_path / "out", "vox2", valid_speakers=0)
    assert load_manifest(prepared.train, tree).speakers == sorted(VOX2_SPEAKERS)


def test_an_unknown_list_needs_a_word(tree, tmp_path):
    path = tmp_path / "veri.txt"
    path.write_text("\n".join(REAL_LINES.splitlines()[1:]) + "\n")
    found = f"found 5 lines, MD5 {hashlib.md5(path.read_bytes()).hexdigest()}"
    refused(
        lambda: prepare(tree, tmp_path / "out", "vox1", trials=[path]),
        "an unknown trial list",
        found,
        "--accept_unknown",
    )
    prepared = prepare(tree, tmp_path / "out", "vox1", trials=[path], accept_unknown=True, valid_speakers=2)
    assert prepared.trials["unknown-veri"].read_bytes() == path.read_bytes()
    assert any(note.startswith("veri.txt is an unknown list (5 trials, MD5") for note in prepared.notes)


def test_a_truncated_list_is_said_to_be_so(tmp_path):
    path = tmp_path / "any"
    path.write_text(REAL_LINES)
    refused(
        lambda: read_trial_list(path), "truncated or altered: it looks like VoxCeleb1-O", "original, 37,720 lines",
        "cleaned, 37,611 lines, MD5 b73110731c9223c1461fe49cb48dddfc", "found 6 lines",
    )  # fmt: skip
    path = tmp_path / "list_test_hard2.txt"
    path.write_text(ALL_OF_VOX1)
    error = refused(
        lambda: read_trial_list(path), "it looks like VoxCeleb1-H", "cleaned, 550,894 lines", "found 1 lines"
    )
    assert "original" not in str(error)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1 id10270/x6uYqmx31kE/00001.wav id10300/ize_eiCFEg0/00003.wav", "1 for one speaker, 0 for two"),
        ("1 id10270/x6uYqmx31kE/00001.wav", "expected 1|0 id10270/VIDEO/00001.wav"),
        ("id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav target", "expected 1|0 id10270"),
        ("", "found ''"),
    ],
)
def test_bad_lines_of_an_unknown_list(tmp_path, line, expected):
    path = tmp_path / "mine.txt"
    path.write_text(REAL_LINES + line + "\n" + line + "\n")
    error = refused(
        lambda: read_trial_list(path, accept_unknown=True),
        "2 of 8 trials are wrong",
        "row 7: bad trial",
        expected,
    )
    assert len(error.errors) == 2


def test_line_ends_and_packing_do_not_make_another_list(tmp_path, publish):
    publish("VoxCeleb1-O", REAL_LINES)
    copies = {
        "cut": REAL_LINES.rstrip("\n").encode(),
        "windows": REAL_LINES.replace("\n", "\r\n").encode(),
        "packed": gzip.compress(REAL_LINES.encode()),
    }
    for name, content in copies.items():
        (tmp_path / name).write_bytes(content)
        trials = read_trial_list(tmp_path / name)
        assert (trials.name, trials.text.decode()) == ("VoxCeleb1-O-cleaned", REAL_LINES)
        assert list(trials.utterances.values())[:3] == [1, 1, 2]
    (tmp_path / "other").write_text(REAL_LINES + "\n")
    assert "truncated or altered" in str(refused(lambda: read_trial_list(tmp_path / "other")))


def test_missing_and_bad_utterances_of_a_list(tree, tmp_path, publish):
    trials = publish("VoxCeleb1-O", REAL_LINES)
    wav = tree / "vox1_test_wav" / "wav"
    for name in ("id10273/0OCW1HUxZyg/00001.wav", "id10284/Uzxv7Axh3Z8/00001.wav"):
        (wav / name).unlink()
    call = lambda: prepare(tree, tmp_path / "out", "vox1", trials=[trials], valid_speakers=2)  # noqa: E731
    refused(
        call, f"{trials}, row 4: utterances of the list are not in the tree", "expected 7 utterances",
        "2 are missing, the first is id10273/0OCW1HUxZyg/00001.wav", "vox1_test_wav",
    )  # fmt: skip
    write_audio(wav / "id10273" / "0OCW1HUxZyg" / "00001.wav", rate=8000)
    refused(call, "1 utterances of the list cannot be used", f"{trials}, row 4", "found 8000 Hz")
    assert not (tmp_path / "out").exists()


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
    refused(
        lambda: prepare(tree, out, "vox2"),
        "the training set is not converted",
        "1 m4a files",
        "convert first",
    )
    assert prepare(tree, out, "vox1", valid_speakers=0).counts["train_utterances"] == 20
    vox1 = tree / "vox1_dev_wav"
    refused(lambda: prepare(vox1, out, "both"), "no recordings of VoxCeleb2 dev", "found 20 of VoxCeleb1 dev")
    write_files(tree / "copy", names_of(["id10001"]))
    refused(lambda: prepare(tree, out, "vox1"), "an utterance is there twice", "4 utterances again")


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
    refused(lambda: prepare(tree, tmp_path / "out", **options), expected)


def test_validation_needs_target_trials(tmp_path):
    names = [f"{speaker}/1zcIwhmdeo4/0000{n}.wav" for speaker in VOX1_SPEAKERS for n in (1, 2)]
    write_files(tmp_path / "data" / "wav", names)
    refused(
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


def test_command_line(tree, tmp_path, capsys, publish):
    trials = publish("VoxCeleb1-O", REAL_LINES)
    arguments = [str(tree), str(tmp_path / "out"), "--trials", str(trials), "--valid_speakers", "2"]
    assert exit_code_of(main, ["prepare", *arguments]) == 0
    said = capsys.readouterr().out
    assert "train_utterances                     8" in said
    assert f"{trials.name} is VoxCeleb1-O (cleaned, 6 trials)" in said
    assert (
        exit_code_of(main, ["prepare", *arguments, "--train", "vox1", "--faces", str(tmp_path / "none")]) == 3
    )
    assert "no such folder of faces" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "utterances"), [("veri_test2.txt", 4708), ("veri_test.txt.gz", 4715)])
def test_published_lists_on_a_tree_of_all_their_files(shared_data, tmp_path, name, utterances):
    path = shared_data / "voxceleb_lists" / name
    if not path.is_file():
        pytest.skip(f"the list is not there: {path}")
    trials = read_trial_list(path)
    assert len(trials.utterances) == utterances
    assert len(trials.speakers) == 40
    root = tmp_path / "data"
    write_files(root / "vox1_dev_wav" / "wav", names_of(VOX1_SPEAKERS))
    write_files(root / "vox1_test_wav" / "wav", trials.utterances)
    prepared = prepare(root, tmp_path / "out", "vox1", trials=[path], valid_speakers=2)
    assert prepared.counts["test_utterances"] == utterances
    copy = prepared.trials[trials.name]
    assert recognise_list(copy) == trials.title
    (tmp_path / "cut.txt").write_text("".join(copy.read_text().splitlines(keepends=True)[:30000]))
    refused(
        lambda: read_trial_list(tmp_path / "cut.txt"),
        "truncated or altered",
        "37,611 lines",
        "found 30,000 lines",
    )
