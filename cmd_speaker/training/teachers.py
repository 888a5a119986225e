"""The teachers of a run: those with something to teach are prepared, described and, for the control, permuted."""

from __future__ import annotations

from pathlib import Path

from cmd_speaker.lists.trials import Trials
from cmd_speaker.manifest import Manifest
from cmd_speaker.teachers.stage1 import PreparedTeacher, describe, prepare_teacher
from cmd_speaker.training.qualities import check_bank, columns, read_columns, sources
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
    # Before anything long runs: the student will ask for them.
    read_columns(train, columns(sources(active.values())))
    for name, teacher in hparams.get("teachers", {}).items():
        if name not in active:
            continue
        folder = Path(hparams.get("teacher_folder") or recipe.folder / "teachers") / name
        found = prepare_teacher(
            name, teacher, folder, train, hparams["student"].embedding_size, data_root=data_root, valid=valid,
            seed=hparams["seed"], rebuild=hparams["rebuild_bank"],
            sample_inputs=hparams.get("sample_inputs", True), joint=name in hparams.get("joint_teachers", ()),
            head=hparams.get("teacher_head", "residual"),
            command=recipe.command,
        )  # fmt: skip
        recipe.run.add_checksums(folder / "targets.safetensors")
        if found.joint:
            recipe.run.add_checksums(folder / "head.safetensors")
        if active[name].quality.enabled:
            source = active[name].quality.teacher_source
            check_bank(name, source, found.targets.quality, folder / "index.csv")
        print(describe(found))
        prepared.append(found)
    if prepared and hparams["permute_teacher"]:
        print("Control: every speaker is given another speaker's teacher.")
        return [each.permuted(hparams["seed"]) for each in prepared]
    return prepared
