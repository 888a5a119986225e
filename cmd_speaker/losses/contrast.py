"""Contrast: the student's embedding tells its own teacher's from those of other classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear, normalize, softplus

from cmd_speaker.losses import StudentBatch, TeacherBatch


def contrast_loss(
    student: StudentBatch, teacher: TeacherBatch, margin: float = 0.0, temperature: float = 0.07
) -> Tensor:
    """`max(0, NCE - margin)`, NCE the loss of contrastive representation distillation (CRD), [batch], in nats.

    In CRD (Tian et al. 2020) a critic h says whether s and t come from one sample,

        NCE = -log h(s, t) - sum_n log(1 - h(s, t_n)),  h(s, t) = e / (e + N),  e = exp(cos(s, t) / temperature)

    over N negatives t_n. With `margin = 0` that is CRD but for these choices [ours]:

    - No learnt projections: the teacher's head is one already and the student must not need one. s and t are
      compared by their cosine.
    - Negatives are all the rows of the bank of another class than the sample's, not a random part of them.
    - Only the student is contrasted with the teacher's bank; there is no memory of the student's embeddings to
      contrast the teacher with.
    - The paper prints h with N/M in place of N, M the size of the data; its code divides e by a normaliser Z
      that it estimates once, as M times the mean of e. Here Z = M: unrelated unit vectors have a mean e
      of about 1. So e/Z / (e/Z + N/M) = e / (e + N).
    """
    s = normalize(student.embedding)
    positive = (s * normalize(teacher.embedding)).sum(1) / temperature
    negative = linear(s, normalize(teacher.bank_embedding)) / temperature
    other = teacher.bank_label != teacher.label[:, None]
    log_n = other.sum(1).clamp_min(1).to(s.dtype).log()
    # -log h = softplus(log N - log e), -log(1 - h) = softplus(log e - log N).
    repelled = (softplus(negative - log_n[:, None]) * other).sum(1)
    return (softplus(log_n - positive) + repelled - margin).clamp_min(0)
