"""The runs of a study: each once, failures beside successes, one call in a folder at a time."""

import json

import pytest

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import locked
from cmd_speaker.study import analysis
from cmd_speaker.study.reader import load_study
from cmd_speaker.study.runner import failures_error
from cmd_speaker.study.study import conduct
from tests.studies import SIMPLE, calls

NAMES = ("none", "feature_margin=0", "feature_margin=0.8")
ALL = {f"runs/{name}_all_data_{seed}" for name in NAMES for seed in (1, 2)}


@pytest.fixture(autouse=True)
def few_replicates(monkeypatch):
    """Intervals are not what these tests are about."""
    monkeypatch.setattr(analysis, "REPLICATES", 20)


@pytest.fixture
def run(write_study, tmp_path):
    """`run(text, *arguments) -> (outcome, folder)`."""

    def conducted(text, *arguments, jobs=3):
        study = load_study(write_study(text), arguments)
        return conduct(study, tmp_path / "out", jobs).findings.outcome, tmp_path / "out"

    return conducted


def test_each_run_is_done_once(run):
    outcome, out = run(SIMPLE)
    assert (set(calls(out)), len(calls(out))) == (ALL, 6)
    assert not outcome.failures
    outcome, out = run(SIMPLE, "--data_folder", "elsewhere")
    assert len(calls(out)) == 6
    assert len(outcome.final) == 6


def test_what_is_added_is_run_alone(run):
    run(SIMPLE)
    _, out = run(SIMPLE.replace("seeds: [1, 2]", "seeds: [1, 2, 3]") + "    other: {gain: 1}\n")
    added = [f"runs/other_all_data_{seed}" for seed in (1, 2, 3)] + [
        f"runs/{name}_all_data_3" for name in NAMES
    ]
    assert sorted(calls(out)[6:]) == sorted(added)


def test_changed_values_are_refused_before_anything_runs(run):
    _, out = run(SIMPLE)
    with pytest.raises(DataErrors) as caught:
        run(SIMPLE.replace("weight: 20", "weight: 30") + "    other: {gain: 1}\n")
    assert caught.value.count == 4  # two margins with two seeds
    assert "'weight': 20" in str(caught.value)
    assert "'weight': 30" in str(caught.value)
    assert len(calls(out)) == 6


def test_the_record_says_how_to_repeat_a_run_without_folders_of_this_machine(run, tmp_path):
    _, out = run(SIMPLE, "--data_folder", str(tmp_path / "corpus"))
    text = (out / "runs" / "feature_margin=0.8_all_data_2.json").read_text()
    record = json.loads(text)
    assert record["state"] == "finished"
    assert record["command"].startswith("cmd-speaker train recipe/hparams/fake.yaml ")
    assert "--seed 2 --output_folder runs/feature_margin=0.8_all_data_2" in record["command"]
    assert " --data_folder corpus " in record["command"]
    assert str(tmp_path) not in text + (out / "results.json").read_text()


def test_a_failed_run_does_not_stop_the_others(run):
    text = SIMPLE + "    broken: {fail: True}\n"
    outcome, out = run(text)
    assert [failure.run.configuration.name for failure in outcome.failures] == ["broken", "broken"]
    assert len(outcome.final) == 6
    error = failures_error(outcome.failures, 8)
    assert error.exit_code == 3
    assert "2 of 8 runs failed" in str(error)
    assert "the cause of the failure" in str(error)
    assert "broken, all data, seed 1 failed with exit code 3" in (out / "results.md").read_text()
    # Tried again, and only those.
    script = out.parent / "recipe" / "train.py"
    script.write_text(script.read_text().replace("    sys.exit(3)\n", ""))
    outcome, out = run(text)
    assert not outcome.failures
    assert sorted(calls(out)[8:]) == ["runs/broken_all_data_1", "runs/broken_all_data_2"]


def test_a_failed_run_is_tried_again_with_its_mistake_corrected(run):
    run(SIMPLE + "    broken: {fail: True}\n")
    outcome, out = run(SIMPLE + "    broken: {fail: False}\n")
    assert not outcome.failures
    assert sorted(calls(out)[8:]) == ["runs/broken_all_data_1", "runs/broken_all_data_2"]


def test_what_the_recipe_cannot_be_is_named_before_anything_runs(run, tmp_path):
    impossible = "    wide: {terms: {feature: {distance: cosine, margin: [[1, 0], [0, 1]]}}}\n"
    with pytest.raises(DataErrors) as caught:
        run(SIMPLE.replace("{feature: {weight: 20}}", "{feature: {weight: 20, distance: l9}}") + impossible)
    assert caught.value.count == 2
    first, second = map(str, caught.value.errors)
    assert "feature margin=0, all data; feature margin=0.8, all data: " in first
    assert "distance: expected one of l2, squared_l2, cosine, found 'l9'" in first
    assert "wide, all data: " in second
    assert "with rising shares" in second
    assert not calls(tmp_path / "out")


def test_results_of_others_are_not_overwritten(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text("mine")
    with pytest.raises(DataError, match=r"no study made there.*results\.json"):
        run(SIMPLE)
    assert (tmp_path / "out" / "results.json").read_text() == "mine"


def test_a_configuration_without_all_seeds_is_not_compared(run, tmp_path):
    _, out = run(SIMPLE)
    (out / "runs" / "feature_margin=0_all_data_1.json").unlink()
    script = tmp_path / "recipe" / "train.py"
    script.write_text("raise SystemExit(1)")
    _, out = run(SIMPLE)
    results = json.loads((out / "results.json").read_text())
    assert [line["configuration"] for line in results["compared"]["all data"]] == [
        "none",
        "feature margin=0.8",
    ]
    assert results["incomplete"] == {"all data": ["feature margin=0"]}


def test_a_second_call_in_one_folder_is_refused(run, tmp_path):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(DataError, match="another study is running"):
        run(SIMPLE)
    assert not calls(tmp_path / "out")


def test_a_damaged_record_is_named(run):
    _, out = run(SIMPLE)
    path = out / "runs" / "none_all_data_1.json"
    path.write_text("{")
    with pytest.raises(DataError, match="record of this run is damaged"):
        run(SIMPLE)


def test_screening_never_meets_the_test_list(run):
    text = SIMPLE + "    other: {gain: 1}\nscreen: {seeds: [5]}\nfinal: {best: 1}\ncontrols: chosen\n"
    outcome, out = run(text)
    assert not list((out / "screening").rglob("scores.txt"))
    assert len(outcome.screened) == 4
    # Validation EERs of the recipe that trains nothing: 0.07 with gain 1, 0.17 otherwise.
    assert outcome.chosen == {"all data": ["other"]}
    names = ["none", "other", "other_(control)"]
    assert sorted(calls(out)[4:]) == sorted(
        f"runs/{name.replace('(', '').replace(')', '')}_all_data_{seed}" for name in names for seed in (1, 2)
    )


def test_equal_validation_is_chosen_by_name(run):
    outcome, _ = run(SIMPLE + "    a: {sleep: 0.05}\nscreen: {}\nfinal: {best: 2}\n")
    assert outcome.chosen == {"all data": ["a", "feature margin=0"]}


def test_a_control_without_what_it_controls_is_not_compared(run, tmp_path):
    text = SIMPLE + "controls: [feature]\n"
    _, out = run(text)
    for seed in (1, 2):
        (out / "runs" / f"feature_margin=0_all_data_{seed}.json").unlink()
    (tmp_path / "recipe" / "train.py").write_text("raise SystemExit(1)")
    _, out = run(text)
    lines = json.loads((out / "results.json").read_text())["compared"]["all data"]
    assert [line["configuration"] for line in lines] == ["none", "feature margin=0.8"]
    assert lines[1]["control"]


def test_a_file_that_a_value_names_is_part_of_a_run(run, tmp_path):
    """Under the same name other vectors, say, would be mixed with those of the finished runs."""
    (tmp_path / "vectors.csv").write_text("1")
    text = SIMPLE + f"set: {{vectors: {tmp_path / 'vectors.csv'}}}\n"
    run(text)
    _, out = run(text)
    assert len(calls(out)) == 6
    (tmp_path / "vectors.csv").write_text("2")
    with pytest.raises(
        DataErrors, match=r"vectors: SHA-256 6b86b273ff34.*\n?.*vectors: SHA-256 d4735e3a265e"
    ) as caught:
        run(text.replace("seeds: [1, 2]", "seeds: [1, 2, 3]"))
    assert caught.value.count == 6
    assert len(calls(out)) == 6


def test_what_changed_between_two_calls_is_said(run, tmp_path):
    _, out = run(SIMPLE)
    assert "was changed after" not in (out / "results.md").read_text()
    recipe, script = tmp_path / "recipe" / "hparams" / "fake.yaml", tmp_path / "recipe" / "train.py"
    recipe.write_text(recipe.read_text().replace("number_of_epochs: 3", "number_of_epochs: 4"))
    script.write_text(
        script.read_text().replace('{"manifests/test.csv": "1"}', '{"manifests/test.csv": "2"}')
    )
    run(SIMPLE + "    other: {gain: 1}\n")
    text = (out / "results.md").read_text()
    assert "fake.yaml was changed after 6 of 8 runs" in text
    assert "all data: not all runs had the same manifests/test.csv" in text


def test_what_met_the_test_list_before_another_choice_is_listed(run):
    screened = "screen: {}\nfinal: {best: 1}\n"
    run(SIMPLE + screened)
    outcome, out = run(SIMPLE + "    better: {gain: 1}\n" + screened)
    assert outcome.chosen == {"all data": ["better"]}
    assert outcome.others == [f"feature margin=0, all data, seed {seed}" for seed in (1, 2)]
    assert (
        "2 runs met the test list too, but are not among the final ones any more"
        in (out / "results.md").read_text()
    )


def test_a_value_that_names_another_folder_is_refused_in_words_without_folders(run, tmp_path):
    run(SIMPLE + "set: {vectors: /one/vectors.npz}\n")
    with pytest.raises(DataErrors, match=r"found fake\.yaml, values that name other folders") as caught:
        run(SIMPLE + "set: {vectors: /other/vectors.npz}\n")
    assert caught.value.count == 6
