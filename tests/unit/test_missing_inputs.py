"""Batches in which some samples, or all, lack the input of a teacher."""

from types import SimpleNamespace

import numpy as np
import pytest
import speechbrain as sb
import torch
from torch import nn

from cmd_speaker.brain import Heard, SpeakerBrain
from cmd_speaker.losses.aam import AamSoftmax
from cmd_speaker.losses.registry import LOSSES
from cmd_speaker.teachers.bank import Bank, BankRow
from cmd_speaker.teachers.head import fit_head
from cmd_speaker.teachers.joint import JointTeacher
from cmd_speaker.training.data import Batch
from cmd_speaker.training.objective import distillation
from cmd_speaker.training.state import EpochAverages

SPEAKERS = ["a", "b", "c", "d"]
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def stage1(speakers, seed):
    """Head, bank and targets of a teacher that has two inputs of each of these speakers."""
    rows = [
        BankRow("identity", speaker, speaker, "", f"{speaker}{k}", {"norm": 1.0 + k})
        for speaker in speakers
        for k in range(2)
    ]
    vectors = np.random.default_rng(seed).standard_normal((len(rows), 5)).astype(np.float32)
    head, targets, _ = fit_head(Bank(vectors, rows), 8, SPEAKERS, steps=5)
    return head, torch.from_numpy(vectors), targets


def objective(term, rows, joint=()):
    """Loss, its gradient to the embeddings and what is logged; `rows` maps teachers to their columns."""
    torch.manual_seed(0)
    made = {"text": stage1(SPEAKERS, 0), "face": stage1(SPEAKERS[:2], 1)}
    identity = AamSoftmax(4, 8)
    modules = {
        "identity": identity,
        "distillation": nn.ModuleDict({name: distillation({term: {"weight": 1}}, {}) for name in rows}),
        **{f"joint_{name}": JointTeacher(*made[name]) for name in joint},
    }
    brain = SimpleNamespace(
        device="cpu", device_type="cpu", averages=EpochAverages(), progress=0.0, identity_margin=None,
        classifier=identity, modules=nn.ModuleDict(modules), targets={name: made[name][2] for name in rows},
        loader=SimpleNamespace(dataset=SimpleNamespace(quality_names=[])),
    )  # fmt: skip
    embeddings = torch.randn(6, 8, requires_grad=True)
    columns = torch.tensor(list(rows.values())).reshape(-1, 6).T
    batch = Batch(torch.empty(6, 0), LABELS, columns, torch.empty(6, 0))
    loss = SpeakerBrain.compute_objectives(
        brain, Heard(embeddings, torch.arange(6), {}), batch, sb.Stage.TRAIN
    )
    gradients = torch.autograd.grad(loss, [embeddings, *modules["identity"].parameters()])
    return loss.detach(), gradients, brain.averages.take()


ALL, SOME, NONE = [0, 2, 4, 6, 1, 3], [0, 2, -1, -1, 1, -1], [-1] * 6


@pytest.mark.parametrize("term", LOSSES)
def test_a_batch_without_any_face_is_one_without_that_teacher(term):
    """To the bit, in loss and gradients; and the other teacher is not disturbed."""
    loss, gradients, log = objective(term, {"text": ALL, "face": NONE})
    alone, expected, _ = objective(term, {"text": ALL})
    assert loss.equal(alone)
    assert all(
        here.equal(there) and here.isfinite().all() for here, there in zip(gradients, expected, strict=True)
    )
    assert log[f"face.{term}"] == log["face.weight"] == log[f"face.{term}_active"] == 0
    nobody, gradients, _ = objective(term, {"text": NONE, "face": NONE}, ["text", "face"])
    audio_only, expected, _ = objective(term, {})
    assert nobody.equal(audio_only)
    assert all(here.equal(there) for here, there in zip(gradients, expected, strict=True))


@pytest.mark.parametrize("term", LOSSES)
def test_teachers_of_different_coverage_add_up(term):
    """Each counts its own samples; the identity loss counts all of them, once."""
    both, _, log = objective(term, {"text": ALL, "face": SOME})
    text, _, text_log = objective(term, {"text": ALL})
    face, _, face_log = objective(term, {"face": SOME})
    audio_only, _, _ = objective(term, {})
    torch.testing.assert_close(both - audio_only, (text - audio_only) + (face - audio_only))
    assert face > audio_only
    assert log["face.weight"] == face_log["face.weight"]
    assert log["text.weight"] == text_log["text.weight"]
    assert log["identity"] == pytest.approx(float(audio_only))
