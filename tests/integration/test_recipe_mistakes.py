"""Misspelled keys, wrong options and values: found before anything is built, and named."""

import shutil

import pytest

from cmd_speaker.errors import DataError
from cmd_speaker.manifest import Manifest
from cmd_speaker.training.options import read_options
from cmd_speaker.training.recipe import open_recipe
from cmd_speaker.training.teachers import prepare_teachers
from tests.training import HPARAMS, OWN_KEYS, ROOT


def test_a_misspelled_key_is_named_with_its_line(cli, tmp_path):
    recipe = tmp_path / "recipe"
    shutil.copytree(ROOT / "recipes" / "SpeechOcean762", recipe)
    path = recipe / "hparams" / "text_teacher.yaml"
    path.write_text(path.read_text().replace("batch_size: 64", "bacth_size: 64"))
    row = path.read_text().splitlines().index("bacth_size: 64") + 1
    code, _, err = cli("train", path, "--data_folder", tmp_path)
    assert code == 3
    assert f"text_teacher.yaml, row {row}: unknown key 'bacth_size'; did you mean 'batch_size'?" in err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    width: !ref <width>", "    wdith: !ref <width>", "wdith"),
        ("students.ecapa.EcapaTdnn", "students.ecapa.EcapaTdn", "EcapaTdn"),
        ("    scale: 30.0", "    scal: 30.0", "scal"),
        ("margin: !ref <margin>", "margn: !ref <margin>", "no argument 'margn'; did you mean 'margin'?"),
        ("    feature: {", "    feture: {", "no distillation loss 'feture'; did you mean 'feature'?"),
        (
            "distance: l2}",
            "distance: l1}",
            "term 'feature': distance: expected one of l2, squared_l2, cosine",
        ),
        ("scale: 10}", "scale: 0}", "term 'teacher_classifier': scale: expected a number above 0, found 0"),
        ("!apply:cmd_speaker.features", "!aply:cmd_speaker.features", "!aply"),
        ("rebuild_bank: False", "rebuild_bank: False\nmargi: 2.0", "did you mean 'margin'"),
        ("seed: 1\n", "seed: 1\nseed: 2\n", "stands twice"),
        ("permute_teacher: False", "", "permute_teacher"),
        ("validation_speakers: 20", "", "validation_speakers"),
        ("validation_speakers: 20", "valdation_speakers: 20", "did you mean 'validation_speakers'"),
        ("weight: !ref <classifier_weight>", "weight: !ref <classifier_weight> - 1", "at least 0, or points"),
        ("teachers:\n", "teacher:\n", "did you mean 'teachers'"),
        (
            "text: !apply:cmd_speaker.training",
            "txt: !apply:cmd_speaker.training",
            "distillation: expected text, vectors, found txt, vectors",
        ),
        (
            "text: !apply:cmd_speaker.teachers",
            "te.xt: !apply:cmd_speaker.teachers",
            "distillation: expected te.xt, vectors, found text, vectors",
        ),
        (
            "!apply:cmd_speaker.teachers.text.text_teacher",
            "!new:collections.Counter",
            "teachers: expected a teacher",
        ),
        ("    peak: !ref <peak_lr>", "    peak: !ref <peak_rl>", "peak_lr"),
        ("seed: 1\n", "seed: [1\n", "row"),
    ],
)
def test_other_mistakes_in_a_yaml(cli, tmp_path, old, new, message):
    recipe = tmp_path / "recipe"
    shutil.copytree(ROOT / "recipes" / "SpeechOcean762", recipe)
    path = recipe / "hparams" / "text_teacher.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    code, _, err = cli("train", path, "--data_folder", tmp_path, "--output_folder", tmp_path / "run")
    assert code == 3
    assert "text_teacher.yaml" in err
    assert message in err


def test_a_recipe_needs_only_what_it_uses(tmp_path):
    """Without teachers no key of theirs, without a corpus on disk no data_folder; a train.py names its own."""
    text = HPARAMS.read_text()
    text = text[: text.index("# Teacher (stage 1)")].replace("!PLACEHOLDER", "voices")
    text = text.replace("data_folder: ", "corpus: ").replace("validation_speakers: ", "speakers: ")
    own = ("corpus", "prepared", "speakers", "training_speakers", "utterances_per_speaker", "test")
    path = tmp_path / "own.yaml"
    path.write_text(text)
    recipe = open_recipe([str(path), "--output_folder", str(tmp_path / "run")], own_keys=own)
    assert (recipe.hparams["corpus"], recipe.hparams["speakers"]) == ("voices", 20)
    assert prepare_teachers(recipe, Manifest(path, [])) == []
    with pytest.raises(DataError, match="unknown key 'corpus'"):
        open_recipe([str(path), "--output_folder", str(tmp_path / "run2")], own_keys={"speakers"})


@pytest.mark.parametrize("name", ["te.xt", "keys", "a/b", "2"])
def test_names_that_a_teacher_cannot_have(tmp_path, name):
    path = tmp_path / "x.yaml"
    path.write_text(HPARAMS.read_text().replace("    text: !", f"    {name}: !"))
    options = ["--data_folder", str(tmp_path), "--output_folder", str(tmp_path / "run")]
    with pytest.raises(DataError, match=f"names like 'text' or 'face', found '{name}'"):
        open_recipe([str(path), *options], OWN_KEYS)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", "abc"),
        ("batch_size", 1),
        ("number_of_epochs", 0),
        ("crop_seconds", -1),
        ("seed", 1.5),
        ("optimizer", "abc"),
        ("lr_schedule", 5),
        ("front_end", "foo"),
        ("train_logger", "null"),
        ("margin", "wide"),
        ("margin", -1),
        ("margin", "[[0.5, 1], [0.2, 1]]"),
        ("margin", "[[0, 1, 2]]"),
        ("margin", "[]"),
        ("feature_weight", -1),
        ("feature_weight", "auto"),
        ("identity_margin", "[[0, -0.1], [1, 0.2]]"),
        ("batch_size", "[64]"),
        ("permute_teacher", "maybe"),
        ("validation_speakers", 2.5),
        ("embedding_size", 0),
        ("width", -3),
        ("device", "cuda:93"),
        ("noprogressbar", "perhaps"),
        ("dev", "cpu"),
        ("prec", "bf16"),
        ("distributed_launch", "True"),
        ("data_parallel_count", 2),
    ],
)
def test_bad_values(cli, tmp_path, option, value):
    path = ROOT / "recipes" / "SpeechOcean762" / "hparams" / "text_teacher.yaml"
    run = tmp_path / "run"
    code, _, err = cli("train", path, "--data_folder", tmp_path, "--output_folder", run, f"--{option}", value)
    assert code in (2, 3)
    assert option in err
    assert not run.exists()


def test_words_that_belong_to_no_option(cli, tmp_path):
    path = ROOT / "recipes" / "SpeechOcean762" / "hparams" / "text_teacher.yaml"
    code, _, err = cli("train", path, "margin", "3")
    assert code == 2
    assert "'margin' belongs to no option" in err


@pytest.mark.parametrize(
    ("text", "value"),
    [("no", False), ("True", True), ("1e-3", 0.001), ("7", 7), ("a #b=c: d", "a #b=c: d"), ("", None),
     ("{a: 1}", {"a": 1}), ("[[0, 1e-3], ['7', no]]", [[0, 0.001], ["7", False]]), ("2026-11-21", "2026-11-21")],
)  # fmt: skip
def test_values_arrive_as_they_were_typed(tmp_path, text, value):
    (tmp_path / "x.yaml").write_text("key: null\n")
    overrides = read_options(tmp_path / "x.yaml", ["--key", text])[1]
    assert overrides == {"key": value}
    assert type(overrides["key"]) is type(value)


def test_what_the_system_refuses(cli, tmp_path):
    path = ROOT / "recipes" / "SpeechOcean762" / "hparams" / "text_teacher.yaml"
    (tmp_path / "file").touch()
    code, _, err = cli("train", path, "--data_folder", tmp_path, "--output_folder", tmp_path / "file")
    assert code == 3
    assert "file" in err


def test_a_wrong_data_folder(cli, tmp_path):
    path = ROOT / "recipes" / "SpeechOcean762" / "hparams" / "text_teacher.yaml"
    code, _, err = cli("train", path, "--data_folder", tmp_path, "--output_folder", tmp_path / "run")
    assert code == 3
    assert "wav.scp" in err
    code, _, err = cli("train", path, "--output_folder", tmp_path / "run2")
    assert code == 3
    assert "--data_folder" in err


def test_a_yaml_without_recipe(cli, tmp_path):
    (tmp_path / "x.yaml").write_text("seed: 1\n")
    code, _, err = cli("train", tmp_path / "x.yaml")
    assert code == 3
    assert "train.py" in err
