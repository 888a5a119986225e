"""CN-Celeb: a student trained on CN-Celeb1, with CN-Celeb2 where it is there, with or without a face teacher.

python train.py hparams/cnceleb.yaml --data_folder DATA [--key value ...]
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.errors import exit_code_of
from cmd_speaker.results import EvaluationList
from cmd_speaker.training.pipeline import PIPELINE_KEYS, Parts, prepare_once, train_and_evaluate
from cmd_speaker.training.recipe import open_recipe
from data_prep.cnceleb import ENROLMENT_MAP, NAME, TRIALS, prepare

OWN_KEYS = PIPELINE_KEYS | {"validation_speakers", "min_seconds", "joined_folder"}


def main(argv: list[str]) -> None:
    recipe = open_recipe(argv, OWN_KEYS)
    hparams = recipe.hparams
    options = {key: hparams[key] for key in ("validation_speakers", "min_seconds")}
    prepare_into = partial(prepare, hparams["data_folder"], joined_folder=hparams["joined_folder"], **options)
    corpus = prepare_once(recipe, NAME, options, prepare_into)
    trials = Path(hparams["data_folder"], TRIALS)
    lists = [EvaluationList("CN-Celeb.E", trials, corpus.file(ENROLMENT_MAP))]
    train_and_evaluate(recipe, Parts.of(corpus, lists))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
