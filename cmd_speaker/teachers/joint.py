"""The joint option: a teacher's head and classifier go on learning beside the student."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from cmd_speaker.losses.aam import AamSoftmax
from cmd_speaker.losses.gather import gather
from cmd_speaker.teachers.head import TeacherHead, TeacherTargets


class JointTeacher(nn.Module):
    """Head and classifier as stage 1 left them, trained on with the teacher's own identity loss [ours].

    That loss, on the bank rows of the batch, is all that moves them: what the distillation terms see of them has
    no gradient. `x` [rows, D_T] are the bank's embeddings, `targets` stage 1's result, as they are given to the
    utterances. Both parts belong to a run's checkpoints, and not to the student's model.
    """

    x: Tensor
    label: Tensor

    def __init__(self, head: TeacherHead, x: Tensor, targets: TeacherTargets) -> None:
        super().__init__()
        self.head = deepcopy(head)
        for parameter in self.head.fitted:
            parameter.requires_grad_(True)
        with torch.random.fork_rng(devices=[]):  # its first weights are not used
            self.classifier = AamSoftmax(*targets.classifier.shape)
        self.classifier.weight.data.copy_(targets.classifier)
        # They are the bank's, not learnt: no checkpoint needs them.
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("label", targets.label, persistent=False)
        # And the same in every process: torch would send the whole bank around at each step.
        self._ddp_params_and_buffers_to_ignore = ["x", "label"]

    def forward(self, rows: Tensor) -> Tensor:
        """Bank rows [batch], -1 for none -> the mean identity loss of those that are one; 0 where none is.

        The mean is over the samples of all processes, so scaled that the average of the processes' losses is it.
        Every parameter has a gradient at every step, as several processes require.
        """
        matched = rows >= 0
        rows = rows.clamp_min(0)
        values = self.classifier(self.head(self.x[rows]), self.label[rows])
        counts, _ = gather(matched.sum().reshape(1))
        return (values * matched).sum() * len(counts) / counts.sum().clamp_min(1)

    @torch.no_grad()
    def update(self, targets: TeacherTargets) -> TeacherTargets:
        """The targets as head and classifier have them now, without gradient; the whole bank is passed through."""
        return replace(
            targets, embedding=self.head(self.x), classifier=self.classifier.weight.detach().clone()
        )

    def permuted(self, chosen: np.ndarray, targets: TeacherTargets) -> JointTeacher:
        """The control: `chosen` [rows] says whose row each becomes, as in the permuted `targets`."""
        return JointTeacher(self.head, self.x[chosen], targets)
