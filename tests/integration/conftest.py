"""Training runs on the tiny corpus."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "SpeechOcean762"
HPARAMS = RECIPE / "hparams" / "text_teacher.yaml"
SMALL = {
    "width": 8, "embedding_size": 12, "batch_size": 4, "crop_seconds": 0.5, "number_of_epochs": 2,
    "validation_speakers": 2, "validation_interval": 1, "device": "cpu",
    "teacher": "{steps: 30, size: 16, layers: 1}",
}  # fmt: skip


def arguments(corpus, folder, **changes):
    """The command line of a small run, without the command."""
    options = {**SMALL, "data_folder": corpus, "output_folder": folder, **changes}
    return [str(HPARAMS), *(str(part) for key, value in options.items() for part in (f"--{key}", value))]


@pytest.fixture(scope="session")
def recipe():
    """The recipe's train.py, as a module."""
    spec = importlib.util.spec_from_file_location("recipe_under_test", RECIPE / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def train(recipe, tiny_speechocean):
    """A function `(folder, **changes) -> folder`: one run of the recipe on the tiny corpus."""

    def run(folder, corpus=None, **changes):
        recipe.main(arguments(corpus or tiny_speechocean(), folder, **changes))
        return Path(folder)

    return run


@pytest.fixture(scope="session")
def trained(train, tmp_path_factory):
    """A finished small run under the text teacher."""
    return train(tmp_path_factory.mktemp("run") / "text")
