"""One loss a file; each gives one value per sample, shape [batch].

The reduction to a number happens once, in `cmd_speaker.training.objective`. A distillation loss is called as
`loss(student, teacher, margin, **arguments of its own)` with the two batches below. It is soft,
`max(0, x - margin)`; a margin of 0 is the hard constraint, exactly. A loss over many relations of a sample gives a
`Relation`. `registry.LOSSES` lists them by name.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class StudentBatch(NamedTuple):
    """What the student says of a batch, with gradient."""

    embedding: Tensor
    """s, not normalised, [batch, D]."""
    label: Tensor
    """Speaker class, int64 [batch]."""
    classifier: Tensor
    """Class vectors of the identity loss, [student classes, D]."""
    scale: float
    """What the identity loss multiplies its cosines by."""
    quality: Mapping[str, Tensor]
    """Raw quality of the speech by source, each [batch]; without gradient."""


class TeacherBatch(NamedTuple):
    """What the teacher says of a batch. No gradient ever reaches it."""

    embedding: Tensor
    """t, the head's output, [batch, D]."""
    label: Tensor
    """The teacher's class of each sample, int64 [batch]."""
    classifier: Tensor
    """Class vectors of the stage-1 classifier, [teacher classes, D]."""
    class_map: Tensor
    """Teacher class of each student class, int64 [student classes]; -1: that speaker has no teacher input."""
    auto_margin: Tensor
    """The dead zone that `margin: auto` gives each sample, as a distance of unit vectors, [batch]."""
    quality: Mapping[str, Tensor]
    """Raw quality of the teacher's input by source ("norm" of the un-normalised embedding, ...), each [batch]."""
    matched: Tensor
    """Whether the sample has a teacher input at all, bool [batch]; where not, its other values mean nothing."""
    bank_embedding: Tensor
    """Every t of the bank, [rows, D]."""
    bank_label: Tensor
    """The teacher's class of each row, int64 [rows]."""


class Relation(NamedTuple):
    """A loss over the relations of each sample, its pairs or triplets with others."""

    value: Tensor
    """Mean over the relations, [batch]."""
    outside: Tensor
    """Share of them outside the margin, [batch]; without gradient."""
