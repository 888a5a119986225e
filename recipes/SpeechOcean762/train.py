"""Speechocean762: a text teacher trains a speaker encoder, from the corpus to the EER.

python train.py hparams/text_teacher.yaml --data_folder CORPUS [--key value ...]
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.errors import exit_code_of
from cmd_speaker.results import listed_and_all_pairs
from cmd_speaker.training.pipeline import PIPELINE_KEYS, Parts, prepare_once, train_and_evaluate
from cmd_speaker.training.recipe import open_recipe
from data_prep.speechocean762 import NAME, TEST_TRIALS, prepare


def main(argv: list[str]) -> None:
    recipe = open_recipe(argv, PIPELINE_KEYS | {"validation_speakers"})
    hparams = recipe.hparams
    options = {"validation_speakers": hparams["validation_speakers"]}
    corpus = prepare_once(recipe, NAME, options, partial(prepare, hparams["data_folder"], **options))
    lists = listed_and_all_pairs(corpus.folder / TEST_TRIALS)
    train_and_evaluate(recipe, Parts.of(corpus, lists))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
