"""What people's disks do to VoxCeleb's tree: links, strange names, half files, lists that went through Windows."""

import codecs
import csv
import os
import shutil

import pytest

from cmd_speaker import files
from cmd_speaker.corpora import check_data
from cmd_speaker.lists.trials import load_trials
from data_prep.voxceleb import prepare
from tests.refusals import nothing_written
from tests.voxceleb import REAL_LINES, VOX2_SPEAKERS, names_of, publish, write_audio, write_files, write_tree

VIDEO = "dev/flac/id00012/1zcIwhmdeo4"


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


def prepare_all(root, output, **options):
    return prepare(root, output, "vox2", **{"valid_speakers": 0, **options})


def left_out(output):
    """File -> reason."""
    with (output / "left_out.csv").open(encoding="utf-8") as file:
        return dict(list(csv.reader(file))[1:])


def test_links_to_other_disks_are_followed(tree, tmp_path):
    shutil.move(tree / "dev" / "flac" / "id00012", tmp_path / "elsewhere")
    (tree / "dev" / "flac" / "id00012").symlink_to(tmp_path / "elsewhere")
    shutil.move(tree / "vox1_test_wav", tmp_path / "test")
    (tree / "vox1_test_wav").symlink_to(tmp_path / "test")
    counts = prepare_all(tree, tmp_path / "out").counts
    assert (counts["train_utterances"], counts["test_utterances"]) == (16, 7)


@pytest.mark.parametrize("place", ["loop", "dev/loop", "vox1_dev_wav/loop"])
def test_links_that_lead_round_change_nothing(tree, tmp_path, place):
    (tree / place).symlink_to(tree)
    assert prepare_all(tree, tmp_path / "out").counts["train_utterances"] == 16
    assert not (tmp_path / "out" / "left_out.csv").exists()


def test_links_that_lead_nowhere_are_listed(tree, tmp_path):
    for place in ("dev/flac/id00077", "dev/flac/id00012/4GwXulAp84Y", f"{VIDEO}/00009.flac"):
        (tree / place).symlink_to(tmp_path / "not_mounted")
    assert prepare_all(tree, tmp_path / "out").counts["train_utterances"] == 16
    reasons = left_out(tmp_path / "out")
    assert (
        reasons["dev/flac/id00077"] == reasons["dev/flac/id00012/4GwXulAp84Y"] == "a link that leads nowhere"
    )
    assert "no such audio file" in reasons["id00012/1zcIwhmdeo4/00009.wav"]
    (row,) = (row for row in check_data("voxceleb", tree).problems if row.what == "links")
    assert row.found.startswith("2 that lead nowhere, the first dev/flac/id00077. Mount")


def test_upper_case_suffixes_and_what_is_no_recording(tree, tmp_path):
    (tree / VIDEO / "00001.flac").rename(tree / VIDEO / "00001.FLAC")
    (tree / VIDEO / "._00001.flac").write_bytes(b"\0\5\26\7 what macOS leaves")
    (tree / "dev" / "flac" / "id00078").mkdir()
    (tree / "dev" / "flac" / "id00012" / "empty").mkdir()
    prepared = prepare_all(tree, tmp_path / "out")
    assert prepared.counts["train_utterances"] == 16
    assert f"{VIDEO}/00001.FLAC" in prepared.train.read_text()
    assert not (tmp_path / "out" / "left_out.csv").exists()


def test_files_that_cannot_be_read(tree, tmp_path):
    whole = (tree / VIDEO / "00001.flac").read_bytes()
    for name, content in {"00003": b"", "00004": whole[:20], "00005": b"<html>404"}.items():
        (tree / VIDEO / f"{name}.flac").write_bytes(content)
    (tree / VIDEO / "00006.flac").mkdir()
    assert prepare_all(tree, tmp_path / "out").counts["train_utterances"] == 16
    reasons = left_out(tmp_path / "out")
    assert sorted(reasons) == [f"id00012/1zcIwhmdeo4/0000{n}.wav" for n in (3, 4, 5, 6)]
    assert "empty (0 bytes)" in reasons["id00012/1zcIwhmdeo4/00003.wav"]


@pytest.mark.parametrize("name", ["take 1", "two\nlines", "a\u3000b", os.fsdecode(b"\xff\xfe")])
def test_names_that_no_list_can_hold(tree, tmp_path, name):
    write_audio(tmp_path / "sound.flac")
    (tree / "dev" / "flac" / "id00012" / name).mkdir()
    os.rename(tmp_path / "sound.flac", tree / "dev" / "flac" / "id00012" / name / "00001.flac")
    assert prepare_all(tree, tmp_path / "out").counts["train_utterances"] == 16
    ((_, reason),) = left_out(tmp_path / "out").items()
    assert "a name that no list can hold" in reason
    assert ascii(f"id00012/{name}/00001.wav") in reason


def test_names_in_any_script(tree, tmp_path):
    (tree / VIDEO).rename(tree / "dev" / "flac" / "id00012" / "видео,ü")
    prepared = prepare_all(tree, tmp_path / "out", valid_speakers=2)
    assert prepared.counts["train_utterances"] + prepared.counts["valid_utterances"] == 16
    assert load_trials(prepared.valid_trials).ids


def test_m4a_files_beside_their_flac_files(tree, tmp_path):
    for name in names_of(VOX2_SPEAKERS):
        path = (tree / "dev" / "aac" / name).with_suffix(".m4a")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tree / VIDEO / "00001.M4A").touch()
    assert prepare_all(tree, tmp_path / "out").counts["train_utterances"] == 16
    assert check_data("voxceleb", tree).ok
    (tree / VIDEO / "00002.flac").unlink()
    said = (
        "not converted",
        "1 m4a files without one, the first id00012/1zcIwhmdeo4/00002.wav",
        "convert first",
    )
    assert nothing_written(prepare_all, tree, tmp_path / "again", *said)


def test_wav_and_flac_of_one_utterance(tree, tmp_path):
    write_files(tree / "dev" / "flac", names_of(VOX2_SPEAKERS[:1]), ".wav")
    assert nothing_written(
        prepare_all,
        tree,
        tmp_path / "out",
        f"{VIDEO}/00001.wav",
        "there twice",
        "4 utterances again",
        "Remove",
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: codecs.BOM_UTF8 + text,
        lambda text: text.rstrip(),
    ],
    ids=["crlf", "cr", "bom", "no_last_line_feed"],
)
def test_a_list_is_known_however_its_lines_end(tree, tmp_path, monkeypatch, change):
    trials = publish(monkeypatch, tmp_path / "list", "VoxCeleb1-O")
    trials.write_bytes(change(trials.read_bytes()))
    prepared = prepare_all(tree, tmp_path / "out", trials=[trials])
    assert prepared.trials["VoxCeleb1-O-cleaned"].read_text() == REAL_LINES


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ("list.txt", "the trial list is empty", "Copy it again")),
        (
            f"{REAL_LINES}1 id10270/zzz/00001.wav id10270/zzz/00002.wav\n",
            (
                "list.txt, row 7",
                "not in the tree",
                "2 are missing, the first is id10270/zzz/00001.wav",
                "Unpack",
            ),
        ),
    ],
)
def test_lists_that_cannot_be_used(tree, tmp_path, content, parts):
    (tmp_path / "list.txt").write_text(content)
    options = {"trials": [tmp_path / "list.txt"], "accept_unknown": True}
    assert nothing_written(prepare_all, tree, tmp_path / "out", *parts, **options)


def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.voxceleb.preparation.scan", None)
    (tmp_path / "file").touch()
    found = f"found {tmp_path / 'file'} is a file"
    assert nothing_written(prepare_all, tree, tmp_path / "file" / "out", "nothing can be written here", found)
    monkeypatch.setattr(files.os, "access", lambda path, mode: path != tmp_path)
    assert nothing_written(
        prepare_all, tree, tmp_path / "out", f"{tmp_path} is read-only for you", "another folder"
    )
