"""Odd trees of anybody's own recordings and of CN-Celeb: links, other systems' files, lists from Windows."""

import shutil

import pytest

from cmd_speaker.corpora import check_data
from data_prep.cnceleb import LEFT_OUT
from tests import cnceleb, folders
from tests.folders import BY_HASH, build_tree, touch
from tests.refusals import nothing_written


@pytest.fixture
def own(tmp_path):
    return build_tree(tmp_path / "own")


@pytest.fixture
def corpus(tmp_path):
    return cnceleb.build_corpus(tmp_path / "corpus")


def test_links_that_lead_round_change_nothing(own, tmp_path):
    before = folders.prepare_small(own, tmp_path / "before").train.read_bytes()
    for place in ("audio/loop", "audio/ada/loop", "audio/ada/s1/loop"):
        (own / place).symlink_to(own / "audio")
    assert folders.prepare_small(own, tmp_path / "after").train.read_bytes() == before


def test_links_to_other_disks_are_followed_and_those_to_nowhere_named(own, tmp_path):
    shutil.move(own / "audio" / BY_HASH[4], tmp_path / "elsewhere")
    (own / "audio" / BY_HASH[4]).symlink_to(tmp_path / "elsewhere")
    (own / "audio" / "zoe").symlink_to(tmp_path / "not_mounted")
    prepared = folders.prepare_small(own, tmp_path / "out")
    assert prepared.counts["train_utterances"] == 16
    (mistake,) = prepared.mistakes
    assert str(mistake).startswith(f"{own / 'audio' / 'zoe'}: a link that leads nowhere")
    assert "Mount the disk" in (tmp_path / "out" / "mistakes.txt").read_text()
    assert [row.what for row in check_data("folder", own).problems] == ["links"]


def test_an_output_that_cannot_be_written(own, corpus, tmp_path):
    (tmp_path / "file").touch()
    for prepare, root in ((folders.prepare_small, own), (cnceleb.prepare_small, corpus)):
        assert nothing_written(
            prepare, root, tmp_path / "file" / "out", "nothing can be written", "is a file"
        )
    (corpus / "CN-Celeb_joined").touch()
    error = nothing_written(cnceleb.prepare_small, corpus, tmp_path / "out", "is a file", min_seconds=1)
    assert "another joined_folder, or min_seconds 0" in str(error)


def test_cnceleb_with_lists_from_windows_and_files_of_macos(corpus, tmp_path):
    before = cnceleb.prepare_small(corpus, tmp_path / "before")
    for path in (*corpus.rglob("*.lst"), *corpus.rglob("*.map")):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    data = corpus / cnceleb.FIRST / "data"
    touch(data / "id00000" / "._speech-01-001.flac")
    touch(data / ".DS_Store")
    after = cnceleb.prepare_small(corpus, tmp_path / "after")
    for name in ("train", "valid", "valid_trials", "test", "enrolment_map"):
        assert getattr(after, name).read_bytes() == getattr(before, name).read_bytes()


def test_cnceleb_converted_to_wav_beside_the_flac_files(corpus, tmp_path):
    """As other toolkits leave it: the lists lie in CN-Celeb_flac still."""
    before = cnceleb.prepare_small(corpus, tmp_path / "before").train.read_bytes()
    shutil.copytree(corpus / cnceleb.FIRST, corpus / "CN-Celeb_wav")
    assert cnceleb.prepare_small(corpus, tmp_path / "after").train.read_bytes() == before
    shutil.rmtree(corpus / cnceleb.FIRST)
    said = ("not CN-Celeb", "CN-Celeb_wav/", "or a link of this name")
    assert nothing_written(cnceleb.prepare_small, corpus, tmp_path / "out", *said)
    (corpus / cnceleb.FIRST).symlink_to(corpus / "CN-Celeb_wav")
    assert cnceleb.prepare_small(corpus, tmp_path / "linked").train.read_bytes() == before


def test_cnceleb_with_broken_files_and_a_speaker_on_a_disk_that_is_not_mounted(corpus, tmp_path):
    data = corpus / cnceleb.FIRST / "data"
    (data / "id00000" / "speech-01-001.flac").write_bytes(b"")
    shutil.rmtree(data / "id00001")
    (data / "id00001").symlink_to(tmp_path / "not_mounted")
    prepared = cnceleb.prepare_small(corpus, tmp_path / "out")
    assert prepared.counts["listed_speakers_without_recordings"] == 1
    assert "speech-01-001.flac: the file is empty" in (tmp_path / "out" / LEFT_OUT).read_text()
