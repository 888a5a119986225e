"""CN-Celeb: a student trained on CN-Celeb1, with CN-Celeb2 where it is there, with or without a face teacher.

python train.py hparams/cnceleb.yaml --data_folder DATA [--key value ...]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.corpora.cnceleb_lists import TRIALS
from cmd_speaker.errors import exit_code_of
from cmd_speaker.results import EvaluationList
from cmd_speaker.training.pipeline import PIPELINE_KEYS, Parts, train_and_evaluate
from cmd_speaker.training.processes import on_main
from cmd_speaker.training.recipe import open_recipe
from data_prep.cnceleb import LEFT_OUT, prepare

OWN_KEYS = PIPELINE_KEYS | {"validation_speakers", "min_seconds", "joined_folder"}


def main(argv: list[str]) -> None:
    recipe = open_recipe(argv, OWN_KEYS)
    hparams = recipe.hparams
    folder = Path(hparams["prepared"] or recipe.folder / "manifests")
    if not hparams["prepared"]:
        corpus = on_main(
            prepare, hparams["data_folder"], folder, hparams["validation_speakers"], hparams["min_seconds"],
            hparams["joined_folder"],
        )  # fmt: skip
        if corpus.left_out:
            print(f"{len(corpus.left_out)} training recordings cannot be used: {folder / LEFT_OUT}")
    enrolment_map = folder / "enrolment_map.txt"
    trials = Path(hparams["data_folder"]) / TRIALS
    lists = [EvaluationList("CN-Celeb.E", trials, enrolment_map if enrolment_map.is_file() else None)]
    train_and_evaluate(recipe, Parts.of(folder, lists))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
