"""Stage 1 of a run: a teacher's bank and head, made once in a folder, with what the teacher can know."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.metrics import eer
from cmd_speaker.files import file_checksum, locked, write_json
from cmd_speaker.lists.trials import Trials
from cmd_speaker.manifest import Manifest
from cmd_speaker.quality.sources import NORM
from cmd_speaker.scoring.scorer import cosine_scores
from cmd_speaker.teachers.bank import Bank, TeacherInput, build_bank, embed_inputs, load_bank
from cmd_speaker.teachers.head import HeadKind, TeacherHead, TeacherTargets, fit_head
from cmd_speaker.teachers.joint import JointTeacher
from cmd_speaker.teachers.matching import UNMATCHED, Match, check_classes, check_speakers, match_rows, some
from cmd_speaker.teachers.modalities import MODALITIES


@dataclass(frozen=True)
class PreparedTeacher:
    """A teacher after stage 1. `match` holds the bank rows that each training utterance may take.

    `sample_inputs`: one of them is drawn each time, otherwise they are dealt in turn, once for all. `joint` is
    there where head and classifier go on learning.
    """

    name: str
    targets: TeacherTargets
    match: Match
    report: dict[str, Any]
    sample_inputs: bool = True
    joint: JointTeacher | None = None

    def row(self, seed: int, epoch: int, index: int) -> int:
        """The bank row of an utterance in an epoch, -1 for none."""
        if self.sample_inputs:
            return self.match.drawn(self.name, seed, epoch, index)
        return self.match.dealt(index)

    def permuted(self, seed: int) -> PreparedTeacher:
        """The control, see `TeacherTargets.permutation`."""
        chosen = self.targets.permutation(seed)
        targets = self.targets.taking(chosen)
        return replace(self, targets=targets, joint=self.joint and self.joint.permuted(chosen, targets))


@dataclass(frozen=True)
class FoundInputs:
    """What a teacher sees of a training manifest.

    `qualities` are the names of what is known of each input once it is embedded; `missing` are the speakers
    without any input.
    """

    inputs: list[TeacherInput]
    match: Match
    missing: list[str]
    qualities: set[str]


def find_inputs(name: str, teacher: Any, train: Manifest, data_root: str | Path | None = None) -> FoundInputs:
    """The inputs of a teacher and who takes them; arguments as in `prepare_teacher`.

    Raises `DataError` where there are none, or not those of the training speakers.
    """
    modality = MODALITIES[teacher.modality]
    inputs = modality.inputs(teacher, train, data_root)
    if not inputs:
        raise DataError(
            f"the teacher '{name}' has no input for any of the training speakers", file=train.path,
            expected=f"a {modality.noun} of {some(train.speakers)}", found=modality.left_out(teacher, train),
            fix="Name the speakers alike in the manifest and in the teacher's inputs",
        )  # fmt: skip
    match = match_rows([(each.level, each.key) for each in inputs], train)
    missing = check_speakers(match, [each.identity for each in inputs], train)
    return FoundInputs(inputs, match, missing, {NORM, *modality.measures, *inputs[0].quality})


def prepare_teacher(
    name: str,
    teacher: Any,
    folder: str | Path,
    train: Manifest,
    student_size: int,
    *,
    found: FoundInputs | None = None,
    data_root: str | Path | None = None,
    valid: tuple[Manifest, Trials] | None = None,
    seed: int = 0,
    rebuild: bool = False,
    sample_inputs: bool = True,
    joint: bool = False,
    head: HeadKind = "residual",
    command: str = "",
) -> PreparedTeacher:
    """Bank, head and targets of a teacher, made or read from `folder`; runs that share it wait for each other.

    `train` gives the teacher's inputs: for a text teacher the column `text` and, where there is one,
    `transcript` for pre-training; for a face teacher the column `face`, whose paths may begin with
    `$data_root`; for vectors its speakers, sessions and utterances. `valid` (held-out training speakers) is only
    scored, never fitted. `head` is a `TeacherHead`'s kind. `found` is what `find_inputs` found before.
    """
    found = found or find_inputs(name, teacher, train, data_root)
    inputs, match, folder = found.inputs, found.match, Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made_from = _made_from(train, valid, student_size, seed) | {"head": head}
    with locked(folder, waiting=f"The teacher '{name}': waiting for the run that makes it"):
        if rebuild or not (folder / "report.json").is_file():
            _make(teacher, folder, train, inputs, student_size, made_from, valid, data_root, command)
            match.save(folder / "matches.csv", train)
        bank = load_bank(folder, inputs, teacher.source())
        targets = TeacherTargets.load(folder / "targets.safetensors")
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        if report["made_from"] != made_from:
            raise DataError(
                f"stage 1 of the teacher '{name}' was made for another run", file=folder / "report.json",
                expected=made_from, found=report["made_from"],
                fix=f"Choose another --output_folder, or make it again: {command} --rebuild_bank True",
            )  # fmt: skip
        learner = _learner(folder, bank, targets, head) if joint else None
    check_classes([row.identity for row in bank.rows], targets.label.tolist(), folder)
    report |= {
        "matched": match.coverage(),
        "rows_taken": len({int(row) for group in match.rows for row in group}),
        "speakers_without": f"{len(found.missing)} ({some(found.missing)})" if found.missing else "",
        "left_out": MODALITIES[teacher.modality].left_out(teacher, train),
    }
    return PreparedTeacher(name, targets, match, report, sample_inputs, learner)


def _learner(folder: Path, bank: Bank, targets: TeacherTargets, kind: HeadKind) -> JointTeacher:
    sizes = bank.embeddings.shape[1], targets.embedding.shape[1]
    head = TeacherHead.load(folder / "head.safetensors", *sizes, kind)
    return JointTeacher(head, torch.from_numpy(bank.embeddings), targets)


def _make(
    teacher: Any,
    folder: Path,
    train: Manifest,
    inputs: list[TeacherInput],
    student_size: int,
    made_from: dict[str, Any],
    valid: tuple[Manifest, Trials] | None,
    data_root: str | Path | None,
    command: str,
) -> None:
    """Fit teacher and head and write everything into `folder`."""
    modality = MODALITIES[teacher.modality]
    # While it is made anew, nothing may look finished.
    (folder / "report.json").unlink(missing_ok=True)
    modality.fit(teacher, inputs, train)
    bank = build_bank(folder, inputs, teacher, f"{command} --rebuild_bank True", modality.measure)
    head, targets, stage1 = fit_head(
        bank, student_size, train.speakers, seed=made_from["seed"], kind=made_from["head"]
    )
    head.save(folder / "head.safetensors")
    targets.save(folder / "targets.safetensors")
    report = {
        "modality": teacher.modality,
        "identities": stage1.identities,
        "classes": stage1.classes,
        "inputs": stage1.inputs,
        "identification_ceiling": stage1.ceiling,
        "stage1_accuracy": stage1.accuracy,
        "made_from": made_from,
    }
    if valid is not None:
        report |= _ceiling(teacher, head, *valid, data_root)
    write_json(folder / "report.json", report)  # last: its presence says that the rest is there


def _made_from(
    train: Manifest, valid: tuple[Manifest, Trials] | None, student_size: int, seed: int
) -> dict[str, str | int | None]:
    """What decides stage 1 beside the inputs and the teacher, which the bank knows."""
    return {
        "training_manifest": file_checksum(train.path),
        "validation_manifest": valid and file_checksum(valid[0].path),
        "student_size": student_size,
        "seed": seed,
    }


def describe(prepared: PreparedTeacher) -> str:
    """The report in a sentence or two."""
    report = prepared.report
    noun = MODALITIES[report["modality"]].noun
    text = (
        f"Teacher '{prepared.name}': {report['identities']} training speakers with {report['inputs']} different "
        f"{noun}s, in {report['classes']} classes that can be told apart, so it can name at most "
        f"{report['identification_ceiling']:.1%} of them; the fitted head recognises "
        f"{report['stage1_accuracy']:.1%} of its inputs. Utterances matched: {report['matched']}, with "
        f"{report['rows_taken']} rows of its bank."
    )
    if report["speakers_without"]:
        text += f" Speakers without a {noun}: {report['speakers_without']}."
    if report["left_out"]:
        text += f" Left out: {report['left_out']}."
    if "validation_eer" in report:
        text += (
            f" Its own ceiling: {report['validation_eer']:.2%} EER on the validation trials when each voice is "
            f"replaced by its speaker's {noun}."
        )
    return text


def _ceiling(
    teacher: Any, head: TeacherHead, valid: Manifest, trials: Trials, data_root: str | Path | None
) -> dict[str, float]:
    """EER of the validation trials when every utterance is represented by its matched input.

    Trials with an utterance that has none are left out; nothing is said where those left are of one kind.
    """
    inputs = MODALITIES[teacher.modality].inputs(teacher, valid, data_root)
    if not inputs:
        return {}
    bank = embed_inputs(inputs, teacher)
    with torch.no_grad():
        t = head(torch.from_numpy(bank.embeddings)).numpy()
    match = bank.match(valid)
    rows = np.array([match.dealt(k) for k in range(len(valid))])
    ids = [utterance.id for utterance, row in zip(valid, rows, strict=True) if row != UNMATCHED]
    scores, _ = cosine_scores(Embeddings(ids, t[rows[rows != UNMATCHED]]), trials)
    labels = scores.known_labels()
    if labels.all() or not labels.any():
        return {}
    # Equal inputs must tie exactly, whatever the rounding of a dot product.
    return {"validation_eer": eer(np.round(scores.scores, 5), labels)[0]}
