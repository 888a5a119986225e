"""Several test lists and enrolment maps: what each needs of the test manifest, and what evaluation writes."""

import json

import numpy as np
import pytest
import soundfile
import torch

from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.errors import DataErrors
from cmd_speaker.features import KaldiFbank
from cmd_speaker.lists.scores import load_scores
from cmd_speaker.manifest import load_manifest, write_manifest
from cmd_speaker.model import SpeakerModel
from cmd_speaker.results import EvaluationList, check_lists, evaluate_student, listed_and_all_pairs
from cmd_speaker.students import build_student

SPEAKERS = ("a", "b", "c")


@pytest.fixture
def part(tmp_path):
    """Three speakers, three utterances each: noise of half a second."""
    rows = []
    for index in range(9):
        name, speaker = f"{SPEAKERS[index // 3]}{index % 3}", SPEAKERS[index // 3]
        samples = 0.1 * np.random.default_rng(index).standard_normal(8000)
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        rows.append((name, 0.5, tmp_path / f"{name}.wav", 0, 8000, speaker))
    write_manifest(tmp_path / "test.csv", (), rows)
    return load_manifest(tmp_path / "test.csv")


def written(folder, name, *lines):
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def lists(tmp_path):
    pairs = written(tmp_path, "pairs.txt", "1 a0 a1", "0 a0 b1", "1 b0 b1", "0 c0 a2")
    models = written(tmp_path, "models.txt", "ma a2 1", "ma b2 0", "mb b2 1", "mb c2 0")
    enrol_map = written(tmp_path, "enrol.map", "ma a0 a1", "mb b0 b1")
    return [
        EvaluationList("Pairs", pairs),
        EvaluationList("Models", models, enrol_map),
        EvaluationList("all pairs"),
    ]


def test_every_list_has_figures_and_scores_of_its_own(part, lists, tmp_path):
    torch.manual_seed(0)
    encoder = SpeakerEncoder(KaldiFbank(), build_student("ecapa_tdnn", width=8, embedding_size=12))
    model = SpeakerModel(encoder)
    model.save(tmp_path / "model")
    check_lists(part, lists)
    table = evaluate_student(model, part, lists, tmp_path / "run")
    assert [line.split("  ")[0] for line in table.splitlines()] == ["Pairs", "Models", "all pairs"]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {name: (row["targets"], row["nontargets"]) for name, row in results.items()} == {
        "Pairs": (2, 2), "Models": (2, 2), "all pairs": (9, 27)
    }  # fmt: skip
    stored = load_embeddings(tmp_path / "run" / "embeddings.npz")
    unit = {name: v / np.linalg.norm(v) for name, v in zip(stored.ids, stored.vectors, strict=True)}
    mean = unit["a0"] + unit["a1"]
    scores = load_scores(tmp_path / "run" / "scores.txt")
    assert scores.scores[1] == pytest.approx(unit["a0"] @ unit["b1"], abs=1e-6)
    scores = load_scores(tmp_path / "run" / "scores_models.txt")
    assert scores.scores[1] == pytest.approx(mean @ unit["b2"] / np.linalg.norm(mean), abs=1e-6)


def test_a_models_speaker_is_that_of_its_utterances(part, lists):
    assert lists[1].speakers(part).items() >= {"ma": "a", "mb": "b", "c2": "c"}.items()
    assert "ma" not in lists[0].speakers(part)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("enrol.map", "ma a0 b1\nmb b0", r"(?s)1 of 2 models.*the speaker of the model 'ma'.*a0 \(a\), b1 \(b\)"),
        ("enrol.map", "ma a0 z9\nmb b0", r"(?s)speaker of the model 'ma'.*z9 \(not there\)"),
        ("models.txt", "1 ma a2\n1 ma b2", r"(?s)label of 'ma b2' contradicts the speakers"),
        ("pairs.txt", "1 a0 a9\n0 a0 b1", r"(?s)the speaker of 'a9' is not known"),
    ],
)  # fmt: skip
def test_a_list_that_does_not_fit(part, lists, tmp_path, name, text, message):
    (tmp_path / name).write_text(text + "\n")
    with pytest.raises(DataErrors, match=message):
        check_lists(part, lists)


def test_one_list_and_all_pairs(lists):
    assert listed_and_all_pairs(lists[0].trials) == [
        EvaluationList("pairs.txt", lists[0].trials), EvaluationList("all pairs")
    ]  # fmt: skip
