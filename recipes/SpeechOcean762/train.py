"""Speechocean762: a text teacher trains a speaker encoder, from the corpus to the EER.

python train.py hparams/text_teacher.yaml --data_folder CORPUS [--key value ...]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.errors import exit_code_of
from cmd_speaker.lists.trials import load_trials
from cmd_speaker.manifest import load_manifest, refuse_shared_speakers
from cmd_speaker.model import SpeakerModel
from cmd_speaker.results import evaluate_student
from cmd_speaker.training.fit import train_student
from cmd_speaker.training.recipe import open_recipe
from cmd_speaker.training.subset import training_subset
from cmd_speaker.training.teachers import prepare_teachers
from data_prep.speechocean762 import prepare

OWN_KEYS = {"data_folder", "validation_speakers", "training_speakers", "utterances_per_speaker", "test"}


def main(argv: list[str]) -> None:
    recipe = open_recipe(argv, OWN_KEYS)
    hparams, folder = recipe.hparams, recipe.folder

    corpus = prepare(hparams["data_folder"], folder / "manifests", hparams["validation_speakers"])
    train_csv = training_subset(
        corpus.train, folder / "manifests" / "train_part.csv", speakers=hparams["training_speakers"],
        utterances_per_speaker=hparams["utterances_per_speaker"],
    )  # fmt: skip
    train = load_manifest(train_csv, hparams["data_folder"], check_files=True)
    valid = None
    if corpus.valid and corpus.valid_trials:
        valid = (load_manifest(corpus.valid, hparams["data_folder"]), load_trials(corpus.valid_trials))
        refuse_shared_speakers(train, valid[0])
    lists = [train_csv, corpus.valid, corpus.valid_trials]
    if hparams["test"]:
        test = load_manifest(corpus.test, hparams["data_folder"], check_files=True)
        refuse_shared_speakers(train, test)
        lists += [corpus.test, corpus.test_trials]
    recipe.run.add_checksums(*(path for path in lists if path))

    teachers = prepare_teachers(recipe, train, valid, hparams["data_folder"])
    encoder = train_student(recipe, train, valid, teachers)

    model = SpeakerModel(encoder)
    model.save(folder / "model", recipe.run.provenance())
    if hparams["test"]:
        print(evaluate_student(model, test, corpus.test_trials, folder))


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
