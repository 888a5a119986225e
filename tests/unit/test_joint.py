"""A teacher that goes on learning: what moves its head and classifier, and what must not."""

import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from cmd_speaker.losses import StudentBatch
from cmd_speaker.losses.aam import aam_softmax
from cmd_speaker.losses.registry import LOSSES
from cmd_speaker.teachers.bank import Bank, BankRow
from cmd_speaker.teachers.head import TeacherHead, fit_head
from cmd_speaker.teachers.joint import JointTeacher
from cmd_speaker.training.objective import distillation

SPEAKERS = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def stage1():
    """Head and targets of four speakers with two rows each, the last without any."""
    rng = np.random.default_rng(0)
    rows = [
        BankRow("identity", speaker, speaker, "", f"{speaker}{k}", {"norm": 1.0})
        for speaker in SPEAKERS[:3]
        for k in range(2)
    ]
    bank = Bank(rng.standard_normal((6, 5)).astype(np.float32), rows)
    head, targets, _ = fit_head(bank, 8, SPEAKERS, steps=20)
    return head, torch.from_numpy(bank.embeddings), targets


@pytest.fixture
def joint(stage1):
    return JointTeacher(*stage1)


def student_batch():
    torch.manual_seed(0)
    embedding = torch.randn(5, 8, requires_grad=True)
    classifier = torch.randn(4, 8, requires_grad=True)
    return StudentBatch(embedding, torch.tensor([0, 1, 2, 3, 0]), classifier, 30.0, {"norm": torch.ones(5)})


def states(joint):
    return [parameter.detach().clone() for parameter in joint.parameters()]


def test_it_starts_as_stage_1_left_it(stage1):
    _, _, targets = stage1
    state = torch.get_rng_state()
    joint = JointTeacher(*stage1)
    assert torch.get_rng_state().equal(state)
    updated = joint.update(targets)
    assert updated.embedding.equal(targets.embedding)
    assert updated.classifier.equal(targets.classifier)
    assert not updated.embedding.requires_grad
    assert not updated.classifier.requires_grad


def test_its_loss_is_that_of_the_rows_in_the_batch(joint, stage1):
    head, x, targets = stage1
    t = normalize(head(x[[3, 5, 3]]))
    expected = aam_softmax(t @ normalize(targets.classifier).T, targets.label[[3, 5, 3]], 0.2, 30.0).mean()
    torch.testing.assert_close(joint(torch.tensor([3, -1, 5, 3])), expected)


def test_a_batch_without_input_gives_zero_and_finite_gradients(joint):
    loss = joint(torch.tensor([-1, -1]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(not parameter.grad.any() for parameter in joint.parameters()), "zero, neither none nor NaN"


@pytest.mark.parametrize("name", LOSSES)
def test_distillation_alone_leaves_it_as_it_is(joint, stage1, name):
    """Bit for bit, through an optimiser that would move whatever has a gradient."""
    student, start, before = student_batch(), student_batch(), states(joint)
    optimizer = torch.optim.Adam([*joint.parameters(), student.embedding, student.classifier], lr=0.1)
    for _ in range(2):
        teacher = joint.update(stage1[2]).batch(torch.tensor([0, 3, 4, -1, 1]))
        total, _ = distillation({name: {"weight": 1}}, {"enabled": False})(student, teacher, 0.0)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    moved = [student.embedding, student.classifier]
    assert any(
        not now.equal(was) for now, was in zip(moved, [start.embedding, start.classifier], strict=True)
    )
    assert all(now.equal(was) for now, was in zip(states(joint), before, strict=True))


def test_its_own_loss_moves_every_part_and_the_targets_follow(joint, stage1):
    targets, before = stage1[2], states(joint)
    optimizer = torch.optim.Adam(joint.parameters(), lr=0.1)
    joint(torch.tensor([0, 3])).backward()
    optimizer.step()
    assert all(not now.equal(was) for now, was in zip(states(joint), before, strict=True))
    updated = joint.update(targets)
    torch.testing.assert_close(updated.embedding, joint.head(stage1[1]).detach())
    assert updated.classifier.equal(joint.classifier.weight)
    assert updated.batch(torch.tensor([2])).embedding[0].equal(updated.embedding[2])


def test_a_checkpoint_holds_what_is_learnt(joint, stage1):
    assert {name.partition(".")[0] for name in joint.state_dict()} == {"head", "classifier"}
    nn.init.normal_(joint.classifier.weight)
    other = JointTeacher(*stage1)
    other.load_state_dict(joint.state_dict())
    rows = torch.tensor([1, 4])
    assert other(rows).equal(joint(rows))


def test_the_control_learns_the_rows_of_the_others(joint, stage1):
    targets = stage1[2]
    chosen = targets.permutation(3)
    permuted = joint.permuted(chosen, targets.taking(chosen))
    assert permuted.label.equal(targets.label[chosen])
    torch.testing.assert_close(permuted.update(targets).embedding, targets.embedding[chosen])
    assert chosen[0] not in (0, 1)
    torch.testing.assert_close(permuted(torch.tensor([0])), joint(torch.tensor([chosen[0]])))


def test_a_head_round_trip(stage1, tmp_path):
    head, x, _ = stage1
    head.save(tmp_path / "head.safetensors")
    state = torch.get_rng_state()
    read = TeacherHead.load(tmp_path / "head.safetensors", 5, 8)
    assert torch.get_rng_state().equal(state)
    assert read(x).equal(head(x))


def test_the_bank_is_not_sent_around_at_each_step(joint, tmp_path):
    """What every process has from the disk; the mean of the head goes along."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        sent = DistributedDataParallel(joint).modules_buffers
    finally:
        distributed.destroy_process_group()
    assert [buffer.data_ptr() for buffer in sent] == [joint.head.mean.data_ptr()]
