"""VoxCeleb: a student trained on VoxCeleb1, VoxCeleb2 or both, with or without teachers, to the error rates.

python train.py hparams/voxceleb.yaml --data_folder DATA --trials LIST [--key value ...]
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.errors import UsageError, exit_code_of
from cmd_speaker.results import EvaluationList
from cmd_speaker.training.pipeline import PIPELINE_KEYS, Parts, several, train_and_evaluate
from cmd_speaker.training.processes import on_main
from cmd_speaker.training.recipe import open_recipe
from data_prep.voxceleb import prepare

OWN_KEYS = PIPELINE_KEYS | {"train_on", "trials", "accept_unknown", "metadata", "validation_speakers"}


def main(argv: list[str]) -> None:
    recipe = open_recipe(argv, OWN_KEYS)
    hparams = recipe.hparams
    folder = Path(hparams["prepared"] or recipe.folder / "manifests")
    trials: Mapping[str, Path]
    if hparams["prepared"]:
        trials = {path.stem: path for path in sorted((folder / "trials").glob("*.txt"))}
    else:
        trials = _prepare(hparams, folder)
    lists = [EvaluationList(name, path) for name, path in trials.items()]
    train_and_evaluate(recipe, Parts.of(folder, lists))


def _prepare(hparams: Mapping[str, Any], folder: Path) -> Mapping[str, Path]:
    """Fill `folder` with manifests; the test lists' copies there, by name."""
    trials = several(hparams["trials"]) if hparams["test"] else []
    if hparams["test"] and not trials:
        raise UsageError("no test list: give --trials LIST, or --test False")
    corpus = on_main(
        prepare,
        hparams["data_folder"],
        folder,
        hparams["train_on"],
        trials=trials,
        accept_unknown=hparams["accept_unknown"],
        metadata=several(hparams["metadata"]),
        valid_speakers=hparams["validation_speakers"],
    )
    print(*corpus.notes, sep="\n", flush=True)
    return corpus.trials


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
