"""Stage 1 of a run: a teacher's bank and head, made once in a folder, with what the teacher can know."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.metrics import eer
from cmd_speaker.files import file_checksum, write_json
from cmd_speaker.lists.trials import Trials
from cmd_speaker.manifest import Manifest
from cmd_speaker.scoring.scorer import cosine_scores
from cmd_speaker.teachers.bank import (
    UNMATCHED,
    TeacherInput,
    build_bank,
    coverage,
    embed_inputs,
    load_bank,
    text_inputs,
)
from cmd_speaker.teachers.head import TeacherHead, TeacherTargets, fit_head
from cmd_speaker.teachers.pictures import face_inputs


@dataclass(frozen=True)
class Modality:
    """What one kind of teacher sees of a manifest, how it is fitted to that, and what one input is called."""

    inputs: Callable[[Manifest, str | Path | None], list[TeacherInput]]
    fit: Callable[[Any, Sequence[TeacherInput], Manifest], None]
    noun: str


@dataclass(frozen=True)
class PreparedTeacher:
    """A teacher after stage 1. `rows` holds the bank row of each training utterance, int64 [n], -1 for none."""

    name: str
    targets: TeacherTargets
    rows: np.ndarray
    report: dict[str, Any]

    def permuted(self, seed: int) -> PreparedTeacher:
        """The control, see `TeacherTargets.permuted`."""
        return replace(self, targets=self.targets.permuted(seed))


def prepare_teacher(
    name: str,
    teacher: Any,
    folder: str | Path,
    train: Manifest,
    student_size: int,
    *,
    data_root: str | Path | None = None,
    valid: tuple[Manifest, Trials] | None = None,
    seed: int = 0,
    rebuild: bool = False,
    command: str = "",
) -> PreparedTeacher:
    """Bank, head and targets of a teacher, made or read from `folder`.

    `train` gives the teacher's inputs: for a text teacher the column `text` and, where there is one,
    `transcript` for pre-training; for a face teacher the column `face`, whose paths may begin with
    `$data_root`. `valid` (held-out training speakers) is only scored, never fitted.
    """
    modality, folder = MODALITIES[teacher.modality], Path(folder)
    targets_path, report_path = folder / "targets.safetensors", folder / "report.json"
    inputs = modality.inputs(train, data_root)
    made_from = _made_from(train, valid, student_size, seed)
    if report_path.is_file() and not rebuild:
        bank = load_bank(folder, inputs, teacher.source())
        targets = TeacherTargets.load(targets_path)
        report = json.loads(report_path.read_text(encoding="utf-8"))
        if report["made_from"] != made_from:
            raise DataError(
                f"stage 1 of the teacher '{name}' was made for another run", file=report_path,
                expected=made_from, found=report["made_from"],
                fix=f"Choose another --output_folder, or make it again: {command} --rebuild_bank True",
            )  # fmt: skip
    else:
        # While it is made anew, nothing may look finished.
        report_path.unlink(missing_ok=True)
        modality.fit(teacher, inputs, train)
        bank = build_bank(folder, inputs, teacher, f"{command} --rebuild_bank True")
        head, targets, stage1 = fit_head(bank, student_size, list(train.label_map()), seed=seed)
        targets.save(targets_path)
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
        write_json(report_path, report)  # last: its presence says that the rest is there
    rows, levels = bank.match(train)
    return PreparedTeacher(name, targets, rows, report | {"matched": coverage(levels)})


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
        f"{report['stage1_accuracy']:.1%} of its inputs. Utterances matched: {report['matched']}."
    )
    if "validation_eer" in report:
        text += (
            f" Its own ceiling: {report['validation_eer']:.2%} EER on the validation trials when each voice is "
            f"replaced by its speaker's {noun}."
        )
    return text


def _fit_to_texts(teacher: Any, inputs: Sequence[TeacherInput], train: Manifest) -> None:
    """Descriptions and transcripts, the descriptions repeated until they are about half."""
    descriptions = [each.content for each in inputs]
    transcripts = [u.fields.get("transcript", "") for u in train]
    transcripts = [text for text in transcripts if text]
    teacher.fit(descriptions * max(1, len(transcripts) // len(descriptions)) + transcripts)


def _fit_to_faces(teacher: Any, inputs: Sequence[TeacherInput], train: Manifest) -> None:
    del train  # its pictures are the inputs
    teacher.fit([each.content for each in inputs], [each.identity for each in inputs])


def _ceiling(
    teacher: Any, head: TeacherHead, valid: Manifest, trials: Trials, data_root: str | Path | None
) -> dict[str, float]:
    """EER of the validation trials when every utterance is represented by its matched input.

    Trials with an utterance that has none are left out; nothing is said where those left are of one kind.
    """
    bank = embed_inputs(MODALITIES[teacher.modality].inputs(valid, data_root), teacher)
    with torch.no_grad():
        t = head(torch.from_numpy(bank.embeddings)).numpy()
    rows, _ = bank.match(valid)
    ids = [utterance.id for utterance, row in zip(valid, rows, strict=True) if row != UNMATCHED]
    scores, _ = cosine_scores(Embeddings(ids, t[rows[rows != UNMATCHED]]), trials)
    labels = scores.known_labels()
    if labels.all() or not labels.any():
        return {}
    # Equal inputs must tie exactly, whatever the rounding of a dot product.
    return {"validation_eer": eer(np.round(scores.scores, 5), labels)[0]}


MODALITIES = {
    "text": Modality(lambda manifest, data_root: text_inputs(manifest), _fit_to_texts, "text"),
    "face": Modality(face_inputs, _fit_to_faces, "picture"),
}
"""A teacher's attribute `modality` names one of them."""
