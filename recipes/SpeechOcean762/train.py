"""Speechocean762: a text teacher trains a speaker encoder, from the corpus to the EER.

python train.py hparams/text_teacher.yaml --data_folder CORPUS [--key value ...]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.errors import exit_code_of
from cmd_speaker.results import listed_and_all_pairs
from cmd_speaker.training.pipeline import PIPELINE_KEYS, Parts, train_and_evaluate
from cmd_speaker.training.processes import on_main
from cmd_speaker.training.recipe import open_recipe
from data_prep.speechocean762 import prepare


def main(argv: list[str]) -> None:
    recipe = open_recipe(argv, PIPELINE_KEYS | {"validation_speakers"})
    hparams = recipe.hparams
    manifests, held_out = recipe.folder / "manifests", hparams["validation_speakers"]
    corpus = on_main(prepare, hparams["data_folder"], manifests, held_out)
    lists = listed_and_all_pairs(corpus.test_trials)
    train_and_evaluate(recipe, Parts(corpus.train, corpus.valid, corpus.valid_trials, corpus.test, lists))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
