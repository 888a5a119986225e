"""The VoxCeleb recipe end to end on a small tree: its teachers, students, test lists and fine-tuning."""

import json
from itertools import islice

import pytest
import torch
from safetensors.torch import load_file

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.model import SpeakerModel
from cmd_speaker.training.log import last_epoch
from data_prep.voxceleb import prepare
from tests.celebrities import SMALL, VOX2_SPEAKERS, write_faces, write_voxceleb
from tests.training import ROOT, command_line, load_recipe

RECIPE = ROOT / "recipes" / "VoxCeleb"
HPARAMS = RECIPE / "hparams" / "voxceleb.yaml"
SMALL_TEXT_TEACHER = "{text: {steps: 30, size: 16, layers: 1}}"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_voxceleb(tmp_path_factory.mktemp("voxceleb"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_faces(tmp_path_factory.mktemp("faces"), VOX2_SPEAKERS)


@pytest.fixture(scope="module")
def train(tree):
    """`train(folder, **changes) -> folder`: a run of seconds."""
    recipe = load_recipe(RECIPE)

    def run(folder, root=tree, **changes):
        data = {"data_folder": root, "trials": root / "trials.txt", "accept_unknown": True}
        recipe.main(command_line(HPARAMS, {**SMALL, **data, "output_folder": folder, **changes}))
        return folder

    return run


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("run") / "audio", architecture="resnet34")


def test_audio_only(trained):
    results = json.loads((trained / "results.json").read_text())
    assert [(row["targets"], row["nontargets"]) for row in results.values()] == [(6, 3)]
    assert json.loads((trained / "model" / "model.json").read_text())["architecture"] == "resnet34"
    labels = json.loads((trained / "labels.json").read_text())
    assert len(labels) == len(VOX2_SPEAKERS) - 2
    assert set(labels) < set(VOX2_SPEAKERS)
    assert "valid eer" in last_epoch(trained)
    assert not (trained / "teachers").exists()


@pytest.mark.parametrize(
    ("options", "architecture", "logged", "not_logged"),
    [
        ({}, "ecapa_tdnn", {"face.feature"}, {"face.teacher_classifier", "text.feature"}),
        (
            {
                "feature_weight": 0, "classifier_weight": 1,
                "quality_weights": True, "face_quality": "detector_probability",
            },
            "xvector", {"face.teacher_classifier", "face.weight"}, {"face.feature"},
        ),
        (
            {"classifier_weight": 1, "text_teacher": 1, "identity_margin": [[0, 0], [1, 0.2]]}, "ecapa_tdnn",
            {
                "face.feature", "face.teacher_classifier", "text.feature", "text.teacher_classifier",
                "identity_margin",
            },
            set(),
        ),
        ({"face_teacher": 0, "text_teacher": 1}, "ecapa_tdnn", {"text.feature"}, {"face.feature"}),
    ],
    ids=["face_feature", "face_classifier_quality", "face_and_text", "text"],
)  # fmt: skip
def test_teachers(train, tree, faces, tmp_path, options, architecture, logged, not_logged):
    given = {**faces, "metadata": tree / "vox2_meta.csv", "teachers": SMALL_TEXT_TEACHER}
    options = {**given, "architecture": architecture, **options}
    names = {name.removeprefix("train ") for name in last_epoch(train(tmp_path / "run", **options))}
    assert names >= logged
    assert not names & not_logged
    assert (tmp_path / "run" / "results.json").is_file()


def test_fine_tuning_begins_with_the_models_weights(train, trained, tmp_path):
    """At a learning rate of 0 the weights stay what they were, but for BatchNorm's running statistics."""
    options = {
        "architecture": "resnet34", "init_from": trained / "model", "crop_seconds": 0.7,
        "identity_margin": [[0, 0], [0.5, 0.5]],
    }  # fmt: skip
    tuned = train(tmp_path / "tuned", peak_lr=0, weight_decay=0, **options)
    before, after = (load_file(run / "model" / "model.safetensors") for run in (trained, tuned))
    learnt = [name for name in before if "running" not in name and "tracked" not in name]
    assert all(torch.equal(before[name], after[name]) for name in learnt)
    assert len(learnt) == len(list(SpeakerModel.load(tuned / "model").encoder.student.parameters()))
    record = json.loads((tuned / "run.json").read_text())
    assert "model/model.json" in record["checksums"]
    begun_anew = train(tmp_path / "anew", architecture="resnet34", peak_lr=0, weight_decay=0)
    other = load_file(begun_anew / "model" / "model.safetensors")
    assert not torch.equal(before["linear.weight"], other["linear.weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "ecapa_tdnn"}, r"(?s)another student.*EcapaTdnn: .*width 8.*found.*ResNet34"),
        ({"embedding_size": 16}, r"(?s)another student.*embedding_size 16.*found.*embedding_size 12"),
        ({"init_from": "nowhere"}, "not a model folder"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_at_once(train, trained, tmp_path, options, message):
    options = {"architecture": "resnet34", "init_from": trained / "model", **options}
    with pytest.raises(DataError, match=message):
        train(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_usual_size_of_an_architecture(tmp_path):
    """Nothing is trained: the recipe is only opened."""
    from cmd_speaker.training.recipe import open_recipe

    folder = {"data_folder": tmp_path, "output_folder": tmp_path / "run"}
    own = load_recipe(RECIPE).OWN_KEYS
    for name, sizes in {"ecapa_tdnn": (512, 192), "resnet34": (32, 256), "xvector": (512, 512)}.items():
        student = open_recipe(command_line(HPARAMS, {**folder, "architecture": name}), own).hparams["student"]
        assert (student.width, student.embedding_size) == sizes


def test_lines_of_the_real_list(train, shared_data, tmp_path):
    path = shared_data / "voxceleb_lists" / "veri_test2.txt"
    with path.open() as file:
        root = write_voxceleb(tmp_path / "tree", "".join(islice(file, 24)))
    run = train(tmp_path / "run", root=root)
    assert sum(1 for _ in (run / "scores.txt").open()) == 24


def test_without_a_list_nothing_is_prepared(train, tmp_path):
    with pytest.raises(UsageError, match="give --trials LIST, or --test False"):
        train(tmp_path / "run", trials="[]")
    assert not (tmp_path / "run" / "manifests").exists()


def test_an_altered_list_is_refused(train, tmp_path):
    with pytest.raises((DataError, UsageError), match="accept_unknown"):
        train(tmp_path / "run", accept_unknown=False)


def test_a_prepared_folder_takes_the_place_of_the_preparation(train, trained, tree, tmp_path, monkeypatch):
    """The same weights, without a look at the corpus; its lists need not be given again."""
    options = {"architecture": "resnet34", "prepared": trained / "manifests", "trials": "[]"}
    with monkeypatch.context() as patched:
        patched.setattr("data_prep.voxceleb.preparation.scan", None)
        run = train(tmp_path / "run", **options)
    for name in ("model/model.safetensors", "scores.txt", "manifests/preparation.json"):
        assert (run / name).read_bytes() == (trained / name).read_bytes()
    with pytest.raises(DataError, match=r"another validation_speakers.*expected validation_speakers: 3"):
        train(tmp_path / "other", **options, validation_speakers=3)


def test_a_prepared_folder_without_a_test_list(train, tree, tmp_path):
    prepare(tree, tmp_path / "out", valid_speakers=2)
    with pytest.raises(DataError, match=r"nothing to test on.*found no trial list.*--test False"):
        train(tmp_path / "run", prepared=tmp_path / "out", trials="[]")


def test_a_finished_run_is_not_prepared_again(train, tmp_path, monkeypatch, capsys):
    run = train(tmp_path / "run", test=False)
    monkeypatch.setattr("data_prep.voxceleb.preparation.scan", None)
    before = (run / "run.json").read_bytes()
    assert train(run, test=False) == run
    assert (run / "run.json").read_bytes() == before
    assert "made again" not in capsys.readouterr().out
