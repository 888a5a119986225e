"""The kinds of teachers: what each sees of a manifest, and how it is fitted to that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmd_speaker.manifest import Manifest
from cmd_speaker.quality import image, text
from cmd_speaker.teachers.bank import Measure, TeacherInput, text_inputs
from cmd_speaker.teachers.pictures import face_inputs, measure_pictures


@dataclass(frozen=True)
class Modality:
    """One kind of teacher; functions are given the teacher first.

    `inputs` lists what it sees of a manifest, `fit` learns from that, `noun` is what one input is called, and
    `left_out` says which inputs it has and does not use. `measure` finds the qualities `measures` of inputs'
    contents.
    """

    inputs: Callable[[Any, Manifest, str | Path | None], list[TeacherInput]]
    fit: Callable[[Any, Sequence[TeacherInput], Manifest], None]
    noun: str
    left_out: Callable[[Any, Manifest], str] = lambda teacher, manifest: ""
    measures: Collection[str] = ()
    measure: Measure = lambda contents: {}


def _fit_to_texts(teacher: Any, inputs: Sequence[TeacherInput], train: Manifest) -> None:
    """Descriptions and transcripts, the descriptions repeated until they are about half."""
    descriptions = [each.content for each in inputs]
    transcripts = [u.fields.get("transcript", "") for u in train]
    transcripts = [text for text in transcripts if text]
    teacher.fit(descriptions * max(1, len(transcripts) // len(descriptions)) + transcripts)


def _fit_to_faces(teacher: Any, inputs: Sequence[TeacherInput], train: Manifest) -> None:
    del train  # its pictures are the inputs
    teacher.fit([each.content for each in inputs], [each.identity for each in inputs])


def _measure_texts(texts: Sequence[str]) -> dict[str, list[float]]:
    return {name: [measure(each) for each in texts] for name, measure in text.MEASURES.items()}


MODALITIES = {
    "text": Modality(
        lambda teacher, manifest, data_root: text_inputs(manifest),
        _fit_to_texts,
        "text",
        measures=text.MEASURES,
        measure=_measure_texts,
    ),
    "face": Modality(
        lambda teacher, manifest, data_root: face_inputs(manifest, data_root),
        _fit_to_faces,
        "picture",
        measures=image.MEASURES,
        measure=measure_pictures,
    ),
    "vectors": Modality(
        lambda teacher, manifest, data_root: teacher.inputs(manifest),
        lambda teacher, inputs, train: None,  # it was trained elsewhere
        "vector",
        lambda teacher, manifest: teacher.left_out(manifest),
    ),
}
"""A teacher's attribute `modality` names one of them."""
