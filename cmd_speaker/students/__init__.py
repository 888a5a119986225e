"""Speech encoders. Each maps features [batch, frames, mels] to embeddings [batch, embedding_size]."""

from torch import nn

from cmd_speaker.students.ecapa import EcapaTdnn
from cmd_speaker.students.resnet import ResNet34
from cmd_speaker.students.xvector import Xvector

STUDENTS: dict[str, type[nn.Module]] = {"ecapa_tdnn": EcapaTdnn, "resnet34": ResNet34, "xvector": Xvector}
"""Every architecture that a model folder may name."""


def build_student(
    name: str, n_mels: int = 80, width: int | None = None, embedding_size: int | None = None
) -> nn.Module:
    """A student of `STUDENTS` by its name; None: what the architecture has in its paper.

    Raises `ValueError` for another name.
    """
    if name not in STUDENTS:
        raise ValueError(f"unknown student '{name}': expected {' or '.join(STUDENTS)}")
    given = {"width": width, "embedding_size": embedding_size}
    return STUDENTS[name](n_mels=n_mels, **{key: value for key, value in given.items() if value is not None})
