"""What can be embedded: folders, patterns, files and lists."""

import os
import shutil

import pytest

from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.inputs import find_inputs
from tests.models import noise, write_noise
from tests.refusals import refused


@pytest.fixture
def corpus(tmp_path):
    for name in ("b/2.wav", "a/1.wav", "a b/ü: x.WAV"):
        write_noise(tmp_path / "corpus" / name, 0.2)
    return tmp_path / "corpus"


def ids(*inputs):
    return [each.id for each in find_inputs([str(each) for each in inputs]).utterances]


def test_a_folder_with_links(corpus, tmp_path):
    """To another disk, to nowhere, and back up."""
    shutil.move(corpus / "b", tmp_path / "disk")
    (corpus / "b").symlink_to(tmp_path / "disk")
    (corpus / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (corpus / "up").symlink_to(corpus)
    assert ids(corpus) == ["a/1.wav", "a b/ü: x.WAV", "b/2.wav", "gone.wav"]


def test_a_folder_that_may_not_be_read(corpus, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(PermissionError):
        ids(corpus)


def test_an_id_twice(corpus):
    said = refused(lambda: ids(corpus / "*" / "*.wav", corpus / "a" / "1.wav"), "occurs twice", "2 times")
    assert "a/1.wav" in str(said)


def test_a_name_that_is_not_unicode(corpus, tmp_path):
    """Any bytes are a name of a file on Linux."""
    shutil.copy(corpus / "a" / "1.wav", os.fsencode(corpus) + b"/a/\xff.wav")
    (name,) = [each for each in ids(corpus) if each.startswith("a/") and each != "a/1.wav"]
    found = Embeddings([name], noise(1)[:24][None])
    for kind in (".npz", ".safetensors"):
        save_embeddings(tmp_path / f"e{kind}", found)
        assert load_embeddings(tmp_path / f"e{kind}").ids == [name]
    with pytest.raises(DataError, match="cannot be written"):
        save_embeddings(tmp_path / "e.ark", found)
