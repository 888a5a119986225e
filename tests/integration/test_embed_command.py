"""`cmd-speaker embed`: what it says of shares, speed and what was left out."""

import pytest

import cmd_speaker.extraction
from tests.models import small_model, write_noise


@pytest.fixture
def call(tmp_path, monkeypatch):
    """The command on five files, three parts."""
    monkeypatch.setattr(cmd_speaker.extraction, "PART", 2)
    for number in range(5):
        write_noise(tmp_path / "audio" / f"{number}.wav", 0.5, number)
    small_model().save(tmp_path / "model")
    return ["embed", tmp_path / "model", tmp_path / "audio", "--out", tmp_path / "e.npz"]


def test_the_speed_is_shown(cli, call):
    code, _, err = cli(*call)
    assert code == 0
    assert "e.npz: 5 embeddings of 5 utterances, " in err
    assert "files/s, " in err
    assert "x real time" in err


def test_shares_say_what_is_missing(cli, call):
    assert "share 1/4 is done" in (err := cli(*call, "--shard", "1/4")[2])
    assert "parts still to be done: 2" in err
    assert "share 4/4 has nothing to do" in cli(*call, "--shard", "4/4")[2]
    assert "parts still to be done: 1" in cli(*call, "--shard", "3/4")[2]
    assert "5 embeddings of 5 utterances" in cli(*call, "--shard", "2/4")[2]


def test_the_share_of_a_process_of_torchrun(cli, call, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "share 2/2 is done" in cli(*call)[2]
    monkeypatch.setenv("LOCAL_RANK", "7")
    code, _, err = cli(*call, "--device", "cuda")
    assert (code, "cuda:7" in err) == (2, True)


def test_what_was_left_out_can_be_mended(cli, call, tmp_path):
    (tmp_path / "audio" / "3.wav").write_bytes(b"")
    code, _, err = cli(*call)
    assert code == 3
    assert "1 utterances left out" in err
    assert "once files are mended, call again" in err
    assert "3.wav: the file is empty" in err
    write_noise(tmp_path / "audio" / "3.wav", 0.5)
    code, _, err = cli(*call)
    assert (code, "5 embeddings of 5" in err) == (0, True)


def test_wrong_calls_begin_nothing(cli, call, tmp_path):
    for wrong in (["--shard", "3/2"], ["--shard", ""], ["--hop", "1"], ["--window", "0"]):
        assert cli(*call, *wrong)[0] == 2
    assert not (tmp_path / "e.npz.parts").exists()
