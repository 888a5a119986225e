"""The model card and Kaldi's folder."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from cmd_speaker.cli.app import app
from cmd_speaker.cli.export import export  # noqa: F401
from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.export import kaldi as kaldi_export
from cmd_speaker.export.card import load_results, model_card, write_card
from cmd_speaker.export.kaldi import export_kaldi
from cmd_speaker.model import SpeakerModel
from tests.exports import FIGURES, small_model
from tests.refusals import refused

UNBOUNDED = FIGURES | {key: None for key in FIGURES if key.endswith(("_low", "_high"))} | {"speakers": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("xvector") / "model"
    small_model(place, "xvector")
    return place


@pytest.fixture
def model(folder):
    return SpeakerModel.load(folder)


@pytest.fixture
def results(tmp_path, model):
    """The `results.json` of this model's run, beside its embeddings."""
    vectors = Embeddings(["a"], np.ones((1, 24), np.float32), model=model.checksum)
    save_embeddings(tmp_path / "run" / "embeddings.npz", vectors)
    path = tmp_path / "run" / "results.json"
    path.write_text(json.dumps({"test_trials.txt": FIGURES, "all pairs": UNBOUNDED}))
    return path


def run(*arguments):
    """Run the command; an error that a user can cause is raised."""
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.stderr


def test_the_card_says_what_trained_it(model):
    card = model_card(model)
    assert "Recipe `text_teacher.yaml`, commit `0f3a`" in card
    assert "taught by: text." in card
    assert "| seed | 1 |" in card
    assert "noise_folder" not in card
    assert "torch.nn" not in card
    assert "| torch | 2.11.0 |" in card
    assert f"| Parameters | {sum(p.numel() for p in model.encoder.student.parameters()):,} |" in card
    assert model.checksum in card
    assert "## Limits" in card
    assert "None were given" in card
    assert "library_name" not in card


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            ["face/targets.safetensors", "text/targets.safetensors", "text/head.safetensors"],
            "by: face, text.",
        ),
        (["teachers/face/targets.safetensors", "teachers/face/head.safetensors"], "by: face."),
        (["manifests/train.csv"], "names no teacher"),
    ],
)
def test_the_card_names_teachers_of_the_run_and_shared_ones(model, files, said):
    provenance = {**model.description["provenance"], "checksums": dict.fromkeys(files, "ab" * 32)}
    assert said in model_card(SpeakerModel(model.encoder, {**model.description, "provenance": provenance}))


def test_a_card_of_a_model_without_a_record(model):
    unknown = SpeakerModel(model.encoder, {**model.description, "provenance": {}})
    assert "Not recorded with the model." in model_card(unknown)


def test_the_card_has_figures_with_their_intervals(folder, results, tmp_path):
    run(folder, "--to", "card", "--out", tmp_path / "README.md", "--results", results, "--license", "mit")
    card = (tmp_path / "README.md").read_text()
    row = "| test_trials.txt | 15,000 | 30,000 | 96 | 7.07% (6.08% to 8.06%) | 0.729 (0.622 to 0.817) |"
    assert row in card
    assert "| all pairs | 15,000 | 30,000 | not counted | 7.07% | 0.729 |" in card
    assert "license: mit" in card
    assert str(tmp_path) not in card
    assert not re.search(r"(?<![\w/])/(?:[\w.-]+/)+", card), "an absolute path"


def test_results_of_another_model_are_refused(model, results):
    save_embeddings(
        results.parent / "embeddings.npz", Embeddings(["a"], np.ones((1, 24), np.float32), model="beef")
    )
    assert refused(lambda: load_results(results, model), "results of another model", "found beef")


@pytest.mark.parametrize("text", ["{", "[1]", '{"list": {"eer": 0.1}}', '{"list": 3}'])
def test_what_is_no_results_is_refused(model, results, text):
    results.write_text(text)
    with pytest.raises(DataError, match="not the results of a run"):
        load_results(results, model)


@pytest.mark.parametrize("licence", ["apache-2.0", "no", "1.0", "my licence: see below", "a\nb", "#1"])
def test_the_front_matter_is_yaml_whatever_the_licence(model, licence):
    _, front, rest = model_card(model, licence=licence).split("---\n", maxsplit=2)
    assert yaml.safe_load(front)["license"] == licence
    assert "speaker-verification" in yaml.safe_load(front)["tags"]
    assert rest.startswith("\n# Speaker embeddings: xvector")


def test_a_card_replaces_neither_a_folder_nor_the_model(folder, model, tmp_path):
    (tmp_path / "README.md").mkdir()
    assert refused(lambda: write_card(model, tmp_path / "README.md"), "not a file that can be replaced")
    before = (folder / "model.json").read_bytes()
    assert refused(lambda: write_card(model, folder / "model.json"), "ends in .md")
    assert (folder / "model.json").read_bytes() == before


def test_kaldis_folder_is_sorted_by_bytes(tmp_path):
    """In bytes, 'B' (42) is before 'a' (61) and 'é' (c3 a9) after 'z' (7a)."""
    place = tmp_path / "of mine" / "k"
    ids = ["é-1", "z-1", "a-2", "B-1", "a-1"]
    vectors = np.arange(15, dtype=np.float32).reshape(5, 3)
    speakers = {"é-1": "é", "z-1": "z", "a-2": "a", "a-1": "a", "B-1": "B", "unused": "u"}
    assert export_kaldi(Embeddings(ids, vectors), speakers, place) == 4
    assert (place / "utt2spk").read_text() == "B-1 B\na-1 a\na-2 a\nz-1 z\né-1 é\n"
    assert (place / "spk2utt").read_text() == "B B-1\na a-1 a-2\nz z-1\né é-1\n"
    rows = [line.split(" ", 1) for line in (place / "xvector.scp").read_text().splitlines()]
    assert [name for name, _ in rows] == ["B-1", "a-1", "a-2", "z-1", "é-1"]
    assert all(where.startswith(f"{place}/xvector.ark:") for _, where in rows)
    import kaldiio

    found = kaldiio.load_scp(str(place / "xvector.scp"))
    assert all(np.array_equal(found[name], vector) for name, vector in zip(ids, vectors, strict=True))


def test_kaldis_folder_takes_the_place_of_no_other(tmp_path):
    """Kaldi's data folders hold an utt2spk of their own, and an earlier export is whole or gone."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "utt2spk").write_text("precious\n")
    embeddings = Embeddings(["a"], np.ones((1, 2), np.float32))
    assert refused(lambda: export_kaldi(embeddings, {"a": "x"}, tmp_path / "data"), "this name is taken")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["utt2spk"]
    assert (tmp_path / "data" / "utt2spk").read_text() == "precious\n"


def test_kaldis_folder_is_there_as_a_whole(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kaldi_export, "_write_lines", full)
    embeddings = Embeddings(["a"], np.ones((1, 2), np.float32))
    assert refused(
        lambda: export_kaldi(embeddings, {"a": "x"}, tmp_path / "k"),
        "k: the folder cannot be written",
        "No space",
    )
    assert list(tmp_path.iterdir()) == []


def test_kaldi_needs_a_speaker_for_every_embedding(tmp_path):
    embeddings = Embeddings(["a", "b", "c"], np.ones((3, 2), np.float32))
    with pytest.raises(DataErrors, match="2 of 3 embeddings") as caught:
        export_kaldi(embeddings, {"a": "x"}, tmp_path / "k")
    assert "'b' has no speaker" in str(caught.value)
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize(
    ("ids", "speaker"), [(["a b"], "x"), (["a"], "x y"), (["a", "a"], "x"), (["\ud800"], "x")]
)
def test_kaldi_takes_only_single_words_once(tmp_path, ids, speaker):
    embeddings = Embeddings(ids, np.ones((len(ids), 2), np.float32))
    with pytest.raises(DataError):
        export_kaldi(embeddings, dict.fromkeys(ids, speaker), tmp_path / "k")
    assert not (tmp_path / "k").exists()


def test_an_option_of_another_target_is_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="--to onnx does not take --license"):
        run(folder, "--to", "onnx", "--out", tmp_path / "m.onnx", "--license", "mit")
    with pytest.raises(UsageError, match="--to card does not take --features"):
        run(folder, "--to", "card", "--out", tmp_path / "m.md", "--features")
    with pytest.raises(UsageError, match="--to kaldi needs --speakers"):
        run(folder, "--to", "kaldi", "--out", tmp_path / "k")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_the_largest_difference_and_what_is_not_exported(folder, tmp_path):
    said = run(folder, "--to", "speechbrain", "--out", tmp_path / "sb")
    assert "not exported" not in said
    calibrated = shutil.copytree(folder, tmp_path / "calibrated")
    (calibrated / "calibration.json").write_text("{}")
    warned = run(calibrated, "--to", "speechbrain", "--out", tmp_path / "again")
    assert (
        f"calibration.json of {calibrated} not exported: other programs compare by the plain cosine" in warned
    )
    assert re.search(r"sb: SpeechBrain [\d.]+: largest difference \d\.\de-\d\d \(0.1 s .*, 20 s .*\)", said)


def test_a_model_that_was_never_saved_has_no_card(model):
    assert refused(lambda: model_card(SpeakerModel(model.encoder)), "once it was saved")
