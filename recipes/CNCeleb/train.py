"""CN-Celeb: a student trained on CN-Celeb1, with CN-Celeb2 where it is there, with or without a face teacher.

python train.py hparams/cnceleb.yaml --data_folder DATA [--key value ...]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.errors import exit_code_of
from cmd_speaker.results import EvaluationList
from cmd_speaker.training.pipeline import PIPELINE_KEYS, Parts, train_and_evaluate
from cmd_speaker.training.recipe import open_recipe
from data_prep.cnceleb import LEFT_OUT, prepare

OWN_KEYS = PIPELINE_KEYS | {"validation_speakers", "min_seconds", "joined_folder"}


def main(argv: list[str]) -> None:
    recipe = open_recipe(argv, OWN_KEYS)
    hparams = recipe.hparams
    corpus = prepare(
        hparams["data_folder"],
        recipe.folder / "manifests",
        hparams["validation_speakers"],
        hparams["min_seconds"],
        hparams["joined_folder"],
    )
    if corpus.left_out:
        left_out = corpus.train.with_name(LEFT_OUT)
        print(f"{len(corpus.left_out)} training recordings cannot be used: {left_out}")
    lists = [EvaluationList("CN-Celeb.E", corpus.test_trials, corpus.enrolment_map)]
    train_and_evaluate(recipe, Parts(corpus.train, corpus.valid, corpus.valid_trials, corpus.test, lists))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
