"""Anybody's own recordings: a student, with or without teachers, from a folder of speakers to the error rate.

python train.py hparams/folder.yaml --data_folder DATA [--key value ...]
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.errors import UsageError, exit_code_of
from cmd_speaker.results import EvaluationList
from cmd_speaker.training.pipeline import PIPELINE_KEYS, Parts, prepare_once, train_and_evaluate
from cmd_speaker.training.recipe import open_recipe
from data_prep.folder import NAME, TEST_TRIALS, prepare

OWN_KEYS = PIPELINE_KEYS | {"validation_speakers", "test_speakers"}


def main(argv: list[str]) -> None:
    recipe = open_recipe(argv, OWN_KEYS)
    hparams = recipe.hparams
    if hparams["test"] and not hparams["test_speakers"]:
        raise UsageError("nobody to test on: give --test_speakers N, or --test False")
    options = {key: hparams[key] for key in ("validation_speakers", "test_speakers")}
    corpus = prepare_once(recipe, NAME, options, partial(prepare, hparams["data_folder"], **options))
    train_and_evaluate(recipe, Parts.of(corpus, [EvaluationList("test", corpus.file(TEST_TRIALS))]))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
