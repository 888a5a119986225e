"""One loss a file; each gives one value per sample, shape [batch].

The reduction to a number happens once, in `cmd_speaker.training.objective`. A distillation loss is called as
`loss(student, teacher)` with the student's embeddings [batch, D] and a `TeacherBatch`.
"""

from typing import NamedTuple

from torch import Tensor


class TeacherBatch(NamedTuple):
    """What the frozen teacher says of a batch. No gradient ever reaches it."""

    embedding: Tensor
    """t, the head's output, [batch, D]."""
    label: Tensor
    """The teacher's class of each sample, [batch]."""
    classifier: Tensor
    """Class vectors of the frozen stage-1 classifier, [teacher classes, D]."""
    norm: Tensor
    """Norm of the un-normalised teacher embedding, [batch]: a measure of its quality."""
    matched: Tensor
    """Whether the sample has a teacher input at all, bool [batch]."""
