"""Headers read at once say what libsndfile says of the same file."""

import numpy as np
import pytest
import soundfile

from cmd_speaker.audio import AudioInfo, probe
from cmd_speaker.errors import DataError
from cmd_speaker.headers import read_header


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"subtype": "PCM_16"}),
        ("b.wav", {"subtype": "PCM_24"}),
        ("c.wav", {"subtype": "FLOAT"}),
        ("d.wav", {"subtype": "ULAW"}),
        ("e.wav", {"format": "WAVEX"}),
        ("f.wav", {"format": "RF64"}),
        ("g.flac", {}),
        ("h.ogg", {}),
        ("i.opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_as_libsndfile_reads_it(tmp_path, name, options, channels):
    soundfile.write(tmp_path / name, np.zeros((12345, channels)), 16000, **options)
    expected = probe(tmp_path / name)
    assert read_header(tmp_path / name) == expected
    assert expected.channels == channels
    if options.get("subtype") != "OPUS":
        assert expected == AudioInfo(16000, channels, 12345)


def test_plain_files_are_opened_once(tmp_path, monkeypatch):
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, np.zeros(4000), 8000)
    monkeypatch.setattr(soundfile, "info", None)
    assert [read_header(tmp_path / name) for name in ("a.wav", "a.flac")] == [AudioInfo(8000, 1, 4000)] * 2


def test_chunks_before_the_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(4000), 16000)
    plain = (tmp_path / "a.wav").read_bytes()
    for length in (5, 6, 5000):
        # A chunk of odd length is followed by one more byte, which the length does not count.
        chunk = b"LIST" + length.to_bytes(4, "little") + bytes(length + length % 2)
        (tmp_path / "b.wav").write_bytes(plain[:12] + chunk + plain[12:])
        assert read_header(tmp_path / "b.wav") == AudioInfo(16000, 1, 4000)


def test_what_may_be_wrong_is_left_to_libsndfile(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(4000), 16000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[:-2000])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_bytes(b"RIFF is what it says")
    (tmp_path / "folder.wav").mkdir()
    for name, part in {
        "cut.wav": "2000 bytes missing",
        "empty.wav": "the file is empty",
        "text.wav": "not readable as audio",
        "folder.wav": "no such audio file",
        "none.wav": "no such audio file",
    }.items():
        with pytest.raises(DataError, match=part):
            read_header(tmp_path / name)
    # Written to a pipe: the lengths were never filled in.
    (tmp_path / "piped.wav").write_bytes(content[:40] + b"\xff\xff\xff\xff" + content[44:])
    assert read_header(tmp_path / "piped.wav") == probe(tmp_path / "piped.wav")
