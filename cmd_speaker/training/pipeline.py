"""What the recipes of all corpora do once their corpus is prepared: load and check, train, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import if_main_process

from cmd_speaker.lists.trials import Trials, load_trials
from cmd_speaker.manifest import Manifest, load_manifest, refuse_shared_speakers
from cmd_speaker.model import SpeakerModel
from cmd_speaker.results import EvaluationList, check_lists, evaluate_student
from cmd_speaker.training.fit import train_student
from cmd_speaker.training.processes import on_main
from cmd_speaker.training.recipe import Recipe
from cmd_speaker.training.subset import training_subset
from cmd_speaker.training.teachers import prepare_teachers

PIPELINE_KEYS = {"data_folder", "training_speakers", "utterances_per_speaker", "test"}
"""The keys that `train_and_evaluate` reads, all of which a recipe must have."""


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
    train = load_manifest(train_csv, root, check_files=True)
    valid: tuple[Manifest, Trials] | None = None
    if parts.valid and parts.valid_trials:
        valid = (load_manifest(parts.valid, root), load_trials(parts.valid_trials))
        refuse_shared_speakers(train, valid[0])
    files = [train_csv, parts.valid, parts.valid_trials]
    test: Manifest | None = None
    if hparams["test"]:
        assert parts.test is not None, "a recipe that is asked to test prepares a test part"
        test = load_manifest(parts.test, root, check_files=True)
        refuse_shared_speakers(train, test)
        check_lists(test, parts.lists)
        files += [parts.test, *(file for each in parts.lists for file in (each.trials, each.enrol_map))]
    recipe.run.add_checksums(*(path for path in files if path))

    teachers = prepare_teachers(recipe, train, valid, root)
    model = SpeakerModel(train_student(recipe, train, valid, teachers))
    if not if_main_process():
        return
    model.save(folder / "model", recipe.run.provenance())
    if test is not None:
        print(evaluate_student(model, test, parts.lists, folder))


def several(value: Any) -> list[str]:
    """The paths of a recipe's key that holds a list of them, or a single one; null or empty: none."""
    values = value if isinstance(value, list) else [value]
    return [str(each) for each in values if each]
