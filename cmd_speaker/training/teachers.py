"""The teachers of a run: those with something to teach are prepared, described and, for the control, permuted."""

from __future__ import annotations

from pathlib import Path

from speechbrain.utils.distributed import if_main_process

from cmd_speaker.lists.trials import Trials
from cmd_speaker.manifest import Manifest
from cmd_speaker.teachers.stage1 import PreparedTeacher, describe, find_inputs, prepare_teacher
from cmd_speaker.training.data import check_batch
from cmd_speaker.training.processes import main_first
from cmd_speaker.training.qualities import check_quality, columns, read_columns, sources
from cmd_speaker.training.recipe import Recipe


def prepare_teachers(
    recipe: Recipe,
    train: Manifest,
    valid: tuple[Manifest, Trials] | None = None,
    data_root: str | Path | None = None,
) -> list[PreparedTeacher]:
    """Stage 1 of every teacher of the recipe that has an active term, in a folder NAME of its own.

    These lie in the recipe's `teacher_folder`, or else in `RUN/teachers`. Says what each can know. `valid` is
    held-out speakers and their trials; `data_root` stands for `$data_root` in the manifests' paths.
    """
    hparams, prepared = recipe.hparams, []
    active = {name: each for name, each in hparams.get("distillation", {}).items() if each.terms}
    teachers = {name: each for name, each in hparams.get("teachers", {}).items() if name in active}
    if not teachers:
        return []
    # What the student and the later teachers will ask for must not be missing after the first was fitted.
    check_batch(train, hparams["batch_size"], recipe.batches_at_once)
    read_columns(train, columns(sources(active.values())))
    inputs = {name: find_inputs(name, each, train, data_root) for name, each in teachers.items()}
    for name, each in active.items():
        if each.quality.enabled:
            check_quality(name, each.quality.teacher_source, inputs[name].qualities)
    for name, teacher in teachers.items():
        folder = Path(hparams.get("teacher_folder") or recipe.folder / "teachers") / name
        with main_first():
            found = prepare_teacher(
                name, teacher, folder, train, hparams["student"].embedding_size, found=inputs[name],
                data_root=data_root, valid=valid,
                seed=hparams["seed"], rebuild=hparams["rebuild_bank"] and if_main_process(),
                sample_inputs=hparams.get("sample_inputs", True), joint=name in hparams.get("joint_teachers", ()),
                head=hparams.get("teacher_head", "residual"),
                command=recipe.command,
            )  # fmt: skip
        recipe.run.add_checksums(folder / "targets.safetensors")
        if found.joint:
            recipe.run.add_checksums(folder / "head.safetensors")
        print(describe(found))
        prepared.append(found)
    if hparams["permute_teacher"]:
        print("Control: every speaker is given another speaker's teacher.")
        return [each.permuted(hparams["seed"]) for each in prepared]
    return prepared
