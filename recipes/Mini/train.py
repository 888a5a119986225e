"""Mini: makes a corpus, fits a text and a face teacher, trains students with and without them, compares.

python train.py hparams/mini.yaml [--key value ...]
"""

import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cmd_speaker.errors import UsageError, exit_code_of
from cmd_speaker.lists.trials import Trials, load_trials
from cmd_speaker.manifest import Manifest, load_manifest, refuse_shared_speakers
from cmd_speaker.model import SpeakerModel
from cmd_speaker.results import compare_students, evaluate_student, listed_and_all_pairs
from cmd_speaker.training.fit import train_student
from cmd_speaker.training.processes import on_main
from cmd_speaker.training.recipe import Recipe, open_recipe
from cmd_speaker.training.subset import training_subset
from cmd_speaker.training.teachers import prepare_teachers
from data_prep.mini.corpus import Design, Prepared, prepare
from data_prep.mini.sheet import draw_sheet

CORPUS_KEYS = ("corpus_seed", "training_speakers", "validation_speakers", "test_speakers")
OWN_KEYS = {"data_folder", "students", "train", "test", "utterances_per_speaker", *CORPUS_KEYS}
RESERVED = ("cache", "corpus", "teachers")
"""Folders of a run that are no student's."""


def main(argv: list[str]) -> None:
    """The whole run; `argv` is the YAML and `--key value ...`."""
    begin = time.monotonic()
    recipe = open_recipe(argv, OWN_KEYS)
    hparams, folder = recipe.hparams, recipe.folder
    chosen = chosen_students(hparams["students"], str(hparams["train"]))
    # All are opened before the first is trained: a mistake in the last must not wait.
    students = {name: recipe.variant(name, values) for name, values in chosen.items()}
    corpus = on_main(prepare, hparams["data_folder"], Design(*(hparams[key] for key in CORPUS_KEYS)))
    part, each = folder / "manifests" / "train_part.csv", hparams["utterances_per_speaker"]
    train_csv = on_main(training_subset, corpus.train, part, utterances_per_speaker=each)
    corpus = replace(corpus, train=train_csv)
    train, valid, test = load_parts(corpus, hparams["data_folder"])
    on_main(draw_sheet, train, hparams["data_folder"], folder / "corpus.png")
    valid_trials = load_trials(corpus.valid_trials)
    print(f"Corpus: {hparams['data_folder']}, to look at: {folder / 'corpus.png'}", flush=True)

    for name, student in students.items():
        print(f"\nStudent '{name}'", flush=True)
        student.run.add_checksums(*vars(corpus).values())
        model = train_one(student, train, (valid, valid_trials))
        if hparams["test"]:
            lists = listed_and_all_pairs(corpus.test_trials)
            print(on_main(evaluate_student, model, test, lists, student.folder))
    recipe.run.begin()
    if not hparams["test"]:
        return
    table = on_main(compare_students, {name: folder / name for name in students}, test, folder)
    print(f"\n{table}")
    seconds = time.monotonic() - begin
    print(f"\n{seconds:.0f} s. To look at: {folder / 'results.png'}; to use: {folder}/STUDENT/model")
    print("Is it the teacher's knowledge that helps? The controls of --train all are given wrong teachers.")


def chosen_students(students: Any, names: str) -> dict[str, dict[str, Any]]:
    """The students named in `names` (separated by blanks, or "all"), in that order."""
    if not isinstance(students, dict) or not all(isinstance(values, dict) for values in students.values()):
        raise UsageError("students: expected {NAME: {key: value, ...}, ...}")
    for name in students:
        # It becomes a folder of the run.
        if not re.fullmatch(r"\w+", str(name)) or name in RESERVED:
            expected = f"a name of letters, digits and _, none of {', '.join(RESERVED)}"
            raise UsageError(f"students: expected {expected}, found '{name}'")
    chosen = list(students) if names == "all" else names.split()
    if not chosen or set(chosen) - students.keys():
        raise UsageError(f"--train '{names}': expected 'all' or some of {', '.join(students)}")
    return {name: students[name] for name in chosen}


def load_parts(corpus: Prepared, data_folder: str) -> tuple[Manifest, Manifest, Manifest]:
    """The manifests of training, validation and test, which must share no speaker."""
    train, valid, test = (
        load_manifest(path, data_folder, check_files=True)
        for path in (corpus.train, corpus.valid, corpus.test)
    )
    for known, other in ((train, valid), (train, test), (valid, test)):
        refuse_shared_speakers(known, other)
    return train, valid, test


def train_one(recipe: Recipe, train: Manifest, valid: tuple[Manifest, Trials]) -> SpeakerModel:
    """Everything from the manifests to one student's model."""
    teachers = prepare_teachers(recipe, train, valid, recipe.hparams["data_folder"])
    model = SpeakerModel(train_student(recipe, train, valid, teachers))
    on_main(model.save, recipe.folder / "model", recipe.run.provenance())
    return model


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
