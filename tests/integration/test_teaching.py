"""What teachers change in a run, and what they must not."""

import json

import pytest
from safetensors.numpy import load_file

from cmd_speaker.errors import DataError
from tests.training import text_and_face, weights


def test_nothing_of_a_test_speaker_reaches_the_teacher(trained):
    index = (trained / "teachers" / "text" / "index.csv").read_text()
    assert "9101" not in index
    assert "text" not in (trained / "manifests" / "test.csv").read_text().splitlines()[0].split(",")
    assert load_file(trained / "teachers" / "text" / "embeddings.safetensors")["embeddings"].shape == (4, 16)


def test_the_teacher_changes_the_student_but_not_its_start(train, trained, tmp_path):
    audio_only = train(tmp_path / "audio", feature_weight=0)
    assert not (audio_only / "teachers").exists()
    assert weights(audio_only) != weights(trained)


def test_a_margin_beyond_all_distances_is_audio_only(train, tmp_path):
    """Nothing but the distillation term itself tells a taught run from an audio-only one."""
    off = train(tmp_path / "off", feature_weight=0, number_of_epochs=1)
    beyond = train(tmp_path / "beyond", feature_weight=5, margin=2.1, number_of_epochs=1)
    assert weights(off) == weights(beyond)


def test_each_teacher_has_its_bank_its_terms_and_its_figures(train_under_both, trained, tmp_path, capsys):
    folder = train_under_both(tmp_path / "run", number_of_epochs=1)
    printed = capsys.readouterr().out
    assert "Teacher 'text': 4 training speakers with 4 different texts" in printed
    # One of the four has no face; of the others' four utterances three share a folder.
    assert "Teacher 'face': 3 training speakers with 12 different pictures" in printed
    assert "3 by utterance, 9 by identity, 4 by none" in printed.split("Teacher 'face'")[1]
    log = (folder / "train_log.txt").read_text()
    for figure in (
        "text.weight: 1.00000e+00",
        "face.weight: 7.50000e-01",
        "text.feature: ",
        "face.feature_active: ",
    ):
        assert f"train {figure}" in log, log
    for name, size in (("text", 16), ("face", 8)):
        bank = folder / "teachers" / name
        assert load_file(bank / "embeddings.safetensors")["embeddings"].shape[1] == size
        assert (
            f"teachers/{name}/targets.safetensors"
            in json.loads((folder / "run.json").read_text())["checksums"]
        )
    without = train_under_both(tmp_path / "without", number_of_epochs=1, feature_weight=0, face_weight=0)
    assert not (without / "teachers").exists()


def test_what_is_missing_is_found_before_a_teacher_is_fitted(train, tmp_path):
    with pytest.raises(DataError, match="fewer training utterances than one batch"):
        train(tmp_path / "large", batch_size=1000)
    # The face teacher is prepared after the text teacher, and there are no faces.
    with pytest.raises(DataError, match="face"):
        train(tmp_path / "faceless", hparams=text_and_face(tmp_path / "both.yaml"))
    assert not [*tmp_path.glob("*/teachers/*")]


def test_a_teacher_of_weight_0_changes_nothing(train, train_under_both, tmp_path):
    text = train(tmp_path / "text", number_of_epochs=1)
    both = train_under_both(tmp_path / "both", number_of_epochs=1, face_weight=0)
    assert not (both / "teachers" / "face").exists()
    assert weights(both) == weights(text)


def test_permuted_teacher(train, trained, tmp_path, capsys):
    permuted = train(tmp_path / "permuted", permute_teacher=True)
    assert "another speaker's teacher" in capsys.readouterr().out
    assert weights(permuted) != weights(trained)


def test_a_hugging_face_teacher_from_the_command_line(train, hugging_face, tmp_path):
    folder = train(tmp_path / "run", text_encoder=hugging_face, number_of_epochs=1)
    bank = json.loads((folder / "teachers" / "text" / "bank.json").read_text())
    assert bank["teacher"] == "HuggingFaceTextTeacher"
