"""VoxCeleb: a student trained on VoxCeleb1, VoxCeleb2 or both, with or without teachers, to the error rates.

python train.py hparams/voxceleb.yaml --data_folder DATA --trials LIST [--key value ...]
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.errors import UsageError, exit_code_of
from cmd_speaker.results import EvaluationList
from cmd_speaker.training.pipeline import PIPELINE_KEYS, Parts, prepare_once, several, train_and_evaluate
from cmd_speaker.training.recipe import open_recipe
from data_prep.voxceleb import NAME, asked, prepare

OWN_KEYS = PIPELINE_KEYS | {"train_on", "trials", "accept_unknown", "metadata", "validation_speakers"}


def main(argv: list[str]) -> None:
    recipe = open_recipe(argv, OWN_KEYS)
    hparams = recipe.hparams
    trials = several(hparams["trials"]) if hparams["test"] else []
    if hparams["test"] and not trials and not hparams["prepared"]:
        raise UsageError("no test list: give --trials LIST, or --test False")
    options = {
        "train": hparams["train_on"],
        "trials": trials,
        "accept_unknown": hparams["accept_unknown"],
        "metadata": several(hparams["metadata"]),
        "valid_speakers": hparams["validation_speakers"],
    }
    prepare_into = partial(prepare, hparams["data_folder"], **options)
    corpus = prepare_once(recipe, NAME, asked(**options), prepare_into)
    lists = [
        EvaluationList(name, corpus.folder / "trials" / f"{name}.txt") for name in corpus.options["trials"]
    ]
    train_and_evaluate(recipe, Parts.of(corpus, lists))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
