"""What the recipes of all corpora do once their corpus is prepared: load and check, train, evaluate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import if_main_process

from cmd_speaker.errors import DataError
from cmd_speaker.lists.trials import Trials, load_trials
from cmd_speaker.manifest import Manifest, load_manifest, refuse_shared_speakers
from cmd_speaker.model import SpeakerModel
from cmd_speaker.results import EvaluationList, check_lists, evaluate_student
from cmd_speaker.shards.reading import Shards
from cmd_speaker.training.fit import train_student
from cmd_speaker.training.preparation import Preparation, load_preparation
from cmd_speaker.training.processes import on_main
from cmd_speaker.training.recipe import Recipe
from cmd_speaker.training.subset import training_subset
from cmd_speaker.training.teachers import prepare_teachers

PIPELINE_KEYS = {"data_folder", "prepared", "training_speakers", "utterances_per_speaker", "test"}
"""The keys that `prepare_once` and `train_and_evaluate` read, all of which a recipe must have."""


@dataclass(frozen=True)
class Parts:
    """The files of a prepared corpus: manifests, and trials of the validation and the test part.

    Without validation speakers `valid` and `valid_trials` are None, without test speakers `test` is.
    """

    train: Path
    valid: Path | None
    valid_trials: Path | None
    test: Path | None
    lists: Sequence[EvaluationList]

    @staticmethod
    def of(preparation: Preparation, lists: Sequence[EvaluationList]) -> Parts:
        """The files as all preparations that leave a record call them."""
        names = ("train.csv", "valid.csv", "valid_trials.txt", "test.csv")
        train, valid, valid_trials, test = map(preparation.file, names)
        assert train is not None, "no preparation is without training"
        return Parts(train, valid, valid_trials, test, lists)


def prepare_once(
    recipe: Recipe, corpus: str, asked: Mapping[str, Any], prepare: Callable[[Path], object]
) -> Preparation:
    """The prepared corpus in `RUN/manifests`: what a run that is resumed has there of the same data folder, or a
    copy of the folder that the key `prepared` names, or what `prepare` writes into the folder that it is given.

    `asked` are the options that a prepared folder must have been made with. Of several processes the main one
    does it. Raises `DataError` where the folder was made otherwise or is not whole, and as `prepare` does.
    """
    return on_main(_prepare_once, recipe, corpus, asked, prepare)


def _prepare_once(
    recipe: Recipe, corpus: str, asked: Mapping[str, Any], prepare: Callable[[Path], object]
) -> Preparation:
    folder, shared = recipe.folder / "manifests", recipe.hparams["prepared"]
    found = _own_manifests(recipe, folder, corpus, asked) if recipe.run.begun else None
    if found is None and shared:
        found = load_preparation(str(shared))
        found.refuse_others(corpus, asked)
        found = found.copy_to(folder) if found.folder.resolve() != folder.resolve() else found
    if found is None:
        prepare(folder)
        found = load_preparation(folder)
    for note in found.notes:
        print(note, flush=True)
    return found


def _own_manifests(recipe: Recipe, folder: Path, corpus: str, asked: Mapping[str, Any]) -> Preparation | None:
    """Those that a run which is resumed has already; None where they are of another folder or not whole."""
    asked = {**asked, "data_folder": str(Path(recipe.hparams["data_folder"]).resolve())}
    try:
        found = load_preparation(folder)
    except DataError as error:
        print(f"The manifests of this run are made again: {error}", flush=True)
        return None
    return None if found.differences(corpus, asked) else found


def train_and_evaluate(recipe: Recipe, parts: Parts) -> None:
    """The whole run from manifests to error rates, which are printed; what it makes lies in the run's folder.

    The model is `RUN/model`; see `evaluate_student` for the rest. Everything that would stop the evaluation is
    looked for before the first teacher is fitted. Raises as the steps do.
    """
    hparams, folder, root = recipe.hparams, recipe.folder, recipe.hparams["data_folder"]
    train_csv = on_main(
        training_subset, parts.train, folder / "manifests" / "train_part.csv",
        speakers=hparams["training_speakers"], utterances_per_speaker=hparams["utterances_per_speaker"],
    )  # fmt: skip
    shards, main = hparams.get("shards"), if_main_process()
    # Of a million files a network disk is asked by one process only.
    train = load_manifest(train_csv, root, check_files=main and not shards)
    if shards and main:
        Shards.open(shards, train)
    valid: tuple[Manifest, Trials] | None = None
    if parts.valid and parts.valid_trials:
        valid = (load_manifest(parts.valid, root), load_trials(parts.valid_trials))
        refuse_shared_speakers(train, valid[0])
    files = [train_csv, parts.valid, parts.valid_trials]
    test: Manifest | None = None
    if hparams["test"]:
        if parts.test is None or not parts.lists:
            raise DataError(
                "nothing to test on", file=parts.train.parent, expected="test.csv and a trial list",
                found="no trial list" if parts.test else "no test.csv",
                fix="Prepare the corpus with its test part, or give --test False",
            )  # fmt: skip
        test = load_manifest(parts.test, root, check_files=main)
        refuse_shared_speakers(train, test)
        check_lists(test, parts.lists)
        files += [parts.test, *(file for each in parts.lists for file in (each.trials, each.enrol_map))]
    recipe.run.add_checksums(*(path for path in files if path))

    teachers = prepare_teachers(recipe, train, valid, root)
    model = SpeakerModel(train_student(recipe, train, valid, teachers))
    if not main:
        return
    model.save(folder / "model", recipe.run.provenance())
    if test is not None:
        print(evaluate_student(model, test, parts.lists, folder))


def several(value: Any) -> list[str]:
    """The paths of a recipe's key that holds a list of them, or a single one; null or empty: none."""
    values = value if isinstance(value, list) else [value]
    return [str(each) for each in values if each]
