"""The qualities of a bank's inputs, its layout, and runs that share one."""

import csv
import json
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import locked
from cmd_speaker.manifest import load_manifest, write_manifest
from cmd_speaker.quality import damage
from cmd_speaker.teachers.bank import load_bank, text_inputs
from cmd_speaker.teachers.face import SmallFaceTeacher
from cmd_speaker.teachers.pictures import face_inputs
from cmd_speaker.teachers.stage1 import prepare_teacher
from cmd_speaker.teachers.text import SmallTextTeacher
from tests.teachers import TEXTS, draw_face, small, write_texts


@pytest.fixture
def stage1(tmp_path):
    """A function `(**changes) -> PreparedTeacher` of one text teacher in one folder."""
    manifest = write_texts(tmp_path / "train.csv", TEXTS)

    def prepare(**changes):
        return prepare_teacher("text", small(), tmp_path / "t", manifest, 12, command="train X", **changes)

    prepare.folder, prepare.manifest = tmp_path / "t", manifest
    return prepare


def faces(tmp_path, columns=(), values=lambda k: ()):
    """Three speakers with two pictures each, the second of each blurred."""
    rng, rows = np.random.default_rng(0), []
    for k in range(6):
        path = draw_face(tmp_path / f"{k}.png", rng.uniform(0, 255, 3), rng)
        rows.append((f"u{k}", 1.0, "a.wav", "", "", f"s{k // 2}", str(path), *values(k)))
    write_manifest(tmp_path / "m.csv", ("face", *columns), rows)
    return load_manifest(tmp_path / "m.csv")


def test_words_of_a_text(stage1):
    made = stage1()
    with (stage1.folder / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["level", "key", "identity", "session", "input", "norm", "text_words"]
    expected = [float(len(text.split())) for text in TEXTS.values()]
    assert (
        [float(row["text_words"]) for row in rows] == expected == made.targets.quality["text_words"].tolist()
    )
    bank = load_bank(stage1.folder, text_inputs(stage1.manifest), small().source())
    norms = torch.from_numpy(bank.embeddings).norm(dim=1)
    torch.testing.assert_close(made.targets.quality["norm"], norms)
    batch = made.targets.batch(torch.tensor([2, 0]))
    assert batch.quality["text_words"].tolist() == [expected[2], expected[0]]


def test_qualities_of_pictures_fall_where_they_are_damaged(tmp_path):
    manifest = faces(tmp_path)
    for k in (1, 3, 5):
        picture = np.asarray(Image.open(tmp_path / f"{k}.png")).transpose(2, 0, 1)
        blurred = damage.blur(picture, 3.0)
        Image.fromarray(blurred.transpose(1, 2, 0)).save(tmp_path / f"{k}.png")
    teacher = SmallFaceTeacher(pixels=16, size=8, steps=5, batch_size=4)
    quality = prepare_teacher("face", teacher, tmp_path / "t", manifest, 12).targets.quality
    assert quality.keys() == {"norm", "face_sharpness", "face_size"}
    assert quality["face_size"].tolist() == [24] * 6
    sharpness = quality["face_sharpness"].reshape(3, 2)
    assert (sharpness[:, 0] > sharpness[:, 1] + 3).all()


def test_what_only_a_detector_knows_comes_from_the_manifest(tmp_path):
    manifest = faces(tmp_path, ("detector_probability",), lambda k: (k / 10,))
    assert [each.quality for each in face_inputs(manifest)] == [
        {"detector_probability": k / 10} for k in range(6)
    ]
    for wrong in ("", "nan", "sure"):
        manifest = faces(tmp_path, ("detector_probability",), lambda k, wrong=wrong: (0.5 if k else wrong,))
        with pytest.raises(DataErrors, match=rf"row 2: bad detector_probability .*found '{wrong}'"):
            face_inputs(manifest)
    rows = [(f"u{k}", 1.0, "a.wav", "", "", "s", str(tmp_path / "0.png"), k) for k in range(2)]
    write_manifest(tmp_path / "m.csv", ("face", "detector_probability"), rows)
    with pytest.raises(DataErrors, match=r"one and the same number.*found '0', '1'"):
        face_inputs(load_manifest(tmp_path / "m.csv"))


def test_the_control_takes_the_qualities_along(stage1):
    targets = stage1().targets
    chosen = targets.permutation(1)
    assert targets.permuted(1).quality["text_words"].equal(targets.quality["text_words"][chosen])


def test_a_bank_of_an_older_layout_is_refused(stage1):
    """The older one had one column, `quality`, and no layout in its description."""
    stage1()
    path = stage1.folder / "bank.json"
    description = json.loads(path.read_text())
    del description["layout"]
    path.write_text(json.dumps(description))
    index = stage1.folder / "index.csv"
    index.write_text(index.read_text().replace("norm,text_words", "quality"))
    with pytest.raises(
        DataError, match=r"another layout.*layout 2.*found layout 1.*train X --rebuild_bank True"
    ):
        stage1()
    assert stage1(rebuild=True).targets.quality.keys() == {"norm", "text_words"}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("norm,text_words", "text_words,norm", "damaged"),
        ("identity,s2,s2", "identity,s3,s3", "other teacher inputs"),
        (",7.0\n", ",eight\n", "damaged"),
        (",7.0\n", "\n", "damaged"),
    ],
)
def test_a_changed_index_is_refused(stage1, before, after, message):
    stage1()
    path = stage1.folder / "index.csv"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(DataError, match=message):
        stage1()


def test_runs_that_share_a_folder_wait_for_each_other(stage1, monkeypatch, capsys):
    """The second run begins while the first fits its teacher: it waits and takes what the first made."""
    fit, made, fitted, begun = SmallTextTeacher.fit, [], [], threading.Event()

    @contextmanager
    def asked(folder, waiting):
        if fitted:
            begun.set()
        with locked(folder, waiting=waiting):
            yield

    second = threading.Thread(target=lambda: made.append(stage1()))

    def meanwhile(self, texts):
        fitted.append(len(texts))
        if not second.is_alive():
            second.start()
            begun.wait(10)  # only a run that asks for no lock lets it pass
        fit(self, texts)

    monkeypatch.setattr("cmd_speaker.teachers.stage1.locked", asked)
    monkeypatch.setattr(SmallTextTeacher, "fit", meanwhile)
    made.append(stage1())
    second.join()
    assert len(fitted) == 1
    assert made[0].targets.embedding.equal(made[1].targets.embedding)
    assert capsys.readouterr().err == "The teacher 'text': waiting for the run that makes it\n"
