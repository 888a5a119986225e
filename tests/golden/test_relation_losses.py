"""Relation losses (RKD) against hand-worked values, plain loops over the definition, and two processes."""

import itertools
import math
import os

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from cmd_speaker.losses.angle import angle_loss
from cmd_speaker.losses.pair_distance import pair_distance_loss
from cmd_speaker.training.objective import distillation
from tests.batches import F64, student_batch, teacher_batch

LOSSES = (angle_loss, pair_distance_loss)


def points(*rows):
    return torch.tensor(rows, dtype=F64)


@pytest.mark.parametrize(("margin", "expected"), [(0.0, [0.125, 0.0214466, 0.0214466]), (0.3, [0.02, 0, 0])])
def test_angle_by_hand(margin, expected):
    """The student's triangle is right-angled, cosines 0, 0.7071 and 0.7071; the teacher's equilateral, all 0.5.

    Differences 0.5, 0.2071, 0.2071; halves of their squares 0.125 and 0.0214466; beyond 0.3 only 0.2, 0.02.
    """
    student = student_batch(points([0, 0], [1, 0], [0, 1]))
    t = teacher_batch(points([0, 0], [1, 0], [0.5, math.sqrt(3) / 2]))
    assert angle_loss(student, t, margin).value.tolist() == pytest.approx(expected, abs=1e-7)


def test_a_large_difference_counts_linearly():
    # At the first point the student's angle is 180 degrees, the teacher's 0: difference 2, Huber 2 - 0.5.
    student = student_batch(points([0, 0], [1, 0], [-1, 0]))
    t = teacher_batch(points([0, 0], [1, 0], [2, 0]))
    assert float(angle_loss(student, t).value[0]) == pytest.approx(1.5)
    assert float(angle_loss(student, t, 0.5).value[0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("margin", "expected"),
    [(0.0, [0.015625, 0.03125, 0.015625]), (0.2, [0.000625, 0.00125, 0.000625])],
)
def test_pair_distance_by_hand(margin, expected):
    """Student at 0, 1, 3: distances 1, 3, 2, over their mean 0.5, 1.5, 1. Teacher at 0, 1, 2: 0.75, 1.5, 0.75.

    Differences 0.25 (0 and 1), 0 (0 and 2), 0.25 (1 and 2); half of 0.25^2 is 0.03125, of 0.05^2 0.00125. Each
    point has two pairs.
    """
    loss = pair_distance_loss(
        student_batch(points([0], [1], [3])), teacher_batch(points([0], [1], [2])), margin
    )
    assert loss.value.tolist() == pytest.approx(expected, abs=1e-12)


def test_the_share_of_relations_outside_the_margin():
    """As by hand above: beyond 0.3 only the first point's triplets; 0.25 of two pairs in three beyond 0.2."""
    triangle, equilateral = points([0, 0], [1, 0], [0, 1]), points([0, 0], [1, 0], [0.5, math.sqrt(3) / 2])
    found = angle_loss(student_batch(triangle), teacher_batch(equilateral), 0.3)
    assert found.outside.tolist() == [1, 0, 0]
    line = student_batch(points([0], [1], [3])), teacher_batch(points([0], [1], [2]))
    assert pair_distance_loss(*line, 0.2).outside.tolist() == [0.5, 1, 0.5]
    unmatched = teacher_batch(points([0], [1], [2], [-9]), matched=[True, True, True, False])
    more = pair_distance_loss(student_batch(points([0], [1], [3], [50])), unmatched, 0.2)
    assert more.outside.tolist() == [0.5, 1, 0.5, 0]
    _, log = distillation({"pair_distance": {"weight": 1, "margin": 0.2}}, {"enabled": False})(*line, 0.0)
    assert float(log["pair_distance_active"]) == pytest.approx(2 / 3)


def huber(x):
    return x * x / 2 if x <= 1 else x - 0.5


def angle_by_definition(s, t, i, js, margin):
    def cosine(x, j, k):
        a, b = x[j] - x[i], x[k] - x[i]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    found = [abs(cosine(s, j, k) - cosine(t, j, k)) for j, k in itertools.permutations(js, 2)]
    return np.mean([huber(max(0, x - margin)) for x in found])


def distance_by_definition(s, t, i, js, margin):
    def relative(x, j):
        known = [i, *js]
        mean = np.mean([np.linalg.norm(x[a] - x[b]) for a, b in itertools.combinations(known, 2)])
        return np.linalg.norm(x[i] - x[j]) / mean

    return np.mean([huber(max(0, abs(relative(s, j) - relative(t, j)) - margin)) for j in js])


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("margin", [0.0, 0.1])
@pytest.mark.parametrize(
    ("loss", "definition"), [(angle_loss, angle_by_definition), (pair_distance_loss, distance_by_definition)]
)
def test_the_definition(loss, definition, margin, normalised):
    """Seven samples of which the third has no teacher, by plain loops over all pairs and triplets."""
    rng = np.random.default_rng(0)
    s, t = rng.normal(size=(2, 7, 4)) * rng.uniform(1, 5, (2, 7, 1))
    matched = [True, True, False, True, True, True, True]
    values = loss(student_batch(s), teacher_batch(t, matched=matched), margin, normalised=normalised).value
    if normalised:
        s, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (s, t))
    known = [0, 1, 3, 4, 5, 6]
    expected = [definition(s, t, i, [j for j in known if j != i], margin) for i in known]
    assert values[known].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_relations_of_equal_shapes_cost_nothing(loss):
    """Turned, moved and (angle, relative distance) scaled: the same relations."""
    torch.manual_seed(0)
    t = torch.randn(6, 4, dtype=F64)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=F64))[0]
    s = (3 * t @ turn + torch.randn(4, dtype=F64)).requires_grad_()
    values = loss(student_batch(s), teacher_batch(t)).value
    assert values.max() < 1e-12
    values.sum().backward()
    assert s.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_relation_gradients(loss):
    torch.manual_seed(0)
    s = torch.randn(6, 3, dtype=F64, requires_grad=True)
    t = teacher_batch(torch.randn(6, 3), matched=[True] * 5 + [False])
    assert torch.autograd.gradcheck(lambda s: loss(student_batch(s), t, 0.05).value, s)


@pytest.mark.parametrize("loss", LOSSES)
def test_coincident_points_have_finite_gradients(loss):
    """Samples 0 and 1 have one teacher's point, 2 and 3 one student's; all equal; fewer than three."""
    torch.manual_seed(0)
    t, s = torch.randn(6, 4), torch.randn(6, 4)
    t[1], s[3] = t[0], s[2]
    for student, other in (
        (s, t),
        (s[:1].repeat(6, 1), t),
        (s, t[:1].repeat(6, 1)),
        (s[:2], t[:2]),
        (s[:1], t[:1]),
    ):
        student = student.clone().requires_grad_()
        values = loss(student_batch(student), teacher_batch(other)._replace(embedding=other)).value
        values.sum().backward()
        assert values.isfinite().all()
        assert student.grad.abs().max() < 100


def test_there_is_no_angle_between_a_point_and_itself():
    """The fourth sample has the first's teacher input: triplets of both at one's angle are left out, no others."""
    rng = np.random.default_rng(1)
    s, t = rng.normal(size=(2, 4, 3))
    t[3] = t[0]
    values = angle_loss(student_batch(s), teacher_batch(t)).value
    # Only 1 and 2 are left for the first and the fourth; the others have all.
    expected = [angle_by_definition(s, t, 0, [1, 2], 0), angle_by_definition(s, t, 1, [0, 2, 3], 0),
                angle_by_definition(s, t, 2, [0, 1, 3], 0), angle_by_definition(s, t, 3, [1, 2], 0)]  # fmt: skip
    assert values.tolist() == pytest.approx(expected, abs=1e-12)


def eight_samples():
    generator = torch.Generator().manual_seed(3)
    s, t = torch.randn(2, 8, 4, dtype=F64, generator=generator)
    return s, t, torch.tensor([True, True, False, True, True, True, True, True])


def values_and_gradient(s, t, matched, margin=0.05):
    s = s.clone().requires_grad_()
    batches = student_batch(s), teacher_batch(t)._replace(matched=matched)
    values = [loss(*batches, margin).value for loss in LOSSES]
    sum(each.sum() for each in values).backward()
    return torch.stack(values).detach(), s.grad


def one_of_two(rank, folder):
    """A process with five of the samples, or with the other three."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    mine = slice(0, 5) if rank == 0 else slice(5, 8)
    torch.save(values_and_gradient(*(x[mine] for x in eight_samples())), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_have_the_values_and_gradients_of_one(tmp_path):
    multiprocessing.spawn(one_of_two, (tmp_path,), nprocs=2)
    values, gradient = values_and_gradient(*eight_samples())
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    torch.testing.assert_close(torch.cat([part[0] for part in parts], dim=1), values, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), gradient, rtol=0, atol=1e-12)
    assert gradient[[0, 7]].abs().sum() > 0
