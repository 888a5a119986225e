"""Kaldi's archives of vectors: the same as kaldiio writes and reads, and nothing in them is executed."""

import os
import pickle
from pathlib import Path

import kaldiio
import numpy as np
import pytest

from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.errors import DataError, DataErrors

IDS = ["id1/a", "id2/ü", "id3/c"]
VECTORS = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
COMMANDS = ["cat x.ark |", "| cat", "touch ran |", "gunzip -c x.ark.gz|"]


@pytest.fixture(params=[".scp", ".ark"])
def path(request, tmp_path):
    return tmp_path / f"embeddings{request.param}"


def table(folder, *entries):
    """An `.scp` with an entry for each of a, b, c, ..."""
    path = folder / "e.scp"
    path.write_text("".join(f"{name} {entry}\n" for name, entry in zip("abcdef", entries, strict=False)))
    return path


def rows_of(error):
    return [(failed.file, failed.row) for failed in error.value.errors]


# --- the same as kaldiio ---


def test_saved_embeddings_come_back(path):
    save_embeddings(path, Embeddings(IDS, VECTORS[::-1], model="0f3a"))
    loaded = load_embeddings(path)
    assert loaded.ids == IDS
    assert loaded.vectors.dtype == np.float32
    np.testing.assert_array_equal(loaded.vectors, VECTORS[::-1])
    assert loaded.path == path
    assert loaded.model is None
    names = {"embeddings.ark"} | {path.name}
    assert {file.name for file in path.parent.iterdir()} == names


def test_kaldiio_reads_what_is_written(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    save_embeddings(path.name, Embeddings(IDS, VECTORS))
    monkeypatch.chdir("/")
    read = kaldiio.load_scp_sequential(str(path)) if path.suffix == ".scp" else kaldiio.load_ark(str(path))
    found = dict(read)
    assert list(found) == IDS
    np.testing.assert_array_equal(np.stack(list(found.values())), VECTORS)
    if path.suffix == ".scp":
        np.testing.assert_array_equal(kaldiio.load_scp(str(path))["id2/ü"], VECTORS[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("text", [True, False])
def test_what_kaldiio_writes_is_read(tmp_path, monkeypatch, dtype, text):
    monkeypatch.chdir(tmp_path)
    vectors = dict(zip(IDS, VECTORS.astype(dtype), strict=True))
    kaldiio.save_ark("k.ark", vectors, scp="k.scp", text=text)
    for name in ("k.ark", "k.scp"):
        loaded = load_embeddings(name)
        assert loaded.ids == IDS
        np.testing.assert_allclose(loaded.vectors, VECTORS, rtol=1e-7 if text else 0)


def test_text_as_kaldi_prints_it(tmp_path):
    # Kaldi prints 1 for 1.0 and 1e-05 for 0.00001, so that the first number does not tell the type.
    (tmp_path / "t.ark").write_text("a  [ 1 -0.5 1e-05 ]\nb  [ 0 2 3.25 ]\n")
    loaded = load_embeddings(tmp_path / "t.ark")
    assert loaded.ids == ["a", "b"]
    np.testing.assert_array_equal(loaded.vectors, np.array([[1, -0.5, 1e-5], [0, 2, 3.25]], np.float32))


def test_vectors_of_several_archives_in_any_order(tmp_path, monkeypatch):
    for k in range(3):
        kaldiio.save_ark(str(tmp_path / f"{k}.ark"), {f"u{k}{i}": VECTORS[i] + k for i in range(3)})
    # Each record: "uKI " (4 bytes), "\0BFV \4" (6), size (4), 5 floats (20): vectors start at 4, 38 and 72.
    monkeypatch.chdir("/")
    path = table(tmp_path, "2.ark:72", "0.ark:4", f"{tmp_path}/2.ark:4", "1.ark:38", "0.ark:72")
    expected = [VECTORS[2] + 2, VECTORS[0], VECTORS[0] + 2, VECTORS[1] + 1, VECTORS[2]]
    np.testing.assert_array_equal(load_embeddings(path).vectors, expected)


def test_the_working_directory_comes_before_the_folder_of_the_scp(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    for folder, vector in ((tmp_path, VECTORS[0]), (tmp_path / "elsewhere", VECTORS[1])):
        kaldiio.save_ark(str(folder / "x.ark"), {"a": vector})
    path = table(tmp_path, "x.ark:2")
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(load_embeddings(path).vectors[0], VECTORS[1])
    (tmp_path / "elsewhere" / "x.ark").unlink()
    np.testing.assert_array_equal(load_embeddings(path).vectors[0], VECTORS[0])


def test_an_archive_of_one_vector_without_id_needs_no_offset(tmp_path):
    kaldiio.save_mat(str(tmp_path / "one.vec"), VECTORS[0])
    np.testing.assert_array_equal(
        load_embeddings(table(tmp_path, f"{tmp_path}/one.vec")).vectors, VECTORS[:1]
    )


def test_an_archive_is_opened_once(tmp_path, monkeypatch):
    save_embeddings(
        tmp_path / "e.scp", Embeddings([f"u{k}" for k in range(500)], np.ones((500, 4), np.float32))
    )
    opened = []
    original = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: opened.append(self.name) or original(self, *a, **k)
    )
    load_embeddings(tmp_path / "e.scp")
    assert opened.count("e.ark") == 1


@pytest.mark.parametrize("seed", range(10))
def test_random_embeddings_come_back(path, seed):
    rng = np.random.default_rng(seed)
    count, size = rng.integers(1, 30, 2)
    ids = [f"{rng.integers(1000)}é/{k}" for k in range(count)]
    vectors = (rng.standard_normal((count, size)) * 10.0 ** rng.integers(-40, 30)).astype(np.float32)
    save_embeddings(path, Embeddings(ids, vectors))
    loaded = load_embeddings(path)
    assert loaded.ids == ids
    np.testing.assert_array_equal(loaded.vectors, vectors)


# --- nothing is executed ---


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_never_run(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    save_embeddings("x.ark", Embeddings(IDS, VECTORS))
    path = table(tmp_path, "x.ark:6", command)
    with pytest.raises(DataErrors, match="a command, which is never run") as caught:
        load_embeddings(path)
    assert rows_of(caught) == [(path, 2)]
    assert not (tmp_path / "ran").exists()


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("suffix", [".ark", ".scp"])
def test_pickles_are_never_loaded(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.ark").write_bytes(b"a PKL" + pickle.dumps(Bomb()))
    table(tmp_path, "e.ark:2")
    with pytest.raises(DataErrors, match="not a vector"):
        load_embeddings(tmp_path / f"e{suffix}")
    assert not (tmp_path / "ran").exists()


# --- damaged and foreign files ---


def test_every_bad_row_is_named(tmp_path):
    ark = tmp_path / "x.ark"
    bad = VECTORS[0].copy()
    bad[2] = np.nan
    kaldiio.save_ark(str(ark), {"a": VECTORS[0], "n": bad, "m": VECTORS, "s": VECTORS[0, :3]})
    # Vectors of 5 start after "x ", 10 bytes of header and 20 of numbers each: at 2, 34; the matrix at 66.
    entries = [f"{ark}:2", f"{ark}:34", f"{ark}:66", f"{ark}:100000", f"{ark}:2[0:3]", "absent.ark:3"]
    path = table(tmp_path, *entries)
    with pytest.raises(DataErrors, match="5 of 6 embeddings cannot be read") as caught:
        load_embeddings(path)
    assert rows_of(caught) == [(path, row) for row in (2, 3, 4, 5, 6)]
    words = ["not finite", "not a vector .*FM", "end of the archive", "a range", "no such archive"]
    for error, word in zip(caught.value.errors, words, strict=True):
        with pytest.raises(DataError, match=word):
            raise error


def test_vectors_of_another_size_are_named(path):
    vectors = {"a": VECTORS[0], "b": VECTORS[0, :3], "c": VECTORS[1]}
    kaldiio.save_ark(str(path.with_suffix(".ark")), vectors, scp=str(path.with_suffix(".scp")))
    with pytest.raises(DataErrors, match="expected 5 numbers as in the first, found 3") as caught:
        load_embeddings(path)
    assert rows_of(caught) == [(path, 2)]


def test_a_float64_too_large_for_float32_is_not_finite(tmp_path):
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"a": np.array([1e300, 1.0])})
    with pytest.raises(DataErrors, match="not finite"):
        load_embeddings(tmp_path / "x.ark")


@pytest.mark.parametrize(
    ("keep", "row"), [(1, 1), (5, 1), (9, 1), (14, 1), (35, 1), (40, 2), (72, 2), (108, 3)]
)
def test_an_archive_cut_off_is_refused(path, keep, row):
    # Records of 36, 37 (the ü has two bytes) and 36 bytes.
    save_embeddings(path, Embeddings(IDS, VECTORS))
    ark = path.with_suffix(".ark")
    ark.write_bytes(ark.read_bytes()[:keep])
    with pytest.raises(DataErrors, match="cannot be read") as caught:
        load_embeddings(path)
    assert rows_of(caught) == [(path, k) for k in range(row, 4 if path.suffix == ".scp" else row + 1)]


@pytest.mark.parametrize(
    "content",
    [
        b"a \0BFM \4",
        b"a \0B\4\2\0\0\0\4\1\0\0\0",
        b"a NPYx",
        b"a RIFFxxxx",
        b"a [ 1 x ]\n",
        b"a  [\n 1 2\n 3 4 ]\n",
    ],
)
def test_what_is_not_a_vector_is_refused(path, content):
    path.with_suffix(".ark").write_bytes(content)
    path.with_suffix(".scp").write_text(f"a {path.with_suffix('.ark')}:2\n")
    with pytest.raises(DataErrors, match="not a vector"):
        load_embeddings(path)


@pytest.mark.parametrize("content", [b"\0\0\0\0", b"x" * 100, b"\xff\xfe 1", b" [ 1 ]\n"])
def test_another_kind_of_file_is_no_archive(tmp_path, content):
    (tmp_path / "x.ark").write_bytes(content)
    with pytest.raises(DataErrors, match=r"not a vector .*expected an id and a vector"):
        load_embeddings(tmp_path / "x.ark")


def test_an_empty_archive_is_refused(tmp_path):
    (tmp_path / "x.ark").write_bytes(b"")
    with pytest.raises(DataError, match="the archive is empty"):
        load_embeddings(tmp_path / "x.ark")
    with pytest.raises(DataErrors, match="end of the archive: it has 0 bytes"):
        load_embeddings(table(tmp_path, f"{tmp_path}/x.ark:2"))


def test_rows_of_the_table_itself(tmp_path):
    path = tmp_path / "e.scp"
    path.write_text("a x.ark:2\nb\na x.ark:2\n")
    with pytest.raises(DataErrors) as caught:
        load_embeddings(path)
    assert rows_of(caught) == [(path, 2), (path, 3)]


# --- writing ---


@pytest.mark.parametrize("ids", [["a", "b c", "d"], ["a", "b", "a"]])
def test_ids_that_could_not_be_read_again_are_not_written(path, ids):
    with pytest.raises(DataError, match=r"'b c'|duplicate id 'a'"):
        save_embeddings(path, Embeddings(ids, VECTORS))
    assert not list(path.parent.iterdir())


def test_a_failed_write_leaves_the_old_files(tmp_path, monkeypatch):
    path = tmp_path / "e.scp"
    save_embeddings(path, Embeddings(IDS, VECTORS))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_, **__):
        raise OSError("no space")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DataError, match="no space"):
        save_embeddings(path, Embeddings(IDS, VECTORS * 2))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_no_scp_leads_into_a_wrong_archive_at_any_time(tmp_path, monkeypatch):
    path = tmp_path / "e.scp"
    save_embeddings(path, Embeddings(IDS, VECTORS))
    states = []
    replace = os.replace

    def watched(source, target):
        replace(source, target)
        states.append({file.name for file in tmp_path.iterdir() if not file.name.startswith(".")})

    monkeypatch.setattr(os, "replace", watched)
    save_embeddings(path, Embeddings(IDS[::-1], VECTORS * 2))
    assert states == [{"e.ark"}, {"e.ark", "e.scp"}]  # the old table is gone before the new archive is there
