"""Quality of the speech, from the sources that the teachers' weights ask for, by name.

A name is `norm`, one of `quality.speech.MEASURES`, which are taken of the waveform as the student hears it, or
else a column of the manifest, `duration` among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.manifest import Manifest, Utterance
from cmd_speaker.quality.sources import NONE, NORM
from cmd_speaker.quality.speech import MEASURES
from cmd_speaker.training.objective import Distillation
from cmd_speaker.training.options import suggest


def sources(distillations: Iterable[Distillation]) -> list[str]:
    """The sources of Q_S that weights are made of, sorted, each once."""
    weights = [each.quality for each in distillations]
    return sorted({each.student_source for each in weights if each.enabled} - {NONE})


def columns(names: Iterable[str]) -> list[str]:
    """Those of the sources that are columns of the manifest."""
    return [name for name in names if name != NORM and name not in MEASURES]


@torch.no_grad()
def as_heard(waveforms: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Those of the sources that are measured, of waveforms [batch, samples]: each [batch]."""
    return {name: MEASURES[name](waveforms) for name in names if name in MEASURES}


def read_columns(manifest: Manifest, names: Sequence[str]) -> np.ndarray:
    """The manifest's columns `names` as float32 [utterances, columns].

    Raises `DataError` where it lacks one of them, and `DataErrors` for every value that is no finite number.
    """
    if not names:
        return np.empty((len(manifest), 0), np.float32)
    known = ["duration", *manifest.utterances[0].fields]
    others = [NORM, NONE, *MEASURES]
    for name in names:
        if name not in known:
            raise DataError(
                f"no source of the speech's quality '{name}'{suggest(name, [*known, *others])}",
                file=manifest.path, row=1, expected=f"{', '.join(others)} or a column of numbers",
                found=f"columns {', '.join(known)}", fix="Correct the recipe's quality, or add the column",
            )  # fmt: skip
    table = np.array([[_number(each, name) for name in names] for each in manifest], np.float32)
    errors = [
        _no_number(manifest, manifest.utterances[row], names[column])
        for row, column in np.argwhere(~np.isfinite(table)).tolist()
    ]
    if errors:
        raise DataErrors(f"{manifest.path}: {len(errors)} qualities are not known", errors)
    return table


def check_quality(name: str, source: str, known: Iterable[str]) -> None:
    """Raise `DataError` unless the source of Q_T is `none` or one that the inputs of the teacher `name` have."""
    known = sorted(known)
    if source not in [*known, NONE]:
        raise DataError(
            f"no source of the quality of teacher '{name}': '{source}'{suggest(source, [*known, NONE])}",
            expected=f"one of {', '.join([NONE, *known])}", found=source,
            fix="Correct the recipe's quality, or add the column to the teacher's inputs",
        )  # fmt: skip


def _number(utterance: Utterance, name: str) -> float:
    if name == "duration":
        assert utterance.duration is not None
        return utterance.duration
    try:
        return float(utterance.fields[name])
    except ValueError:
        return math.nan


def _no_number(manifest: Manifest, utterance: Utterance, name: str) -> DataError:
    return DataError(
        f"no {name} of '{utterance.id}'", file=manifest.path, row=utterance.row, expected="a finite number",
        found=repr(utterance.fields.get(name, "")), fix="Measure it with cmd-speaker quality, or remove the row",
    )  # fmt: skip
