"""Training runs on the tiny corpus."""

from pathlib import Path

import pytest

from cmd_speaker.cli import app
from cmd_speaker.errors import exit_code_of
from tests.training import RECIPE, arguments, load_recipe, text_and_face, with_faces


@pytest.fixture(scope="session")
def recipe():
    """The recipe's train.py, as a module."""
    return load_recipe(RECIPE)


@pytest.fixture(scope="session")
def train(recipe, tiny_speechocean):
    """A function `(folder, **changes) -> folder`: one run of the recipe on the tiny corpus."""

    def run(folder, corpus=None, **changes):
        recipe.main(arguments(corpus or tiny_speechocean(), folder, **changes))
        return Path(folder)

    return run


@pytest.fixture(scope="session")
def train_under_both(recipe, train, tmp_path_factory):
    """`train` under a text and a face teacher."""
    folder = tmp_path_factory.mktemp("faces")
    hparams = text_and_face(folder / "text_and_face.yaml")

    def run(place, **changes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recipe, "prepare", with_faces(recipe.prepare, folder))
            return train(place, hparams=hparams, **changes)

    return run


@pytest.fixture(scope="session")
def trained(train, tmp_path_factory):
    """A finished small run under the text teacher."""
    return train(tmp_path_factory.mktemp("run") / "text")


@pytest.fixture
def cli(capsys):
    """`cli(*arguments) -> (exit code, standard output, standard error)`."""

    def run(*arguments):
        try:
            code = exit_code_of(lambda: app([str(a) for a in arguments]))
        except SystemExit as error:
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
