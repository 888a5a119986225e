"""The bank: which inputs a manifest has, at which level, and which utterance takes which row."""

import json

import numpy as np
import pytest
from PIL import Image

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import file_checksum
from cmd_speaker.manifest import load_manifest, write_manifest
from cmd_speaker.teachers.bank import Bank, BankRow, build_bank, load_bank, text_inputs
from cmd_speaker.teachers.pictures import face_inputs
from tests.teachers import TEXTS, small, write_faces, write_texts


@pytest.fixture
def manifest(tmp_path):
    return write_texts(tmp_path / "train.csv", TEXTS)


@pytest.fixture
def faces(tmp_path):
    """A folder of pictures: two in a/x, one in a/y, one alone, and files that are none."""
    for place, name in enumerate(("a/x/2.png", "a/x/10.JPG", "a/y/1.png", "b.png", "c.jpeg")):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (40 * place, 0, 0)).save(path)
    (tmp_path / "faces" / "a" / "x" / "notes.txt").write_text("no picture")
    (tmp_path / "faces" / "empty").mkdir()
    return tmp_path / "faces"


class Norms:
    """A teacher whose embedding of a file is [its number of bytes, 0]."""

    def embed(self, contents):
        return np.array([[len(open(each, "rb").read()), 0] for each in contents], dtype=np.float32)

    def identity(self):
        return "weights"

    def source(self):
        return "Norms"


@pytest.fixture
def bank_folder(manifest, tmp_path):
    teacher = small()
    teacher.fit(list(TEXTS.values()))
    build_bank(tmp_path / "bank", text_inputs(manifest), teacher, "cmd-speaker train X --rebuild_bank True")
    return tmp_path / "bank"


def test_bank_round_trip(manifest, tmp_path):
    teacher = small()
    teacher.fit(list(TEXTS.values()))
    built = build_bank(tmp_path / "bank", text_inputs(manifest), teacher, "cmd-speaker train X")
    read = load_bank(tmp_path / "bank", text_inputs(manifest), small().source())
    assert np.array_equal(built.embeddings, read.embeddings)
    assert np.array_equal(read.embeddings, teacher.embed(list(TEXTS.values())))
    assert built.rows == read.rows
    assert [row.identity for row in read.rows] == list(TEXTS)
    assert read.distinct_inputs == 3
    assert json.loads((tmp_path / "bank" / "bank.json").read_text())["teacher"] == "SmallTextTeacher"


def test_a_stale_bank_is_refused_with_the_command_that_rebuilds_it(bank_folder, tmp_path):
    changed = write_texts(tmp_path / "other.csv", TEXTS | {"s2": "A boy, a child, 10 years old."})
    with pytest.raises(DataError, match=r"other teacher inputs.*cmd-speaker train X --rebuild_bank True"):
        load_bank(bank_folder, text_inputs(changed), small().source())


@pytest.mark.parametrize("name", ["bank.json", "index.csv", "embeddings.safetensors"])
def test_a_damaged_bank_is_refused(manifest, bank_folder, name):
    path = bank_folder / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="damaged"):
        load_bank(bank_folder, text_inputs(manifest), small().source())


def test_a_bank_of_pictures(faces, tmp_path):
    manifest = write_faces(
        tmp_path / "m.csv", [("u1", "a", "x", f"{faces}/a/x"), ("u2", "b", "x", f"{faces}/b.png")]
    )
    built = build_bank(tmp_path / "bank", face_inputs(manifest), Norms(), "")
    read = load_bank(tmp_path / "bank", face_inputs(manifest), "Norms")
    assert read.rows == built.rows
    sizes = [(faces / name).stat().st_size for name in ("a/x/10.JPG", "a/x/2.png", "b.png")]
    assert read.embeddings[:, 0].tolist() == read.quality["norm"].tolist() == sizes
    with pytest.raises(DataError, match="made by another teacher"):
        load_bank(tmp_path / "bank", face_inputs(manifest), "another")
    # The corpus may move, but not change.
    faces.rename(tmp_path / "moved")
    moved = write_faces(
        tmp_path / "m.csv",
        [("u1", "a", "x", "$data_root/a/x"), ("u2", "b", "x", "$data_root/b.png")],
        tmp_path / "moved",
    )
    load_bank(tmp_path / "bank", face_inputs(moved, tmp_path / "moved"), "Norms")
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "moved" / "b.png")
    with pytest.raises(DataError, match="other teacher inputs"):
        load_bank(tmp_path / "bank", face_inputs(moved, tmp_path / "moved"), "Norms")


def test_the_most_specific_row_is_taken(tmp_path):
    write_manifest(
        tmp_path / "m.csv", ("session",),
        [("u1", 1, "a", "", "", "s1", "x"), ("u2", 1, "a", "", "", "s1", "x"),
         ("u3", 1, "a", "", "", "s1", "y"), ("u4", 1, "a", "", "", "s2", "x")],
    )  # fmt: skip
    keys = [("identity", "s1"), ("session", "s1/x"), ("utterance", "u1")]
    match = bank_of(keys).match(load_manifest(tmp_path / "m.csv"))
    assert [match.candidates(k).tolist() for k in range(4)] == [[2], [1], [0], []]
    assert match.levels == ["utterance", "session", "identity", "none"]
    assert match.coverage() == "1 by utterance, 1 by session, 1 by identity, 1 by none"


def bank_of(keys):
    rows = [BankRow(level, key, "s1", "", "", {"norm": 1.0}) for level, key in keys]
    return Bank(np.zeros((len(keys), 2), np.float32), rows)


def test_several_rows_of_a_key_are_dealt_in_turn(tmp_path):
    manifest = write_faces(
        tmp_path / "m.csv",
        [("u1", "s1", "x", ""), ("v1", "s1", "y", ""), ("u2", "s1", "x", ""), ("u3", "s1", "x", ""),
         ("v2", "s1", "y", ""), ("w", "s2", "x", "")],
    )  # fmt: skip
    keys = [("session", "s1/x"), ("session", "s1/y"), ("session", "s1/x"), ("identity", "s1")]
    match = bank_of(keys).match(manifest)
    assert [match.dealt(k) for k in range(6)] == [0, 1, 2, 0, 1, -1]


def test_levels_of_pictures(faces, tmp_path):
    """Named by one utterance, by one session, by one speaker, by nobody."""
    manifest = write_faces(
        tmp_path / "m.csv",
        [("u1", "a", "x", "$data_root/a/x"), ("u2", "a", "x", "$data_root/a/x/"),
         ("u3", "a", "y", "$data_root/a/y"), ("u4", "b", "x", f"{faces}/b.png"),
         ("u5", "b", "y", f"{faces}/b.png"),
         ("u6", "b", "y", ""), ("u7", "c", "", f"{faces}/c.jpeg"), ("u8", "c", "", f"{faces}/c.jpeg")],
        faces,
    )  # fmt: skip
    inputs = face_inputs(manifest, faces)
    assert [(each.level, each.key, each.identity, each.session) for each in inputs] == [
        ("session", "a/x", "a", "x"), ("session", "a/x", "a", "x"), ("utterance", "u3", "a", "y"),
        ("identity", "b", "b", ""), ("identity", "c", "c", ""),
    ]  # fmt: skip
    names = ("a/x/10.JPG", "a/x/2.png", "a/y/1.png", "b.png", "c.jpeg")
    assert [each.content for each in inputs] == [str(faces / name) for name in names]
    assert [each.checksum for each in inputs] == [file_checksum(faces / name) for name in names]
    bank = bank_of([(each.level, each.key) for each in inputs])
    match = bank.match(manifest)
    assert [match.dealt(k) for k in range(8)] == [0, 1, 2, 3, 3, 3, 4, 4]
    assert match.coverage() == "1 by utterance, 2 by session, 5 by identity"


def test_pictures_below_a_folder_without_any_are_found(faces, tmp_path):
    """As VoxCeleb's crops lie: a folder a session, in it one an utterance."""

    def found(place):
        return [i.content for i in face_inputs(write_faces(tmp_path / "m.csv", [("u", "a", "", f"{place}")]))]

    below = [str(faces / name) for name in ("a/x/10.JPG", "a/x/2.png", "a/y/1.png")]
    assert found(faces / "a") == below
    (faces / "a" / "own.png").write_bytes((faces / "a" / "x" / "2.png").read_bytes())
    assert found(faces / "a") == [str(faces / "a" / "own.png")]


def test_a_face_of_two_speakers_is_refused(faces, tmp_path):
    rows = [("u1", "a", "x", f"{faces}/b.png"), ("u2", "a", "x", ""), ("u3", "b", "x", f"{faces}/b.png")]
    with pytest.raises(
        DataError, match=r"m\.csv, row 4:.*two speakers.*'a' only, as in row 2.*found speaker 'b'"
    ):
        face_inputs(write_faces(tmp_path / "m.csv", rows))


def test_every_bad_face_is_named_with_its_row(faces, tmp_path):
    (faces / "a" / "x" / "sound.wav").touch()
    bad = ("missing.png", "missing", "empty", "a/x/sound.wav")
    rows = [(f"u{k}", f"s{k}", "", f"$data_root/{name}") for k, name in enumerate(bad)]
    manifest = write_faces(tmp_path / "m.csv", [("good", "s", "", f"{faces}/b.png"), *rows], faces)
    with pytest.raises(DataErrors) as caught:
        face_inputs(manifest, faces)
    message = str(caught.value)
    assert "4 of 5 faces cannot be used" in message
    for row, (name, found) in enumerate(
        zip(bad, ("no such picture", "no such picture", "a folder without pictures", "another kind of file"),
            strict=True), start=3,
    ):  # fmt: skip
        line = next(line for line in message.splitlines() if f"row {row}:" in line)
        assert f"{faces / name}" in line
        assert f"found {found}" in line
        assert "Correct the column 'face'" in line


def test_an_unreadable_folder_is_named(faces, tmp_path, monkeypatch):
    manifest = write_faces(tmp_path / "m.csv", [("u", "s", "", f"{faces}/b.png")])

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("cmd_speaker.teachers.pictures.file_checksum", refuse)
    with pytest.raises(DataErrors, match=r"row 2: .*b\.png: the face cannot be read.*Permission denied"):
        face_inputs(manifest)


def test_no_face_at_all(tmp_path):
    with pytest.raises(DataError, match="no utterance has a face"):
        face_inputs(write_faces(tmp_path / "m.csv", [("u", "s", "", "")]))
    write_manifest(tmp_path / "n.csv", (), [("u1", 1, "a", "", "", "s1")])
    with pytest.raises(DataError, match="no column 'face'"):
        face_inputs(load_manifest(tmp_path / "n.csv"))
    with pytest.raises(DataError, match=r"row 2: the manifest's paths begin with \$data_root"):
        face_inputs(write_faces(tmp_path / "m.csv", [("u", "s", "", "$data_root/f")]))


def test_one_speaker_with_two_texts_is_refused(tmp_path):
    path = tmp_path / "train.csv"
    write_texts(path, TEXTS)
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("9 years", "10 years")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"row 3: speaker 's1' has two texts"):
        text_inputs(load_manifest(path))


def test_no_text_column(tmp_path):
    write_manifest(tmp_path / "m.csv", (), [("u1", 1, "a", "", "", "s1")])
    with pytest.raises(DataError, match="no column 'text'"):
        text_inputs(load_manifest(tmp_path / "m.csv"))
