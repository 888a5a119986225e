"""Stage 1 of a run: bank and head under `RUN/teacher`, made once, with what the teacher can know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.evaluation.metrics import eer
from cmd_speaker.evaluation.scoring import cosine_scores
from cmd_speaker.evaluation.trials import Trials
from cmd_speaker.files import write_json
from cmd_speaker.manifest import Manifest
from cmd_speaker.teachers.bank import build_text_bank, coverage, load_bank, text_inputs
from cmd_speaker.teachers.head import TeacherHead, TeacherTargets, fit_head


def prepare_text_teacher(
    teacher: Any,
    folder: str | Path,
    train: Manifest,
    student_size: int,
    *,
    valid: tuple[Manifest, Trials] | None = None,
    seed: int = 0,
    rebuild: bool = False,
    command: str = "",
) -> tuple[TeacherTargets, np.ndarray, dict[str, Any]]:
    """Bank, head and targets of a text teacher, made or read from `folder`.

    `train` gives the teacher's inputs (column `text`) and, where it has them, transcripts for pre-training.
    `valid` (held-out training speakers) is only scored, never fitted. Returns the targets, the bank row of
    each training utterance [n] and the report of what the teacher knows.
    """
    folder = Path(folder)
    targets_path, report_path = folder / "targets.safetensors", folder / "report.json"
    inputs = text_inputs(train)
    if report_path.is_file() and not rebuild:
        bank = load_bank(folder, inputs, teacher.source())
        targets = TeacherTargets.load(targets_path)
        report = json.loads(report_path.read_text(encoding="utf-8"))
    else:
        # While it is made anew, nothing may look finished.
        report_path.unlink(missing_ok=True)
        teacher.fit(_training_texts(train, list(inputs.values())))
        bank = build_text_bank(folder, train, teacher, f"{command} --rebuild_bank True")
        head, targets, stage1 = fit_head(bank, student_size, seed=seed)
        targets.save(targets_path)
        report = {
            "identities": stage1.identities,
            "distinct_inputs": stage1.distinct_inputs,
            "identification_ceiling": stage1.ceiling,
            "stage1_accuracy": stage1.accuracy,
        }
        if valid is not None:
            report["validation_eer"] = _teacher_eer(teacher, head, *valid)
        write_json(report_path, report)  # last: its presence says that the rest is there
    rows, levels = bank.match(train)
    report["matched"] = coverage(levels)
    return targets, rows, report


def describe(report: dict[str, Any]) -> str:
    """The report in a sentence or two."""
    text = (
        f"Teacher: {report['distinct_inputs']} distinct inputs for {report['identities']} training speakers, so "
        f"it can name at most {report['identification_ceiling']:.1%} of them; the fitted head recognises "
        f"{report['stage1_accuracy']:.1%} of its inputs. Utterances matched: {report['matched']}."
    )
    if "validation_eer" in report:
        text += (
            f" Its own ceiling: {report['validation_eer']:.2%} EER on the validation trials when each voice is "
            "replaced by its speaker's text."
        )
    return text


def _training_texts(train: Manifest, descriptions: list[str]) -> list[str]:
    """Descriptions and transcripts, the descriptions repeated until they are about half."""
    transcripts = [u.fields.get("transcript", "") for u in train]
    transcripts = [text for text in transcripts if text]
    return descriptions * max(1, len(transcripts) // len(descriptions)) + transcripts


def _teacher_eer(teacher: Any, head: TeacherHead, valid: Manifest, trials: Trials) -> float:
    """EER of the validation trials when every utterance is represented by its speaker's text."""
    inputs = text_inputs(valid)
    with torch.no_grad():
        t = head(torch.from_numpy(teacher.embed(list(inputs.values())))).numpy()
    places = {speaker: i for i, speaker in enumerate(inputs)}
    vectors = t[[places[utterance.spk_id] for utterance in valid]]
    scores, _ = cosine_scores(Embeddings([utterance.id for utterance in valid], vectors), trials)
    # Equal texts must tie exactly, whatever the rounding of a dot product.
    return eer(np.round(scores.scores, 5), scores.known_labels())[0]
