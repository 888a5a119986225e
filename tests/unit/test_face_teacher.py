"""The face teacher: pictures read, an encoder that learns, and stage 1 on faces."""

import random
from colorsys import hsv_to_rgb

import numpy as np
import pytest
import torch
from PIL import Image

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.evaluation.metrics import eer
from cmd_speaker.lists.trials import all_pairs
from cmd_speaker.teachers.face import SmallFaceTeacher
from cmd_speaker.teachers.pictures import read_picture, read_pictures
from cmd_speaker.teachers.stage1 import describe, prepare_teacher
from tests.teachers import draw_face, write_faces

PEOPLE, SESSIONS, HELD_OUT = 30, 2, 6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Identity -> six pictures of theirs, three a session; the last `HELD_OUT` are not for training."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(1)
    found = {}
    for person in range(PEOPLE):
        # Hues all around, those of the last ones between the others.
        colour = [255 * part for part in hsv_to_rgb(7 * person % PEOPLE / PEOPLE, 1, 1)]
        places = [folder / f"p{person:02}" / f"x{k // 3}" / f"{k % 3}.png" for k in range(3 * SESSIONS)]
        found[f"p{person:02}"] = [draw_face(place, colour, rng) for place in places]
    return found


def part(pictures, held_out):
    chosen = list(pictures)[-HELD_OUT:] if held_out else list(pictures)[:-HELD_OUT]
    return [(path, person) for person in chosen for path in pictures[person]]


def tiny(**changes):
    return SmallFaceTeacher(**{"pixels": 16, "size": 16, "steps": 80, "batch_size": 32, **changes})


def fitted(pictures, **changes):
    teacher = tiny(**changes)
    teacher.fit(*zip(*part(pictures, held_out=False), strict=True))
    return teacher


@pytest.fixture(scope="module")
def teacher(pictures):
    return fitted(pictures)


def held_out_eer(teacher, pictures):
    paths, people = zip(*part(pictures, held_out=True), strict=True)
    vectors = teacher.embed(paths)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = np.triu_indices(len(paths), 1)
    same = np.array(people)[:, None] == np.array(people)
    return eer((vectors @ vectors.T)[pairs], same[pairs])[0]


def test_it_learns_what_tells_people_apart(teacher, pictures):
    """The disc is the person's, the larger background is not; chance is 50 %."""
    learnt, untrained = held_out_eer(teacher, pictures), held_out_eer(fitted(pictures, steps=1), pictures)
    assert learnt < min(0.15, untrained / 2)


def test_fitting_is_reproducible_and_leaves_every_random_state(teacher, pictures):
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    torch.rand(3)
    before = torch.get_rng_state()
    again, other = fitted(pictures), fitted(pictures, seed=1, steps=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == states[1:]
    assert teacher.identity() == again.identity() != other.identity()
    assert len({each.source() for each in (teacher, again, other)}) == 2


def test_an_embedding_depends_on_its_picture_only(teacher, pictures):
    paths = [path for path, _ in part(pictures, held_out=True)]
    together = teacher.embed(paths)
    assert together.dtype == np.float32
    assert together.shape == (len(paths), 16)
    alone = np.concatenate([teacher.embed([path]) for path in paths])
    assert np.array_equal(together, alone)
    assert np.array_equal(together[::-1], teacher.embed(paths[::-1]))
    assert not np.array_equal(together[0], together[1])


def test_the_encoder_is_frozen(teacher):
    assert not any(parameter.requires_grad for parameter in teacher.encoder.parameters())
    assert not teacher.encoder.training


def test_a_picture_is_upright_rgb_and_of_the_size_asked_for(tmp_path):
    grey = np.zeros((4, 8), np.uint8)
    grey[:, 4:] = 200
    image = Image.fromarray(grey)
    image.save(tmp_path / "grey.png")
    pixels = read_picture(tmp_path / "grey.png", 4)
    assert (pixels.shape, pixels.dtype) == ((3, 4, 4), np.uint8)
    assert pixels[:, 0, [0, -1]].tolist() == [[0, 200]] * 3
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned: to be turned by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    turned = read_picture(tmp_path / "turned.png", 4)
    assert turned[0, [0, -1], 0].tolist() == [0, 200]
    red = Image.new("RGB", (3, 3), (255, 0, 0))
    red.save(tmp_path / "red.png")
    assert read_picture(tmp_path / "red.png", 2)[:, 0, 0].tolist() == [255, 0, 0]


def test_every_broken_picture_is_named(pictures, tmp_path):
    good = pictures["p00"][0]
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:200])
    with pytest.raises(DataError, match=r"text\.jpg: not readable as a picture"):
        read_picture(tmp_path / "text.jpg", 16)
    with pytest.raises(DataErrors, match=r"(?s)3 of 4.*text\.jpg.*cut\.png.*missing\.png"):
        tiny().fit([tmp_path / "text.jpg", good, tmp_path / "cut.png", tmp_path / "missing.png"], "abab")
    assert read_pictures([good, good], 16).shape == (2, 3, 16, 16)


def manifest_of(path, pictures, people):
    """Three utterances a session, whose face is the session's folder."""
    rows = [
        (f"{person}-{session}-{k}", person, f"x{session}", pictures[person][3 * session].parent)
        for person in people
        for session in range(SESSIONS)
        for k in range(3)
    ]
    return write_faces(path, rows)


def test_stage_1_on_faces(pictures, tmp_path, monkeypatch):
    people = list(pictures)
    train = manifest_of(tmp_path / "train.csv", pictures, people[:-HELD_OUT])
    valid = manifest_of(tmp_path / "valid.csv", pictures, people[-HELD_OUT:])
    trials = all_pairs([u.id for u in valid], [u.spk_id for u in valid])
    seen = []
    fit = SmallFaceTeacher.fit

    def spy(self, paths, identities):
        seen.extend(zip(paths, identities, strict=True))
        fit(self, paths, identities)

    monkeypatch.setattr(SmallFaceTeacher, "fit", spy)
    made = prepare_teacher("face", tiny(), tmp_path / "t", train, 12, valid=(valid, trials))
    assert seen == [(str(path), person) for path, person in part(pictures, held_out=False)]
    n = PEOPLE - HELD_OUT
    # Each session's three pictures are those of its three utterances.
    assert [made.match.dealt(k) for k in range(6 * n)] == list(range(6 * n))
    assert all(made.row(0, 1, k) // 3 == k // 3 for k in range(6 * n))
    assert made.targets.identity.tolist() == [row // 6 for row in range(6 * n)]
    assert made.targets.embedding.shape == (6 * n, 12)
    assert made.targets.classifier.shape == (n, 12)
    assert 0 < made.report["validation_eer"] < 0.25
    text = describe(made)
    assert f"Teacher 'face': {n} training speakers with {6 * n} different pictures, in {n} classes" in text
    assert f"{6 * n} by session" in text
    assert "replaced by its speaker's picture" in text
    again = prepare_teacher("face", tiny(), tmp_path / "t", train, 12, valid=(valid, trials))
    for other in ({"student_size": 24}, {"seed": 1}, {"valid": None}):
        given = {"student_size": 12, "seed": 0, "valid": (valid, trials), **other}
        with pytest.raises(DataError, match=r"made for another run.*--rebuild_bank"):
            prepare_teacher("face", tiny(), tmp_path / "t", train, **given)
    assert torch.equal(made.targets.embedding, again.targets.embedding)
    assert len(seen) == 6 * n, "made once"
    assert made.permuted(1).match is made.match
    assert not (made.permuted(1).targets.label == made.targets.label).any()


@pytest.mark.parametrize("speakers", [1, 3])
def test_validation_utterances_without_a_face_are_left_out(pictures, tmp_path, speakers):
    people = list(pictures)
    train = manifest_of(tmp_path / "train.csv", pictures, people[:3])
    rows = [
        (f"{person}-{k}", person, "x", pictures[person][k] if k < 2 and place < speakers else "")
        for place, person in enumerate(people[3:6])
        for k in range(3)
    ]
    valid = write_faces(tmp_path / "valid.csv", rows)
    trials = all_pairs([u.id for u in valid], [u.spk_id for u in valid])
    prepared = prepare_teacher("face", tiny(steps=2), tmp_path / "t", train, 12, valid=(valid, trials))
    # One speaker's pictures alone make no nontarget trial.
    assert ("validation_eer" in prepared.report) == (speakers == 3)
    assert ("Its own ceiling" in describe(prepared)) == (speakers == 3)
