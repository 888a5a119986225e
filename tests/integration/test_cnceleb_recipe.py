"""The CN-Celeb recipe end to end on a small tree with lists of the corpus's own form."""

import json

import numpy as np
import pytest

from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.training.log import last_epoch
from tests.celebrities import CN_SPEAKERS, CN_TRIALS, SMALL, write_cnceleb, write_faces
from tests.training import ROOT, command_line, load_recipe

RECIPE = ROOT / "recipes" / "CNCeleb"
HPARAMS = RECIPE / "hparams" / "cnceleb.yaml"


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """`train(folder, **changes) -> folder`: a run of seconds."""
    recipe, tree = load_recipe(RECIPE), write_cnceleb(tmp_path_factory.mktemp("cnceleb"))

    def run(folder, **changes):
        options = {**SMALL, "data_folder": tree, "output_folder": folder, "min_seconds": 1.0, **changes}
        recipe.main(command_line(HPARAMS, options))
        return folder

    return run


def test_audio_only(train, tmp_path):
    run = train(tmp_path / "run")
    results = json.loads((run / "results.json").read_text())["CN-Celeb.E"]
    assert (results["targets"], results["nontargets"], results["speakers"]) == (3, 3, 3)
    scored = [line.split() for line in (run / "scores.txt").read_text().splitlines()]
    assert [(enrol, test, label) for enrol, test, _, label in scored] == [
        tuple(line.split()) for line in CN_TRIALS.splitlines()
    ]
    stored = load_embeddings(run / "embeddings.npz")
    unit = {name: v / np.linalg.norm(v) for name, v in zip(stored.ids, stored.vectors, strict=True)}
    model = sum(unit[f"id00800/speech-01-00{k}.wav"] for k in (1, 2))
    by_hand = model @ unit["test/id00800-singing-01-005.wav"] / np.linalg.norm(model)
    assert float(scored[0][2]) == pytest.approx(by_hand, abs=1e-6), "the mean of the enrolment's recordings"
    labels = json.loads((run / "labels.json").read_text())
    assert len(labels) == 6
    assert set(labels) < set(CN_SPEAKERS), "nobody is trained on who is evaluated"
    assert "valid eer" in last_epoch(run)
    checksums = json.loads((run / "run.json").read_text())["checksums"]
    assert "manifests/enrolment_map.txt" in checksums


def test_face_teacher(train, tmp_path):
    faces = write_faces(tmp_path / "faces", CN_SPEAKERS)
    figures = last_epoch(train(tmp_path / "run", architecture="resnet34", classifier_weight=1, **faces))
    assert {"train face.feature", "train face.teacher_classifier"} <= figures.keys()
