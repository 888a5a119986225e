"""Trial lists over VoxCeleb: real lines on a small tree and, where they are there, the real lists."""

import gzip
import hashlib

import pytest

from cmd_speaker.corpora import recognise_list
from cmd_speaker.errors import UsageError
from cmd_speaker.manifest import load_manifest
from data_prep.voxceleb import prepare
from data_prep.voxceleb.trials import read_trial_list
from tests.refusals import refused
from tests.voxceleb import (
    REAL_LINES,
    VOX1_SPEAKERS,
    names_of,
    publish,
    write_audio,
    write_files,
    write_tree,
)

ALL_OF_VOX1 = "0 id10001/1zcIwhmdeo4/00001.wav id10270/x6uYqmx31kE/00001.wav\n"


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


def test_all_of_voxceleb1_may_be_tested_after_training_on_voxceleb2(tree, tmp_path, monkeypatch):
    trials = publish(monkeypatch, tmp_path / "list", "VoxCeleb1-E", ALL_OF_VOX1)
    prepared = prepare(tree, tmp_path / "out", "vox2", trials=[trials], valid_speakers=2)
    assert [u.id for u in load_manifest(prepared.test, tree)] == ALL_OF_VOX1.split()[1:]


@pytest.mark.parametrize("train", ["vox1", "both"])
@pytest.mark.parametrize("name", ["VoxCeleb1-E", "VoxCeleb1-H"])
def test_lists_over_training_speakers_are_refused(tree, tmp_path, monkeypatch, train, name):
    trials = publish(monkeypatch, tmp_path / "list", name, ALL_OF_VOX1)
    error = refused(
        lambda: prepare(tree, tmp_path / "out", train, trials=[trials], valid_speakers=2),
        f"{trials}: {name} (cleaned, 6 trials) tests on 2 speakers, and 1 of them are trained on (VoxCeleb1 dev",
        "the first is id10001",
        "train on vox2",
    )
    assert isinstance(error, UsageError)
    assert not (tmp_path / "out").exists()


def test_an_unknown_list_needs_a_word(tree, tmp_path):
    path = tmp_path / "veri.txt"
    path.write_text("\n".join(REAL_LINES.splitlines()[1:]) + "\n")
    found = f"found 5 lines, MD5 {hashlib.md5(path.read_bytes()).hexdigest()}"
    assert refused(
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
    assert refused(
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


def test_line_ends_and_packing_do_not_make_another_list(tmp_path, monkeypatch):
    publish(monkeypatch, tmp_path / "list", "VoxCeleb1-O")
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


def test_missing_and_bad_utterances_of_a_list(tree, tmp_path, monkeypatch):
    trials = publish(monkeypatch, tmp_path / "list", "VoxCeleb1-O")
    wav = tree / "vox1_test_wav" / "wav"
    for name in ("id10273/0OCW1HUxZyg/00001.wav", "id10284/Uzxv7Axh3Z8/00001.wav"):
        (wav / name).unlink()
    call = lambda: prepare(tree, tmp_path / "out", "vox1", trials=[trials], valid_speakers=2)  # noqa: E731
    assert refused(
        call, f"{trials}, row 4: utterances of the list are not in the tree", "expected 7 utterances",
        "2 are missing, the first is id10273/0OCW1HUxZyg/00001.wav", "vox1_test_wav",
    )  # fmt: skip
    write_audio(wav / "id10273" / "0OCW1HUxZyg" / "00001.wav", rate=8000)
    assert refused(call, "1 utterances of the list cannot be used", f"{trials}, row 4", "found 8000 Hz")
    assert not (tmp_path / "out").exists()


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
    assert refused(
        lambda: read_trial_list(tmp_path / "cut.txt"),
        "truncated or altered",
        "37,611 lines",
        "found 30,000 lines",
    )
