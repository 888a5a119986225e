"""STUDY.yaml: what it expands to, and what is wrong with it."""

import pytest

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.study.plan import Command, final_runs, screening_runs
from cmd_speaker.study.reader import load_study
from tests.studies import SIMPLE

SCREENED = (
    SIMPLE
    + """
    other: {gain: 1, terms: {feature: {distance: cosine}}}
conditions: {all: {}, five each: {utterances_per_speaker: 5}}
controls: chosen
screen: {seeds: [7], set: {number_of_epochs: 1}}
final: {best: 1, always: [other], set: {number_of_epochs: 9}}
set: {number_of_epochs: 4, terms: {feature: {distance: squared_l2}}}
noise: [10, 0]
"""
)


def test_a_grid_becomes_named_configurations(write_study):
    study = load_study(write_study(SIMPLE))
    assert list(study.configurations) == ["none", "feature margin=0", "feature margin=0.8"]
    soft = study.configurations["feature margin=0.8"]
    assert soft.values == {"terms": {"feature": {"weight": 20, "margin": 0.8}}}
    assert (soft.family, soft.varied) == ("feature", {"terms.feature.margin": 0.8})


def test_two_grid_keys_of_one_last_part_are_written_out(write_study):
    text = SIMPLE.replace(
        "{terms.feature.margin: [0, 0.8]}", "{terms.feature.weight: [1], terms.feature.margin: [auto]}"
    )
    assert "feature weight=1 margin=auto" in load_study(write_study(text)).configurations
    twice = text.replace("terms.feature.margin: [auto]", "terms.other.weight: [2]")
    path = write_study(twice)
    recipe = path.parent / "recipe" / "hparams" / "fake.yaml"
    recipe.write_text(recipe.read_text().replace("terms:\n", "terms:\n    other: {weight: 0}\n"))
    names = list(load_study(path).configurations)
    assert names[-1] == "feature terms.feature.weight=1 terms.other.weight=2"


def test_runs_of_every_stage_have_their_values(write_study):
    study = load_study(write_study(SCREENED))
    screening = screening_runs(study)
    assert len(screening) == 4 * 2  # four configurations in two conditions with one seed
    first = screening[0]
    assert first.values == {
        "number_of_epochs": 1, "terms": {"feature": {"distance": "squared_l2"}}, "gain": 0, "seed": 7,
        "test": False,
    }  # fmt: skip
    chosen = {"all": ["feature margin=0"], "five each": ["feature margin=0.8"]}
    final = final_runs(study, chosen)
    names = [run.configuration.name for run in final if run.seed == 1 and run.condition == "five each"]
    assert names == ["none", "other", "feature margin=0.8", "feature margin=0.8 (control)"]
    control = next(run for run in final if run.label == "feature margin=0.8 (control), five each, seed 2")
    assert control.values == {
        "number_of_epochs": 9, "utterances_per_speaker": 5, "permute_teacher": True, "seed": 2,
        "terms": {"feature": {"distance": "squared_l2", "weight": 20, "margin": 0.8}},
    }  # fmt: skip


def test_controls_by_name_or_family(write_study):
    study = load_study(write_study(SIMPLE + "controls: [feature]\n"))
    names = {run.configuration.name for run in final_runs(study, {"all data": list(study.configurations)})}
    assert {name for name in names if "control" in name} == {
        "feature margin=0 (control)", "feature margin=0.8 (control)"
    }  # fmt: skip


def test_teachers_are_shared_by_what_makes_them(write_study, tmp_path):
    study = load_study(write_study(SCREENED))
    command = Command(study, tmp_path / "out")

    def place(run, key):
        line = command.arguments(run)
        return line[line.index(f"--{key}") + 1]

    margins = ["feature margin=0", "feature margin=0.8"]
    final = final_runs(study, {name: margins for name in study.conditions})
    found = {}
    for run in final:
        found.setdefault((run.configuration.family, run.condition, run.seed), set()).add(
            place(run, "teacher_folder")
        )
    # Two margins and their controls have the same teachers; other data, other seeds and another gain others.
    assert {len(places) for places in found.values()} == {1}
    assert len(set().union(*found.values())) == len(found) == 3 * 2 * 2
    assert len({place(run, "cache_folder") for run in final}) == 1
    # The recipe's corpus lies where it lies, so that the study leaves it alone.
    assert "--data_folder" not in command.arguments(final[0])


def test_the_command_line_wins_over_set_but_not_over_what_varies(write_study):
    path = write_study(SCREENED)
    study = load_study(path, ["--number_of_epochs", "2", "--device", "cuda"])
    runs = [*screening_runs(study), *final_runs(study, {name: [] for name in study.conditions})]
    assert {run.values["number_of_epochs"] for run in runs} == {2}
    assert runs[0].values["device"] == "cuda"
    with pytest.raises(UsageError, match="--gain: the study varies this key itself"):
        load_study(path, ["--gain", "1"])
    for words in (["--seed=3"], ["--seed", "3"], ["--test=False"]):
        with pytest.raises(UsageError, match="set by the study itself"):
            load_study(path, words)


def test_places_do_not_change_the_fingerprint_and_values_do(write_study):
    path = write_study(SIMPLE)
    chosen = {"all data": ["feature margin=0"]}

    def fingerprint(*arguments):
        study = load_study(path, arguments)
        return final_runs(study, chosen)[1].fingerprint(study.recipe)

    assert fingerprint() == fingerprint("--data_folder", "elsewhere", "--device", "cuda")
    assert fingerprint() != fingerprint("--number_of_epochs", "2")


@pytest.mark.parametrize(
    ("before", "after", "row", "said"),
    [
        ("seeds: [1, 2]", "seeds: [1, 1]", 3, "different whole numbers"),
        ("seeds: [1, 2]", "seed: [1]", 3, "unknown key; did you mean 'seeds'?"),
        ("baseline: none", "baseline: nun", 4, "no such configuration"),
        ("{gain: 0}", "{gian: 0}", 6, "no such key; did you mean 'gain'?"),
        ("{gain: 0}", "{gain: much}", 6, "expected a number, found 'much'"),
        ("{gain: 0}", "{seed: 3}", 6, "set by the study itself"),
        ("{gain: 0}", "{gain: 0, gain: 1}", 6, "stands twice"),
        ("{gain: 0}", "{gain: !ref <seed>}", 6, "not a plain value"),
        ("{feature: {weight: 20}}", "{feature: {weigth: 20}}", 8, "did you mean 'weight'?"),
        ("terms.feature.margin: [0, 0.8]", "terms.feature.margn: [0, 0.8]", 9, "did you mean 'margin'?"),
        ("[0, 0.8]", "0.8", 9, "not a list"),
        ("[0, 0.8]", "[0.8, 0.8]", 9, "a value stands twice"),
        ("recipe/hparams/fake.yaml", "recipe/hparams/other.yaml", 2, "no recipe there"),
        ("seeds: [1, 2]", "pairs: [[none, nun]]", 3, "no such configuration"),
        ("seeds: [1, 2]", "pairs: [[none, none]]", 3, "not a pair"),
        ("seeds: [1, 2]", "pairs: [[none]]", 3, "not a pair"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(write_study, before, after, row, said):
    assert before in SIMPLE
    with pytest.raises(DataError) as caught:
        load_study(write_study(SIMPLE.replace(before, after)))
    assert caught.value.row == row
    assert said in str(caught.value)


def test_folders_that_would_be_shared_are_refused(write_study):
    with pytest.raises(DataError, match="would share a folder"):
        load_study(write_study(SIMPLE + "    feature_margin=0: {gain: 2}\n"))


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ("{a b: {}, a_b: {}}", "two conditions would share a folder"),
        ("{b c: {}, c: {}}", "none, b c and none b, c"),  # both none_b_c
        ("{'***': {}}", "bad name of a condition"),
        ("{}", "no condition"),
    ],
)
def test_conditions_that_would_be_mixed_up_are_refused(write_study, conditions, said):
    text = SIMPLE + f"    none b: {{gain: 1}}\nconditions: {conditions}\n"
    with pytest.raises(DataError, match=said) as caught:
        load_study(write_study(text))
    assert caught.value.row == text.count("\n")


@pytest.mark.parametrize(
    ("added", "needed"), [("screen: {}\n", "test"), ("controls: [feature]\n", "permute_teacher")]
)
def test_a_recipe_that_cannot_is_refused(write_study, added, needed):
    path = write_study(SIMPLE + added)
    recipe = path.parent / "recipe" / "hparams" / "fake.yaml"
    lines = recipe.read_text().splitlines()
    recipe.write_text("\n".join(line for line in lines if not line.startswith(needed)))
    with pytest.raises(DataError, match=f"a key '{needed}'"):
        load_study(path)


def test_best_without_screening_is_refused(write_study):
    with pytest.raises(DataError, match="nothing is screened"):
        load_study(write_study(SIMPLE + "final: {best: 2}\n"))
