"""The recipe of anybody's own recordings end to end on a small tree."""

import json

import pytest

from cmd_speaker.errors import UsageError
from cmd_speaker.training.log import last_epoch
from tests.celebrities import SMALL, write_faces, write_speech
from tests.training import ROOT, command_line, load_recipe

RECIPE = ROOT / "recipes" / "Folder"
HPARAMS = RECIPE / "hparams" / "folder.yaml"
SPEAKERS = [f"id{number:05}" for number in range(30, 40)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    for who in SPEAKERS:
        for name in ("s1/a.wav", "s1/b.wav", "s2/a.wav"):
            write_speech(root / "audio" / who / name)
        (root / "text").mkdir(exist_ok=True)
        (root / "text" / f"{who}.txt").write_text(f"Voice number {int(who[2:]) % 7}.")
    return root


@pytest.fixture(scope="module")
def train(tree):
    """`train(folder, **changes) -> folder`: a run of seconds."""
    recipe = load_recipe(RECIPE)

    def run(folder, **changes):
        options = {**SMALL, "test_speakers": 2, "data_folder": tree, "output_folder": folder, **changes}
        recipe.main(command_line(HPARAMS, options))
        return folder

    return run


def test_audio_only(train, tmp_path):
    run = train(tmp_path / "run")
    results = json.loads((run / "results.json").read_text())["test"]
    # Two speakers with sessions of 2 and 1: 2 targets each, and 3 x 3 nontargets.
    assert (results["targets"], results["nontargets"], results["speakers"]) == (4, 9, 2)
    assert len(json.loads((run / "labels.json").read_text())) == 6
    assert "valid eer" in last_epoch(run)


def test_face_and_text(train, tmp_path):
    faces = write_faces(tmp_path / "faces", SPEAKERS)
    teachers = {"text_teacher": 1, "teachers": "{text: {steps: 30, size: 16, layers: 1}}", **faces}
    figures = last_epoch(train(tmp_path / "run", **teachers))
    assert {"train face.feature", "train text.feature"} <= figures.keys()


def test_without_anybody_to_test_on(train, tmp_path):
    with pytest.raises(UsageError, match="nobody to test on: give --test_speakers N, or --test False"):
        train(tmp_path / "run", test_speakers=0)
    run = train(tmp_path / "run", test_speakers=0, test=False)
    assert len(json.loads((run / "labels.json").read_text())) == 8
    assert not (run / "results.json").exists()
