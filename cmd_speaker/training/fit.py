"""Stage 2: a student is built from a recipe and trained, resuming where an earlier run stopped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.seed import seed_everything
from torch import nn

from cmd_speaker.brain import SpeakerBrain, joint_name
from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.errors import DataError
from cmd_speaker.files import write_json
from cmd_speaker.hearing import read_utterance
from cmd_speaker.lists.trials import Trials
from cmd_speaker.manifest import Manifest
from cmd_speaker.teachers.stage1 import PreparedTeacher
from cmd_speaker.training.checkpoints import SafeCheckpointer
from cmd_speaker.training.data import LooseFiles, TrainingCrops, check_batch, collate, open_audio
from cmd_speaker.training.memory import keep_freed_memory
from cmd_speaker.training.processes import main_first, worker_context
from cmd_speaker.training.qualities import columns, read_columns, sources
from cmd_speaker.training.recipe import Recipe
from cmd_speaker.training.validation import Validation


def train_student(
    recipe: Recipe,
    train: Manifest,
    valid: tuple[Manifest, Trials] | None = None,
    teachers: Sequence[PreparedTeacher] = (),
) -> SpeakerEncoder:
    """Train the recipe's student on `train`; the student of the last epoch, in evaluation mode.

    `valid` gives held-out speakers and their trials. `teachers` come from stage 1 (`prepare_teachers`), made
    for `train`; without any the student learns from audio only.
    """
    check_batch(train, recipe.hparams["batch_size"], recipe.batches_at_once)
    brain, loader = build_brain(recipe, train, valid, teachers)
    if folder := recipe.hparams.get("init_from"):
        recipe.run.add_checksums(Path(folder) / "model.json")
    recipe.run.begin()
    # Without a terminal a bar only fills the log; the line of each epoch is printed either way.
    bar = sys.stderr.isatty() and not brain.noprogressbar
    brain.fit(recipe.hparams["epoch_counter"], loader, progressbar=bar)
    # Until it is let go, the mapped audio counts as memory of this process, once for each student.
    assert isinstance(loader.dataset, TrainingCrops)
    loader.dataset.audio = LooseFiles(train)
    return brain.encoder.eval()


def build_brain(
    recipe: Recipe,
    train: Manifest,
    valid: tuple[Manifest, Trials] | None,
    teachers: Sequence[PreparedTeacher],
) -> tuple[SpeakerBrain, torch.utils.data.DataLoader]:
    """The Brain with its modules, checkpointer and loader, ready to fit."""
    hparams = recipe.hparams
    labels = train.label_map()
    if if_main_process():
        write_json(recipe.folder / "labels.json", labels)
    # The same start under all teachers and none: what stage 1 drew does not change the student.
    seed_everything(hparams["seed"])
    modules = {
        "front_end": hparams["front_end"],
        "student": hparams["student"],
        "identity": hparams["identity"](
            n_classes=len(labels), embedding_size=hparams["student"].embedding_size
        ),
    }
    if teachers:
        modules["distillation"] = nn.ModuleDict({t.name: hparams["distillation"][t.name] for t in teachers})
        modules |= {joint_name(each.name): each.joint for each in teachers if each.joint}
    brain = SpeakerBrain(
        modules=modules,
        opt_class=hparams["optimizer"],
        hparams=hparams,
        run_opts=recipe.run_opts,
        checkpointer=_checkpointer(recipe, modules),
        targets={each.name: each.targets for each in teachers},
        validation=_validation(valid) if if_main_process() else None,
    )
    if brain.device == "cpu":
        keep_freed_memory()
    loader = _loader(recipe, brain, train, labels, teachers)
    brain.loader = loader
    # Batches that are left at the end of an epoch, too few for a step, are flushed by SpeechBrain.
    brain.total_steps = hparams["number_of_epochs"] * (len(loader) // brain.grad_accumulation_factor)
    return brain, loader


def _loader(
    recipe: Recipe,
    brain: SpeakerBrain,
    train: Manifest,
    labels: dict[str, int],
    teachers: Sequence[PreparedTeacher],
) -> torch.utils.data.DataLoader:
    hparams = recipe.hparams
    with main_first():
        audio = open_audio(train, hparams.get("shards"), hparams.get("cache_folder"))
    names = columns(sources(hparams["distillation"][each.name] for each in teachers))
    crops = TrainingCrops(
        train,
        labels,
        [each.row for each in teachers],
        hparams["crop_seconds"],
        hparams["seed"],
        audio,
        names,
        read_columns(train, names),
    )
    workers = hparams.get("num_workers", 0)
    return brain.make_dataloader(
        crops,
        sb.Stage.TRAIN,
        sampler=ReproducibleRandomSampler(crops, seed=hparams["seed"]),
        batch_size=hparams["batch_size"],
        drop_last=True,
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context=worker_context() if workers else None,
        # A copy from pinned memory does not hold up the process that feeds the GPU.
        pin_memory=brain.device_type == "cuda",
        # A generator of its own: making an iterator must not move the global random state.
        generator=torch.Generator(),
    )


def _checkpointer(recipe: Recipe, modules: dict[str, nn.Module]) -> SafeCheckpointer:
    learnt = {name: module for name, module in modules.items() if name != "front_end"}
    recoverables = {**learnt, "epoch_counter": recipe.hparams["epoch_counter"]}
    return SafeCheckpointer(recipe.folder / "checkpoints", recoverables)


def _validation(valid: tuple[Manifest, Trials] | None) -> Validation | None:
    if valid is None:
        return None
    manifest, trials = valid
    audio = []
    for utterance in manifest:
        try:
            audio.append((utterance.id, read_utterance(utterance)))
        except DataError as error:
            raise error.at(manifest.path, utterance.row) from error
    return Validation(audio, trials)
