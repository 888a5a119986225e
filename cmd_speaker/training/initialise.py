"""Fine-tuning: a student that begins with the weights of a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cmd_speaker.errors import DataError
from cmd_speaker.model_folder import load_model_folder


def initialise_student(student: Any, front_end: Any, folder: str | Path) -> None:
    """Give `student` the weights of the model in `folder`; the classifier of the identity loss begins anew.

    Both are of the tables that a model folder may name. The random state is left as it was. Raises `DataError`
    where the model hears other features or is another network than the recipe's, and as `load_model_folder` does.
    """
    with torch.random.fork_rng(devices=[]):  # building the model draws weights, which the stored ones replace
        encoder, _ = load_model_folder(folder)
    parts = (("student", encoder.student, student), ("front-end", encoder.front_end, front_end))
    for part, stored, wanted in parts:
        if (type(stored), stored.config()) != (type(wanted), wanted.config()):
            raise DataError(
                f"the model to begin with has another {part}", file=folder, expected=_described(wanted),
                found=_described(stored), fix="Give the recipe the model's values, or another --init_from",
            )  # fmt: skip
    student.load_state_dict(encoder.student.state_dict())


def _described(part: Any) -> str:
    arguments = ", ".join(f"{name} {value}" for name, value in part.config().items())
    return f"{type(part).__name__}: {arguments}"
