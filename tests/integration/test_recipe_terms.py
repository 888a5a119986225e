"""What the recipes ask of a student, and how the command line changes it; recipes are only opened."""

import pytest

from cmd_speaker.errors import DataError
from cmd_speaker.losses.registry import LOSSES
from cmd_speaker.training.recipe import open_recipe
from tests.training import HPARAMS, OWN_KEYS, ROOT

MINI = ROOT / "recipes" / "Mini" / "hparams" / "mini.yaml"
MINI_KEYS = {
    "data_folder", "students", "train", "test", "corpus_seed", "training_speakers", "validation_speakers",
    "test_speakers", "utterances_per_speaker",
}  # fmt: skip


@pytest.fixture
def terms(tmp_path):
    """`terms(path, *options) -> {teacher: {term: (weight, margin, own arguments)}}` at the start of a run."""

    def opened(path, *options):
        more = ["--data_folder", "x", "--output_folder", str(tmp_path / "run"), *options]
        recipe = open_recipe([str(path), *more], OWN_KEYS if path == HPARAMS else MINI_KEYS)
        return {
            teacher: {name: (*term.now(0.0), term.loss.keywords) for name, term in each.terms.items()}
            for teacher, each in recipe.hparams["distillation"].items()
        }

    return opened


def test_the_defaults(terms):
    feature = (2.0, 1.2, {"distance": "l2"})
    assert terms(HPARAMS) == {"text": {"feature": feature}, "vectors": {}}
    both = {"feature": (3.0, 1.2, {"distance": "l2"}), "teacher_classifier": (3.0, 0.0, {"scale": 10})}
    assert terms(MINI) == {"text": both, "face": both}


@pytest.mark.parametrize(("path", "more"), [(HPARAMS, ["--vector_teacher", "1"]), (MINI, [])])
def test_every_loss_can_be_switched_on(terms, path, more):
    on = ", ".join(f"{name}: {{weight: 1}}" for name in LOSSES)
    for found in terms(path, "--terms", f"{{{on}}}", *more).values():
        assert list(found) == list(LOSSES)


def test_a_mapping_on_the_command_line_is_merged(terms):
    changed = "{feature: {margin: [[0, 1.0], [1, 5e-1]]}, angle: {weight: 20, margin: 0.1, normalised: true}}"
    assert terms(HPARAMS, "--terms", changed)["text"] == {
        "feature": (2.0, 1.0, {"distance": "l2"}), "angle": (20.0, 0.1, {"normalised": True}),
    }  # fmt: skip


def test_margin_auto_and_schedules_as_options(terms):
    assert terms(HPARAMS, "--margin", "auto")["text"]["feature"][1] == "auto"
    assert terms(HPARAMS, "--margin", "[[0, 1.2], [1, 0.8]]")["text"]["feature"][1] == 1.2
    assert terms(HPARAMS, "--feature_weight", "[[0.5, 1e-3], [1, 2]]")["text"]["feature"][0] == 0.001


def test_teachers_with_terms_of_their_own(terms):
    found = terms(
        MINI, "--text_terms", "{feature: {weight: 0}, contrast: {weight: 2}}", "--face_teacher", "0"
    )
    assert list(found["text"]) == ["teacher_classifier", "contrast"]
    assert not found["face"]


def test_a_mistake_in_a_mapping_is_named(terms):
    with pytest.raises(DataError, match=r"no distillation loss 'angel'; did you mean 'angle'"):
        terms(HPARAMS, "--terms", "{angel: {weight: 1}}")
    with pytest.raises(DataError, match=r"bad value of 'feature_weight'.*at least 0, or points"):
        terms(HPARAMS, "--feature_weight", "[[1, 0], [0, 1]]")


@pytest.mark.parametrize("wrong", ["{feature: 3}", "null", "[feature]", "feature"])
def test_terms_that_are_no_mapping_of_mappings(terms, wrong):
    with pytest.raises(DataError, match=r"terms: expected \{LOSS"):
        terms(HPARAMS, "--terms", wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("nonsense", "expected {enabled: ...,"), ("{slop: 1}", "no argument 'slop'; did you mean 'slope'?")],
)
def test_a_mistake_in_the_quality_is_named(terms, wrong, said):
    with pytest.raises(DataError) as caught:
        terms(HPARAMS, "--quality", wrong)
    assert said in str(caught.value)
