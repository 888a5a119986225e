"""Losses of a sample against its own teacher's point or class: feature, teacher_classifier, prototype."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity, log_softmax, normalize

from cmd_speaker.losses.feature import feature_loss
from cmd_speaker.losses.prototype import prototype_loss
from cmd_speaker.losses.teacher_classifier import teacher_classifier_loss
from tests.batches import F64, student_batch, teacher_batch

DISTANCES = ("l2", "squared_l2", "cosine")


@pytest.mark.parametrize(
    ("distance", "margin", "expected"),
    [
        # Unit vectors at right angles are sqrt(2) apart, opposite ones 2, equal ones 0; lengths do not matter.
        ("l2", 1.0, [math.sqrt(2) - 1, 1.0, 0.0]),
        # Squared: 2, 4, 0.
        ("squared_l2", 1.0, [1.0, 3.0, 0.0]),
        # 1 - cos: 1, 2, 0.
        ("cosine", 0.5, [0.5, 1.5, 0.0]),
    ],
)
def test_feature_by_hand(distance, margin, expected):
    student = student_batch(torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.5, 0.0]], dtype=F64))
    t = teacher_batch([[0.0, 2.0], [-4.0, 0.0], [9.0, 0.0]])
    assert feature_loss(student, t, margin, distance).tolist() == pytest.approx(expected, abs=1e-12)


def test_without_margin_feature_is_the_hard_constraint_exactly():
    torch.manual_seed(0)
    s, t = torch.randn(64, 192), torch.randn(64, 192)
    batches = student_batch(s), teacher_batch(t)._replace(embedding=t)
    apart = normalize(s) - normalize(t)
    assert torch.equal(feature_loss(*batches), apart.norm(dim=1))
    assert torch.equal(feature_loss(*batches, distance="squared_l2"), apart.square().sum(1))
    torch.testing.assert_close(feature_loss(*batches, distance="cosine"), 1 - cosine_similarity(s, t))


def test_auto_margin_is_the_same_ball_in_every_unit():
    """A sample on the margin is on it in l2, squared and cosine: m = 0.6, 1.0 and sqrt(2)."""
    margins = [0.6, 1.0, math.sqrt(2)]
    angles = [2 * math.asin(m / 2) for m in margins]
    t = teacher_batch([[1.0, 0.0]] * 3, auto_margin=torch.tensor(margins, dtype=F64))
    for turn, sign in ((-0.01, 0), (0.01, 1)):
        turned = [[math.cos(angle + turn), math.sin(angle + turn)] for angle in angles]
        student = student_batch(torch.tensor(turned, dtype=F64))
        for distance in DISTANCES:
            assert feature_loss(student, t, "auto", distance).sign().tolist() == [sign] * 3


@pytest.mark.parametrize("distance", DISTANCES)
def test_feature_gradient(distance):
    torch.manual_seed(0)
    s = torch.randn(5, 4, dtype=F64, requires_grad=True)
    t = teacher_batch(torch.randn(5, 4, dtype=F64))
    assert torch.autograd.gradcheck(lambda s: feature_loss(student_batch(s), t, 0.3, distance), s)
    # Inside the margin, and on the teacher's very point, nothing pulls and nothing is NaN.
    at_teacher = t.embedding.clone().requires_grad_()
    feature_loss(student_batch(at_teacher), t, 0.5, distance).sum().backward()
    assert torch.equal(at_teacher.grad, torch.zeros(5, 4, dtype=F64))
    at_teacher.grad = None
    feature_loss(student_batch(at_teacher), t, 0.0, distance).sum().backward()
    assert at_teacher.grad.abs().max() < 1e-6


def test_teacher_classifier_by_hand():
    # s = (1, 0), class vectors (1, 0), (0, 1), (-1, 0), scale 2: logits (2, 0, -2).
    # Class 1: log(e^2 + 1 + e^-2) - 0 = log(8.52439) = 2.14293.
    t = teacher_batch([[1.0, 0.0]], label=[1], classifier=[[2.0, 0.0], [0.0, 0.1], [-1.0, 0.0]])
    student = student_batch(torch.tensor([[5.0, 0.0]], dtype=F64))
    expected = math.log(math.exp(2) + 1 + math.exp(-2))
    assert expected == pytest.approx(2.14293, abs=1e-5)
    for margin, left in ((0.0, expected), (2.0, expected - 2), (2.2, 0.0)):
        loss = teacher_classifier_loss(student, t, margin, scale=2.0)
        assert loss.tolist() == pytest.approx([left], abs=1e-12)


def test_teacher_classifier_gradient():
    torch.manual_seed(0)
    s = torch.randn(5, 4, dtype=F64, requires_grad=True)
    t = teacher_batch(torch.randn(5, 4), label=[0, 1, 2, 0, 1], classifier=torch.randn(3, 4))
    assert torch.autograd.gradcheck(lambda s: teacher_classifier_loss(student_batch(s), t, 0.1, scale=3.0), s)
    reference = -log_softmax(3 * normalize(s) @ normalize(t.classifier).T, dim=1)[range(5), t.label]
    torch.testing.assert_close(teacher_classifier_loss(student_batch(s), t, scale=3.0), reference)


def test_prototype_by_hand():
    """Two speakers' vectors at 0 and 90 degrees, the teacher's classes at 90 and 180, sample by sample."""
    classifier = torch.tensor([[2.0, 0.0], [0.0, 3.0]], dtype=F64, requires_grad=True)
    student = student_batch(torch.zeros(3, 2, dtype=F64), label=[0, 1, 1], classifier=classifier)
    t = teacher_batch(torch.zeros(3, 2), label=[1, 0, 0], classifier=[[0.0, 7.0], [-1.0, 0.0]])
    # Speaker 0 against class 1: opposite, 2 apart. Speaker 1 against class 0: equal.
    assert prototype_loss(student, t, 0.5).tolist() == pytest.approx([1.5, 0.0, 0.0], abs=1e-12)
    assert prototype_loss(student, t, 0, "cosine").tolist() == pytest.approx([2.0, 0.0, 0.0], abs=1e-12)
    prototype_loss(student, t._replace(label=torch.tensor([0, 1, 1]))).sum().backward()
    assert (classifier.grad.abs().sum(1) > 0).all()
