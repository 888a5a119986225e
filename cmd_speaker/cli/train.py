"""`cmd-speaker train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import app
from cmd_speaker.errors import DataError


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    hparams: Annotated[Path, typer.Argument(help="A recipe's YAML: recipes/CORPUS/hparams/NAME.yaml.")],
) -> None:
    """Train a student: run the train.py beside hparams/, with --key value to change what the YAML says."""
    import importlib.util

    script = hparams.resolve().parent.parent / "train.py"
    if not hparams.is_file() or not script.is_file():
        raise DataError(
            "no recipe here", file=hparams, expected="RECIPE/hparams/NAME.yaml beside RECIPE/train.py",
            found="no such YAML" if not hparams.is_file() else f"no {script.name} in {script.parent}",
            fix="Run it from a checkout, which has recipes/",
        )  # fmt: skip
    spec = importlib.util.spec_from_file_location("cmd_speaker_recipe", script)
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.main([str(hparams), *context.args])
