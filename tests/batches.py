"""Batches of a student and a teacher, for tests of losses."""

import torch

from cmd_speaker.losses import StudentBatch, TeacherBatch

F64 = torch.float64


def teacher_batch(embedding, label=None, classifier=None, matched=None, **others):
    """All matched and of class 0, the class vectors the axes, the bank the batch, unless said otherwise."""
    embedding = torch.as_tensor(embedding, dtype=F64)
    n = len(embedding)
    values = {
        "embedding": embedding,
        "label": torch.zeros(n, dtype=torch.long) if label is None else torch.tensor(label),
        "classifier": torch.eye(embedding.shape[1], dtype=F64)
        if classifier is None
        else torch.as_tensor(classifier, dtype=F64),
        "class_map": torch.arange(2),
        "auto_margin": torch.zeros(n, dtype=F64),
        "quality": {"norm": embedding.norm(dim=1)},
        "matched": torch.ones(n, dtype=torch.bool) if matched is None else torch.tensor(matched),
    }
    bank = {"bank_embedding": embedding, "bank_label": values["label"]}
    return TeacherBatch(**{**values, **bank, **others})


def student_batch(embedding, label=None, classifier=None, scale=30.0):
    embedding = torch.as_tensor(embedding)
    n, size = embedding.shape
    return StudentBatch(
        embedding,
        torch.zeros(n, dtype=torch.long) if label is None else torch.tensor(label),
        torch.eye(size, dtype=embedding.dtype) if classifier is None else classifier,
        scale,
        {"norm": embedding.detach().norm(dim=1)},
    )
