"""Packing a manifest: what is in the shards, and what happens to what cannot be packed."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cmd_speaker.audio import read_audio
from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically
from cmd_speaker.shards import packing
from cmd_speaker.shards.index import COLUMNS, load_index, sample_name
from cmd_speaker.shards.packing import pack
from tests.refusals import refused
from tests.shards import RATE, content, manifest_of, noise, samples_of, write_corpus

IDS = [
    "plain-1", "id10270/x6uYqmx31kE/00001.wav", "a.b", "a_b", "a/b", "Jürgen Müller", "李/小龙", "x" * 300,
    "x" * 301, "..", "train-9",
]  # fmt: skip


@pytest.fixture
def corpus(tmp_path):
    """IDs of all kinds; 0.5 s each, 16,044 bytes as wav."""
    return manifest_of(tmp_path, write_corpus(tmp_path, IDS))


def test_a_sample_is_the_file_as_it_is_and_a_json(corpus, tmp_path):
    packed = pack(corpus, tmp_path / "out", shard_size=0.05)
    assert not packed.left_out
    found = samples_of(tmp_path / "out")
    assert [told["ID"] for _, _, told in found] == IDS
    for utterance, (name, audio, told) in zip(corpus, found, strict=True):
        assert audio == utterance.wav.read_bytes()
        assert name == f"{sample_name(utterance.id)}{utterance.wav.suffix}"
        assert told == {
            "ID": utterance.id, "spk_id": utterance.spk_id, "duration": 0.5, "session": utterance.fields["session"]
        }  # fmt: skip
    assert len(packed.index.shards) > 2
    assert packed.index.shards == [f"train-{number:06}.tar" for number in range(len(packed.index.shards))]
    assert packed.index.sizes == [(tmp_path / "out" / name).stat().st_size for name in packed.index.shards]
    # 0.05 MB; the end of a tar fills up to 10,240 bytes.
    assert max(packed.index.sizes) <= 50_000 + 10_240


def test_names_are_keys_of_webdataset():
    names = [sample_name(each) for each in IDS]
    assert len(set(names)) == len(names)
    assert all(name and "." not in name and "/" not in name and name.isascii() for name in names)
    assert max(map(len, names)) == 60 + 1 + 16
    assert (names[0], names[-1]) == ("plain-1", "train-9")
    # printf id10270/x6uYqmx31kE/00001.wav | sha256sum
    assert names[1] == "id10270_x6uYqmx31kE_00001_wav-82d7ad385a74e289"


def test_the_index_says_where_the_bytes_are(corpus, tmp_path):
    pack(corpus, tmp_path / "out", shard_size=0.05)
    index = load_index(tmp_path / "out")
    assert (list(index.each_id()), index.complete) == (IDS, True)
    for utterance, line in zip(corpus, index.table.tolist(), strict=True):
        told = dict(zip(COLUMNS, line, strict=True))
        with (tmp_path / "out" / index.shards[told["shard"]]).open("rb") as file:
            file.seek(told["offset"])
            assert file.read(told["size"]) == utterance.wav.read_bytes()
        assert (told["start"], told["samples"]) == (0, RATE // 2)
    assert index.column("row").tolist() == list(range(len(IDS)))


def test_the_same_input_gives_the_same_bytes(corpus, tmp_path):
    pack(corpus, tmp_path / "a", shard_size=0.05)
    for utterance in corpus:
        utterance.wav.touch()
    pack(corpus, tmp_path / "b", shard_size=0.05)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    with tarfile.open(tmp_path / "a" / "train-000000.tar") as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar} == {(0, 0, 0, "", "", 0o644)}


SOURCES = {"wav": "PCM_16", "flac": "PCM_24", "ogg": "VORBIS"}


@pytest.mark.parametrize("suffix", SOURCES)
def test_segments_of_a_file_become_wavs_with_the_same_samples(tmp_path, suffix):
    (tmp_path / "audio").mkdir()
    long = tmp_path / "audio" / f"long.{suffix}"
    soundfile.write(long, noise(4.0, 0), RATE, SOURCES[suffix])
    spans = [(0, 16000), (16000, 40000), (16000, "")]
    rows = [
        (f"u{k}", ((stop or 64000) - start) / RATE, f"$data_root/audio/long.{suffix}", start, stop, "s", "")
        for k, (start, stop) in enumerate(spans)
    ]
    rows.append(("whole", 4.0, f"$data_root/audio/long.{suffix}", 0, 64000, "s", ""))
    pack(manifest_of(tmp_path, rows), tmp_path / "out")
    found = samples_of(tmp_path / "out")
    assert [name for name, _, _ in found] == ["u0.wav", "u1.wav", "u2.wav", f"whole.{suffix}"]
    assert found[3][1] == long.read_bytes()
    for (_, audio, _), (start, stop) in zip(found, spans, strict=False):
        (tmp_path / "segment.wav").write_bytes(audio)
        expected = read_audio(long, start=start, stop=stop or None)
        np.testing.assert_array_equal(read_audio(tmp_path / "segment.wav"), expected)
        assert soundfile.info(tmp_path / "segment.wav").subtype == ("PCM_16" if suffix == "wav" else "FLOAT")


def damage(corpus):
    """Five rows of eleven that cannot be packed: missing, empty, no audio, cut off, of another length."""
    missing, empty, nonsense, cut, other = (corpus.utterances[k].wav for k in (0, 4, 5, 6, 7))
    missing.unlink()
    empty.write_bytes(b"")
    nonsense.write_bytes(b"nonsense" * 1000)
    cut.write_bytes(cut.read_bytes()[:-100])
    soundfile.write(other, noise(0.6, 0), RATE)


def test_everything_that_cannot_be_packed_is_listed_with_its_row(corpus, tmp_path):
    damage(corpus)
    packed = pack(corpus, tmp_path / "out", shard_size=0.05)
    assert [told["ID"] for _, _, told in samples_of(tmp_path / "out")] == [
        IDS[k] for k in (1, 2, 3, 8, 9, 10)
    ]
    assert [error.row for error in packed.left_out] == [2, 6, 7, 8, 9]
    listed = (tmp_path / "out" / "left_out.txt").read_text().splitlines()
    reasons = ("no such audio file", "empty (0 bytes)", "not readable", "truncated", "stated length")
    for line, row, reason in zip(listed, (2, 6, 7, 8, 9), reasons, strict=True):
        assert f"train.csv, row {row}: " in line
        assert reason in line


def test_what_was_left_out_is_looked_at_again(corpus, tmp_path):
    pack(corpus, tmp_path / "unbroken", shard_size=0.05)
    good = [utterance.wav.read_bytes() for utterance in corpus]
    damage(corpus)
    out = tmp_path / "out"
    pack(corpus, out, shard_size=0.05)
    before = content(out)
    assert [error.row for error in pack(corpus, out, shard_size=0.05).left_out] == [2, 6, 7, 8, 9]
    assert content(out) == before
    for k in (5, 6, 7):
        corpus.utterances[k].wav.write_bytes(good[k])
    assert [error.row for error in pack(corpus, out, shard_size=0.05).left_out] == [2, 6]
    for utterance, audio in zip(corpus, good, strict=True):
        utterance.wav.write_bytes(audio)
    assert not pack(corpus, out, shard_size=0.05).left_out
    assert content(out) == content(tmp_path / "unbroken")


@pytest.mark.parametrize("last", [10, 2])
def test_a_bad_row_at_the_end_of_a_shard_belongs_to_it(corpus, tmp_path, last):
    """Found to be good later, it goes where it would have gone; the shards before it are not touched."""
    pack(corpus, tmp_path / "unbroken", shard_size=0.05)
    wav, out = corpus.utterances[last].wav, tmp_path / "out"
    good = wav.read_bytes()
    wav.unlink()
    packed = pack(corpus, out, shard_size=0.05)
    assert packed.index.complete
    first = (out / "train-000000.tar").stat().st_mtime_ns
    wav.write_bytes(good)
    assert not pack(corpus, out, shard_size=0.05).left_out
    assert content(out) == content(tmp_path / "unbroken")
    assert ((out / "train-000000.tar").stat().st_mtime_ns == first) == (last == 10)


def test_what_only_decoding_shows_is_found_where_it_is_asked_for(corpus, tmp_path):
    soundfile.write(corpus.utterances[0].wav, np.zeros(RATE // 2), RATE)
    flac = corpus.utterances[1].wav
    flac.write_bytes(flac.read_bytes()[:-5000])
    assert not pack(corpus, tmp_path / "headers").left_out
    left_out = pack(corpus, tmp_path / "full", full=True).left_out
    assert [error.row for error in left_out] == [2, 3]
    assert "silent" in str(left_out[0])
    assert "decoding failed" in str(left_out[1])


def test_nothing_that_can_be_packed(corpus, tmp_path):
    for utterance in corpus:
        utterance.wav.unlink()
    message = refused(lambda: pack(corpus, tmp_path / "out"), "none of 11 utterances can be packed", "row 12")
    assert "no such audio file" in str(message)


def test_an_interrupted_packing_goes_on(corpus, tmp_path, monkeypatch):
    pack(corpus, tmp_path / "unbroken", shard_size=0.05)
    out, written = tmp_path / "out", []

    def break_off(path):
        if Path(path).suffix == ".tar":
            written.append(Path(path).name)
            if len(written) == 3:
                raise DataError("no space left")
        return write_atomically(path)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "write_atomically", break_off)
        assert refused(lambda: pack(corpus, out, shard_size=0.05), "no space left")
    finished = {path.name: path.stat() for path in out.glob("*.tar")}
    assert set(finished) == {"train-000000.tar", "train-000001.tar"}
    assert not load_index(out).complete
    for name in (".train-000002.tar.4711.tmp", ".index.npz.4711.tmp", ".left_out.txt.4711.tmp"):
        (out / name).write_bytes(b"of a process that was killed")
    pack(corpus, out, shard_size=0.05)
    assert content(out) == content(tmp_path / "unbroken")
    for name, before in finished.items():
        assert (out / name).stat().st_mtime_ns == before.st_mtime_ns, "a finished shard is not written again"
    (out / "train-000001.tar").write_bytes(b"cut")
    pack(corpus, out, shard_size=0.05)
    assert content(out) == content(tmp_path / "unbroken")
    assert (out / "train-000000.tar").stat().st_mtime_ns == finished["train-000000.tar"].st_mtime_ns


def test_a_folder_of_another_packing_is_refused(corpus, tmp_path):
    pack(corpus, tmp_path / "out")
    before = content(tmp_path / "out")
    other = manifest_of(tmp_path, write_corpus(tmp_path, IDS[:5]), "other.csv")
    assert refused(
        lambda: pack(other, tmp_path / "out"), "another packing", "expected 5 rows", "found 11 rows"
    )
    assert refused(
        lambda: pack(corpus, tmp_path / "out", shard_size=2), "expected 11 rows", "2,000,000 bytes"
    )
    assert refused(lambda: pack(corpus, tmp_path / "out", shard_size=0), "shard size 0")
    # What is there was not decoded, and must not pass for it.
    assert refused(lambda: pack(corpus, tmp_path / "out", full=True), "another packing", "decoded", "headers")
    (tmp_path / "out" / "index.npz").write_bytes(b"nonsense")
    assert refused(lambda: pack(corpus, tmp_path / "out"), "index.npz", "not an index of shards")
    assert content(tmp_path / "out") == before | {"index.npz": b"nonsense"}
