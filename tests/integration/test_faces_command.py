"""`cmd-speaker faces`: what it writes, what is counted, going on after a kill, and a teacher that reads it."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.faces import run
from cmd_speaker.faces.embedding import Rules
from cmd_speaker.faces.report import COLUMNS, GAP, PIXELS, TEXT
from cmd_speaker.faces.run import Options, embed_faces
from cmd_speaker.files import locked
from cmd_speaker.manifest import load_manifest
from cmd_speaker.quality import image
from cmd_speaker.teachers.pictures import read_picture
from cmd_speaker.teachers.vectors import VectorTeacher
from tests.faces import grace_hopper, write_encoder
from tests.teachers import draw_face, write_faces

CROPS = Options(per_key=9, batch_size=3, min_size=10, detect=False)


class Mean:
    """An encoder of crops: the mean of each colour, halved into six numbers; `fail_at` stops its k-th batch."""

    model = "mean of the colours"

    def __init__(self, fail_at=None):
        self.fail_at, self.calls, self.seen = fail_at, 0, 0

    def crop(self, picture, face):
        assert face is None
        return np.asarray(Image.fromarray(picture).resize((4, 4)))

    def embed(self, crops):
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        self.seen += len(crops)
        return crops.mean(axis=(1, 2), dtype=np.float32)


@pytest.fixture
def crops(tmp_path):
    """Three speakers: `a` with one picture for each of six utterances, `b` with six for a session, of which one is
    too small, one black and one broken, `c` without any."""
    rng = np.random.default_rng(0)
    rows = [(f"a{k}", "a", "x", f"$data_root/a/{k}.png") for k in range(6)]
    rows += [(f"b{k}", "b", "y", "$data_root/b") for k in range(2)] + [("b2", "b", "z", "")]
    rows += [("c0", "c", "x", ""), ("c1", "c", "x", "$data_root/c.png")]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for k in range(6):
            pixels = rng.integers(1, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{k}.png")
    Image.new("RGB", (30, 9), "red").save(tmp_path / "b" / "1.png")
    Image.new("RGB", (30, 20)).save(tmp_path / "b" / "2.png")
    (tmp_path / "b" / "3.png").write_bytes(b"no picture")
    return write_faces(tmp_path / "m.csv", rows, tmp_path)


def go(manifest, folder, encoder=None, options=CROPS):
    return embed_faces([manifest], folder, encoder or Mean(), options, data_root=manifest.path.parent)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_counted(crops, tmp_path):
    """Used: six of a, b's 0, 4 and 5. The utterances b0 and b1 have their session's, b2 is of another session."""
    found, errors = go(crops, tmp_path / "out")
    assert found == json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert found == {
        "manifests": [{
            "manifest": "m.csv",
            "utterances": {"total": 11, "utterance": 6, "session": 2, "identity": 0, "none": 3},
            "no_face_named": 2,
            "speakers": {"total": 3, "with_face": 2},
        }],
        "pictures": {
            "looked_at": 12, "used": 9, "missing": 1, "unreadable": 1, "undetected": 0, "too_unsure": 0,
            "too_small": 1, "not_embedded": 1, "several_faces": 0, "passed_over": 0,
        },
    }  # fmt: skip
    left_out = [(row["ID"], row["reason"]) for row in rows_of(tmp_path / "out" / "left_out.csv")]
    assert left_out == [
        ("session:b/y:2", "too_small"), ("session:b/y:3", "not_embedded"), ("session:b/y:4", "unreadable"),
        ("", "missing"),
    ]  # fmt: skip
    assert len(errors) == 2
    assert "| m.csv | 11 | 6 | 2 | 0 | 3 | 2 | 3 | 2 |" in (tmp_path / "out" / "coverage.md").read_text()


def test_what_is_written_is_what_a_teacher_reads(crops, tmp_path):
    go(crops, tmp_path / "out")
    table = rows_of(tmp_path / "out" / "faces.csv")
    assert list(table[0]) == ["ID", "spk_id", "session", "utterance", "face_sharpness", "face_size"]
    assert table[0]["ID"] == "utterance:a0:1"
    assert [(row["spk_id"], row["session"], row["utterance"]) for row in (table[0], table[8])] == [
        ("a", "x", "a0"), ("b", "y", ""),
    ]  # fmt: skip
    picture = read_picture(tmp_path / "a" / "0.png")
    assert float(table[0]["face_sharpness"]) == pytest.approx(image.sharpness(picture), rel=1e-4)
    assert table[0]["face_size"] == "20"
    stored = load_embeddings(tmp_path / "out" / "faces.safetensors")
    assert stored.model == "mean of the colours"
    expected = Mean().embed(Mean().crop(picture.transpose(1, 2, 0), None)[None])[0]
    assert stored.vectors[stored.index()["utterance:a0:1"]] == pytest.approx(expected)
    teacher = VectorTeacher(tmp_path / "out" / "faces.safetensors", tmp_path / "out" / "faces.csv")
    inputs = teacher.inputs(crops)
    assert [(each.level, each.key) for each in inputs] == [("utterance", f"a{k}") for k in range(6)] + [
        ("session", "b/y")
    ] * 3
    assert set(inputs[0].quality) == {"face_sharpness", "face_size"}
    assert teacher.left_out(crops) == ""


def test_a_killed_run_goes_on_and_comes_to_the_same(crops, tmp_path, monkeypatch):
    """Parts of five of twelve pictures, batches of three and two: the fourth batch ends the second part."""
    monkeypatch.setattr(run, "PART", 5)
    go(crops, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        go(crops, tmp_path / "out", Mean(fail_at=4))
    assert [path.name for path in (tmp_path / "out" / "parts").iterdir()] == ["000000000.npz"]
    assert not (tmp_path / "out" / "faces.csv").exists()
    left = tmp_path / "out" / "parts" / ".000000005.npz.4711.tmp"
    left.write_bytes(b"what a killed run was writing")
    again, third = Mean(), Mean()
    go(crops, tmp_path / "out", again)
    # Of the last seven pictures one is too small and one broken.
    assert again.seen == 5
    go(crops, tmp_path / "out", third)
    assert third.seen == 0
    assert not left.exists()
    written = {path.name for path in (tmp_path / "whole").iterdir() if path.is_file()}
    assert written == {
        "settings.json", "faces.safetensors", "faces.csv", "left_out.csv", "pictures.csv", "coverage.json",
        "coverage.md", "contact_sheet.jpg",
    }  # fmt: skip
    for name in written:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_another_run_in_the_same_folder_is_refused(crops, tmp_path):
    go(crops, tmp_path / "out")
    other = Options(**{**vars(CROPS), "min_size": 11})
    with pytest.raises(
        DataError, match=r"begun with other settings \(expected min_size 10, found min_size 11\)"
    ):
        go(crops, tmp_path / "out", options=other)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "b" / "9.png")
    with pytest.raises(DataError, match=r"expected pictures 12 of .*, found pictures 13 of "):
        go(crops, tmp_path / "out")
    with locked(tmp_path / "out"), pytest.raises(UsageError, match="another run fills"):
        go(crops, tmp_path / "out")


def test_a_picture_that_was_changed_is_looked_at_again(crops, tmp_path, monkeypatch):
    """b/3.png, the ninth of twelve in parts of five, was broken and is mended."""
    monkeypatch.setattr(run, "PART", 5)
    _, errors = go(crops, tmp_path / "out")
    assert [error.file for error in errors[1:]] == [tmp_path / "b" / "3.png"]
    Image.new("RGB", (30, 20), "red").save(tmp_path / "b" / "3.png")
    encoder = Mean()
    found, errors = go(crops, tmp_path / "out", encoder)
    assert encoder.seen == 4, "its part, but for the picture that is too small"
    assert (found["pictures"]["used"], found["pictures"]["unreadable"], len(errors)) == (10, 0, 1)


def test_parts_of_another_run_are_refused(crops, tmp_path, monkeypatch):
    """Of another size of embedding, and of other pictures."""
    monkeypatch.setattr(run, "PART", 5)
    go(crops, tmp_path / "out")
    monkeypatch.setattr(Mean, "embed", lambda self, crops: np.ones((len(crops), 4), np.float32))
    go(crops, tmp_path / "other")
    parts = [tmp_path / name / "parts" / "000000005.npz" for name in ("out", "other")]
    parts[0].write_bytes(parts[1].read_bytes())
    with pytest.raises(
        DataError, match=r"000000005\.npz: the part has .* size \(expected 3 numbers, found 4\)"
    ):
        go(crops, tmp_path / "out")
    parts[0].write_bytes(parts[1].with_name("000000010.npz").read_bytes())
    with pytest.raises(DataError, match=r"000000005\.npz: the part is damaged"):
        go(crops, tmp_path / "out")


def test_no_name_of_a_person_is_written_but_where_the_pictures_lie(crops, tmp_path):
    """A folder is called like a person, as those of VoxCeleb1's faces are."""
    text = crops.path.read_text().replace("$data_root/b", "$data_root/Firstname_Lastname")
    (tmp_path / "b").rename(tmp_path / "Firstname_Lastname")
    crops.path.write_text(text.replace("c.png", "Firstname_Lastname.png"))
    go(load_manifest(crops.path, tmp_path), tmp_path / "out")
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.name for path in written if b"Firstname" in path.read_bytes()] == ["pictures.csv"]
    rows = rows_of(tmp_path / "out" / "pictures.csv")
    assert rows[6] == {"ID": "session:b/y:1", "file": "Firstname_Lastname/0.png", "frame": ""}
    missing = rows_of(tmp_path / "out" / "left_out.csv")[-1]
    assert missing["detail"] == "m.csv, row 12: no such picture"


def test_a_damaged_part_is_named(crops, tmp_path):
    go(crops, tmp_path / "out")
    (tmp_path / "out" / "parts" / "000000000.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"000000000\.npz: the part is damaged.*Delete it"):
        go(crops, tmp_path / "out")


def test_no_face_at_all(crops, tmp_path):
    with pytest.raises(DataError, match=r"left_out\.csv: no face can be used"):
        go(crops, tmp_path / "out", options=Options(**{**vars(CROPS), "min_size": 50}))
    assert len(rows_of(tmp_path / "out" / "left_out.csv")) == 13
    assert (tmp_path / "out" / "contact_sheet.jpg").exists()
    assert not (tmp_path / "out" / "faces.csv").exists()


@pytest.mark.parametrize(
    ("quality", "status"),
    [
        ({"face_size": 40.0}, "used"),
        ({"face_size": 39.0}, "too_small"),
        ({"face_size": 40.0, "detector_probability": 0.9}, "used"),
        ({"face_size": 39.0, "detector_probability": 0.89}, "too_unsure"),
    ],
)
def test_which_faces_are_good_enough(quality, status):
    assert Rules(0.9, 40).judge(quality) == status


def test_the_contact_sheet(crops, tmp_path):
    """Nine used in two rows of eight, three others in one; two titles."""
    go(crops, tmp_path / "out")
    with Image.open(tmp_path / "out" / "contact_sheet.jpg") as sheet:
        assert sheet.size == (GAP + COLUMNS * (PIXELS + GAP), GAP + 2 * TEXT + 3 * (PIXELS + TEXT + GAP))
        pixels = np.asarray(sheet.convert("RGB"), float)
    # The too small picture, red, in the middle of the third row's first place.
    y = GAP + 2 * TEXT + 2 * (PIXELS + TEXT + GAP) + PIXELS // 2
    assert pixels[y, GAP + PIXELS // 2] == pytest.approx((255, 0, 0), abs=12)


def test_faces_are_found_aligned_and_embedded(cli, tmp_path):
    pytest.importorskip("facenet_pytorch")
    Image.fromarray(grace_hopper()).save(tmp_path / "grace.jpg", quality=95)
    Image.new("RGB", (80, 80), "green").save(tmp_path / "green.png")
    Image.fromarray(grace_hopper()).resize((64, 75)).save(tmp_path / "small.png")
    twice = np.asarray(Image.fromarray(grace_hopper()).resize((256, 300)))
    Image.fromarray(np.hstack([twice, twice[:, ::-1]])).save(tmp_path / "twice.png")
    names = ("grace.jpg", "green.png", "small.png", "twice.png")
    rows = [(name, name, "", f"$data_root/{name}") for name in names]
    write_faces(tmp_path / "m.csv", rows, tmp_path)
    arguments = ("faces", tmp_path / "m.csv", "--out", tmp_path / "out", "--data-root", tmp_path)
    code, out, err = cli(*arguments, "--encoder", write_encoder(tmp_path / "e.onnx"))
    assert (code, err) == (0, f"{tmp_path}/out/faces.safetensors, {tmp_path}/out/faces.csv; look at "
                              f"{tmp_path}/out/contact_sheet.jpg\n")  # fmt: skip
    assert "| used | 2 |" in out
    assert "| with several faces | 1 |" in out
    reasons = [(row["ID"], row["reason"]) for row in rows_of(tmp_path / "out" / "left_out.csv")]
    assert reasons == [("utterance:green.png:1", "undetected"), ("utterance:small.png:1", "too_small")]
    row = rows_of(tmp_path / "out" / "faces.csv")[0]
    assert float(row["detector_probability"]) > 0.99
    assert 150 < float(row["face_size"]) < 220, "the shorter side of the box, as the photograph has it"
    vectors = load_embeddings(tmp_path / "out" / "faces.safetensors")
    assert vectors.vectors.shape == (2, 6)
    red, _, blue = vectors.vectors[0, :3]
    assert red > blue, "skin"
    assert "e.onnx" in vectors.model


def test_a_student_is_trained_under_the_faces(cli, train, tmp_path, capsys):
    """Crops of two training speakers and of one who is held out."""
    rng = np.random.default_rng(0)
    rows = []
    for speaker in ("2034", "9001", "5195"):
        for k in range(3):
            draw_face(tmp_path / speaker / f"{k}.png", rng.uniform(0, 255, 3), rng, pixels=60)
        rows += [(f"{speaker}-{k}", speaker, "", f"$data_root/{speaker}") for k in range(2)]
    write_faces(tmp_path / "m.csv", rows, tmp_path)
    code, _, _ = cli(
        "faces", tmp_path / "m.csv", "--out", tmp_path / "faces", "--data-root", tmp_path, "--no-detect",
        "--encoder", write_encoder(tmp_path / "e.onnx"),
    )  # fmt: skip
    assert code == 0
    train(
        tmp_path / "run", number_of_epochs=1, vector_teacher=1, vectors=tmp_path / "faces" / "faces.safetensors",
        vectors_table=tmp_path / "faces" / "faces.csv", quality_weights=True, vector_quality="face_sharpness",
        speech_quality="none", text_quality="none",
    )  # fmt: skip
    assert "2 training speakers with 6 different vectors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--encoder", "vggface3"], 2, "unknown face encoder 'vggface3'"),
        (["--encoder", "gone.onnx"], 3, "gone.onnx: no such face encoder"),
        (["--per-key", "0"], 2, "--per-key"),
        (["--min-probability", "2"], 2, "--min-probability from 0 to 1"),
        (["--min-size", "nan"], 2, "--min-size of at least 0"),
        (["--colours", "rgb"], 2, "those of an ONNX encoder"),
        (["--device", "cuda:99"], 2, "no device 'cuda:99'"),
    ],
)
def test_mistakes_are_named_before_anything_runs(cli, crops, tmp_path, options, code, message):
    found, _, err = cli("faces", crops.path, "--out", tmp_path / "out", "--data-root", tmp_path, *options)
    assert found == code
    assert message in err
    assert not (tmp_path / "out").exists()
