"""Runs under several teachers of different coverage, joint teachers and vectors."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.errors import DataError
from tests.integration.test_training import broken_after
from tests.training import HPARAMS, weights

EVERYTHING = {
    "joint_teachers": "[text, face]", "classifier_weight": 0.5, "quality_weights": True,
    "ckpt_interval_minutes": 0, "ckpt_interval_steps": 1, "num_workers": 0, "number_of_epochs": 2,
}  # fmt: skip


def learnt(folder, teacher):
    """The newest checkpoint's head and classifier of a joint teacher."""
    checkpoint = max((folder / "checkpoints").glob("CKPT*"))
    return torch.load(checkpoint / f"joint_{teacher}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def joint_run(train_under_both, tmp_path_factory):
    return train_under_both(tmp_path_factory.mktemp("joint") / "run", **EVERYTHING)


def test_joint_teachers_are_in_the_checkpoint_and_not_in_the_model(joint_run):
    for teacher in ("text", "face"):
        now = learnt(joint_run, teacher)
        before = load_file(joint_run / "teachers" / teacher / "head.safetensors")
        assert {f"head.{name}" for name in before} | {"classifier.weight"} == set(now)
        assert all(not np.array_equal(now[f"head.{name}"], value) for name, value in before.items())
    names = load_file(joint_run / "model" / "model.safetensors")
    assert not [name for name in names if "joint" in name or "head" in name or "classifier" in name]
    line = (joint_run / "train_log.txt").read_text().splitlines()[-1]
    assert "text.identity: " in line
    assert "face.identity: " in line


def test_joint_teachers_resume_to_the_same_bits(joint_run, train_under_both, tmp_path, monkeypatch):
    with broken_after(5, monkeypatch):
        train_under_both(tmp_path / "broken", **EVERYTHING)
    resumed = train_under_both(tmp_path / "broken", **EVERYTHING)
    assert weights(resumed) == weights(joint_run)
    assert (resumed / "train_log.txt").read_text() == (joint_run / "train_log.txt").read_text()
    for teacher in ("text", "face"):
        here, there = learnt(resumed, teacher), learnt(joint_run, teacher)
        assert all(here[name].equal(there[name]) for name in there)


def test_one_joint_teacher_beside_a_frozen_one(train_under_both, tmp_path):
    folder = train_under_both(tmp_path / "run", number_of_epochs=1, joint_teachers="[face]")
    line = (folder / "train_log.txt").read_text()
    assert "face.identity: " in line
    assert "text.identity: " not in line
    assert "text.feature: " in line


@pytest.mark.parametrize("value", ["[fase]", "face"])
def test_an_unknown_joint_teacher_is_refused(train_under_both, tmp_path, value):
    with pytest.raises(DataError, match="joint_teachers: expected"):
        train_under_both(tmp_path / "run", joint_teachers=value)


def test_inputs_are_drawn_or_dealt(train_under_both, tmp_path):
    """The same bits with workers and without; other bits where inputs are dealt."""
    options = {"number_of_epochs": 1, "feature_weight": 0}
    drawn = train_under_both(tmp_path / "drawn", num_workers=0, **options)
    helped = train_under_both(tmp_path / "helped", num_workers=2, **options)
    dealt = train_under_both(tmp_path / "dealt", sample_inputs=False, **options)
    assert weights(drawn) == weights(helped)
    assert weights(drawn) != weights(dealt)


@pytest.fixture
def with_vectors(tmp_path):
    """The options of a teacher made of vectors: three of each of two speakers, and of one held out."""
    speakers = [speaker for speaker in ("2034", "9001", "5195") for _ in range(3)]
    ids = [f"v{k}" for k in range(len(speakers))]
    vectors = np.random.default_rng(0).standard_normal((len(ids), 7)).astype(np.float32)
    save_embeddings(tmp_path / "faces.npz", Embeddings(ids, vectors))
    rows = [f"v{k},{speaker},{k}" for k, speaker in enumerate(speakers)]
    (tmp_path / "faces.csv").write_text("\n".join(["ID,spk_id,sharpness", *rows]) + "\n")
    return {
        "vectors": tmp_path / "faces.npz", "vectors_table": tmp_path / "faces.csv", "vector_teacher": 1,
        "number_of_epochs": 1,
    }  # fmt: skip


def test_vectors_teach_beside_a_text_teacher(train, with_vectors, tmp_path, capsys):
    """Half of the training speakers have any: a whole batch may have none."""
    options = {**with_vectors, "batch_size": 2}
    folder = train(tmp_path / "run", **options)
    printed = capsys.readouterr().out.split("Teacher 'vectors': ")[1]
    assert printed.startswith("2 training speakers with 6 different vectors, in 2 classes")
    assert "8 by identity, 8 by none, with 6 rows of its bank" in printed
    assert "Speakers without a vector: 2 (2251, 9002). Left out: 3 rows of 1 speakers" in printed
    assert "not trained on (5195)" in printed
    assert "5195" not in (folder / "teachers" / "vectors" / "index.csv").read_text()
    logged = figures(folder)
    assert (logged["vectors.weight"], logged["text.weight"]) == (0.5, 1)
    joint = train(tmp_path / "joint", joint_teachers="[vectors]", **options)
    assert weights(joint) != weights(folder)
    control = train(tmp_path / "control", permute_teacher=True, **options)
    assert weights(control) != weights(folder)


def test_each_teacher_has_its_own_terms_margins_and_quality(train, with_vectors, tmp_path):
    """The vectors are weighed by a column of their table, the texts by their length."""
    text = HPARAMS.read_text()
    before = "weight: !ref <vector_teacher>\n"
    assert before in text
    changes = "{feature: {weight: 0}, teacher_classifier: {weight: 0}, prototype: {weight: 1, margin: 0.1}}"
    (tmp_path / "own.yaml").write_text(text.replace(before, f"{before}        changes: {changes}\n"))
    options = {
        **with_vectors, "hparams": tmp_path / "own.yaml", "joint_teachers": "[vectors]", "classifier_weight": 0.5,
        "quality_weights": True, "speech_quality": "none", "text_quality": "text_words",
    }  # fmt: skip
    folder = train(tmp_path / "run", vector_quality="sharpness", **options)
    logged = figures(folder)
    assert {
        "text.feature",
        "text.teacher_classifier",
        "vectors.prototype",
        "vectors.identity",
    } <= logged.keys()
    others = {"text.prototype", "vectors.feature", "vectors.teacher_classifier", "text.identity"}
    assert not others & logged.keys()
    unweighed = figures(train(tmp_path / "unweighed", vector_quality="none", **options))
    assert unweighed["vectors.weight"] == 0.5
    assert logged["vectors.weight"] != 0.5
    assert logged["text.weight"] == unweighed["text.weight"] != 1
    with pytest.raises(DataError, match=r"'sharpnes'.*did you mean 'sharpness'"):
        train(tmp_path / "wrong", vector_quality="sharpnes", **options)


def figures(folder):
    """What the last epoch of training logged."""
    line = (folder / "train_log.txt").read_text().splitlines()[-1]
    parts = [part.removeprefix("train ").split(": ") for part in line.split(" - ")[1].split(", ")]
    return {name: float(value) for name, value in parts}
