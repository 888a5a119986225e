"""Losses against hand-worked values, other implementations and numerical gradients."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import speechbrain as sb
import torch
from torch.nn.functional import cross_entropy, log_softmax, normalize

from cmd_speaker.brain import SpeakerBrain
from cmd_speaker.losses import TeacherBatch
from cmd_speaker.losses.aam import AamSoftmax, aam_softmax
from cmd_speaker.losses.classifier import teacher_classifier_loss
from cmd_speaker.losses.feature import feature_loss
from cmd_speaker.losses.quality import NormQuality, quality_weights
from cmd_speaker.teachers.head import TeacherTargets
from cmd_speaker.training.data import Batch
from cmd_speaker.training.objective import Distillation, QualityWeights, Term
from cmd_speaker.training.state import EpochAverages

F64 = torch.float64
EQUAL = QualityWeights(enabled=False)


def teacher(embedding, label=None, classifier=None, matched=None):
    embedding = torch.as_tensor(embedding, dtype=F64)
    n = len(embedding)
    return TeacherBatch(
        embedding,
        torch.zeros(n, dtype=torch.long) if label is None else torch.tensor(label),
        torch.eye(embedding.shape[1], dtype=F64)
        if classifier is None
        else torch.as_tensor(classifier, dtype=F64),
        embedding.norm(dim=1),
        torch.ones(n, dtype=torch.bool) if matched is None else torch.tensor(matched),
    )


def test_aam_by_hand():
    # cos = (0.5, 0.2), true class 0, margin 0.2, scale 30. theta = acos(0.5) = 1.0471975512,
    # cos(theta + 0.2) = cos(1.2471975512) = 0.3179670, logits (9.53901, 6);
    # loss = log(1 + exp(6 - 9.53901)) = log(1 + exp(-3.53901)) = 0.028615.
    loss = aam_softmax(torch.tensor([[0.5, 0.2]], dtype=F64), torch.tensor([0]), 0.2, 30.0)
    expected = math.log1p(math.exp(6 - 30 * math.cos(math.acos(0.5) + 0.2)))
    assert loss.tolist() == pytest.approx([expected], abs=1e-12)
    assert expected == pytest.approx(0.02862, abs=1e-5)


def test_aam_without_margin_is_scaled_softmax():
    torch.manual_seed(0)
    cosine = torch.rand(5, 7, dtype=F64) * 2 - 1
    labels = torch.randint(7, (5,))
    expected = cross_entropy(30 * cosine, labels, reduction="none")
    torch.testing.assert_close(aam_softmax(cosine, labels, 0.0, 30.0), expected, rtol=0, atol=1e-9)


def test_aam_falls_as_the_angle_closes_also_past_pi():
    angles = torch.linspace(0.01, math.pi - 0.001, 400, dtype=F64)
    cosine = torch.stack([angles.cos(), torch.zeros(400, dtype=F64)], dim=1)
    loss = aam_softmax(cosine, torch.zeros(400, dtype=torch.long), 0.2, 30.0)
    assert (loss.diff() >= -1e-12).all()


def test_aam_gradient_is_right_and_finite_at_the_ends():
    torch.manual_seed(0)
    cosine = (torch.rand(4, 3, dtype=F64) * 1.6 - 0.8).requires_grad_()
    labels = torch.tensor([0, 1, 2, 0])
    assert torch.autograd.gradcheck(lambda c: aam_softmax(c, labels, 0.2, 5.0), cosine)
    ends = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=F64, requires_grad=True)
    aam_softmax(ends, torch.tensor([0, 0]), 0.2, 30.0).sum().backward()
    assert ends.grad.isfinite().all()


def test_aam_classifier_ignores_lengths():
    torch.manual_seed(0)
    classifier = AamSoftmax(6, 4)
    embeddings, labels = torch.randn(3, 4), torch.tensor([0, 5, 2])
    torch.testing.assert_close(classifier(embeddings, labels), classifier(7 * embeddings, labels))
    assert classifier(embeddings, labels).shape == (3,)


def test_feature_loss_by_hand():
    # Unit vectors at right angles are sqrt(2) apart, opposite ones 2, equal ones 0; lengths do not matter.
    student = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.5, 0.0]], dtype=F64)
    t = teacher([[0.0, 2.0], [-4.0, 0.0], [9.0, 0.0]])
    assert feature_loss(student, t, 1.0).tolist() == pytest.approx([math.sqrt(2) - 1, 1.0, 0.0], abs=1e-12)


def test_feature_loss_without_margin_is_the_hard_constraint_exactly():
    torch.manual_seed(0)
    student, t = torch.randn(64, 192), torch.randn(64, 192)
    hard = (normalize(student) - normalize(t)).norm(dim=1)
    soft = feature_loss(student, TeacherBatch(t, *[torch.zeros(64)] * 4), margin=0.0)
    assert torch.equal(soft, hard)


def test_feature_loss_gradient():
    torch.manual_seed(0)
    student = torch.randn(5, 4, dtype=F64, requires_grad=True)
    t = teacher(torch.randn(5, 4, dtype=F64))
    assert torch.autograd.gradcheck(lambda s: feature_loss(s, t, 0.3), student)
    # Inside the margin, and on the teacher's very point, nothing pulls and nothing is NaN.
    at_teacher = t.embedding.clone().requires_grad_()
    feature_loss(at_teacher, t, 0.5).sum().backward()
    assert torch.equal(at_teacher.grad, torch.zeros(5, 4, dtype=F64))
    at_teacher.grad = None
    feature_loss(at_teacher, t, 0.0).sum().backward()
    assert at_teacher.grad.isfinite().all()


def test_classifier_loss_by_hand():
    # s = (1, 0), class vectors (1, 0), (0, 1), (-1, 0), scale 2: logits (2, 0, -2).
    # Class 1: log(e^2 + 1 + e^-2) - 0 = log(8.52439) = 2.14293.
    t = teacher([[1.0, 0.0]], label=[1], classifier=[[2.0, 0.0], [0.0, 0.1], [-1.0, 0.0]])
    loss = teacher_classifier_loss(torch.tensor([[5.0, 0.0]], dtype=F64), t, scale=2.0)
    expected = math.log(math.exp(2) + 1 + math.exp(-2))
    assert loss.tolist() == pytest.approx([expected], abs=1e-12)
    assert expected == pytest.approx(2.14293, abs=1e-5)


def test_classifier_loss_gradient():
    torch.manual_seed(0)
    student = torch.randn(5, 4, dtype=F64, requires_grad=True)
    t = teacher(torch.randn(5, 4), label=[0, 1, 2, 0, 1], classifier=torch.randn(3, 4))
    assert torch.autograd.gradcheck(lambda s: teacher_classifier_loss(s, t, 3.0), student)
    reference = -log_softmax(3 * normalize(student) @ normalize(t.classifier).T, dim=1)[range(5), t.label]
    torch.testing.assert_close(teacher_classifier_loss(student, t, 3.0), reference)


def test_norm_quality_by_hand():
    quality = NormQuality()
    # First batch (2, 4, 6): mean 4, deviation 2 -> (n - 4) / 2 / 3.
    assert quality(torch.tensor([2.0, 4.0, 6.0])).tolist() == pytest.approx([-1 / 3, 0, 1 / 3])
    # Second batch (4, 4): mean 4, deviation 0.99 * 2 + 0.01 * 0 = 1.98.
    quality(torch.tensor([4.0, 4.0]))
    assert float(quality.deviation) == pytest.approx(1.98)
    quality.eval()
    assert quality(torch.tensor([100.0, -100.0])).tolist() == [1.0, -1.0]
    assert float(quality.mean) == pytest.approx(4.0)


def test_equal_norms_have_no_quality():
    assert NormQuality()(torch.full((8,), 3.0)).tolist() == [0.0] * 8


def test_quality_weights_by_hand():
    teacher_quality, student_quality = torch.tensor([0.5, -1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    assert quality_weights(teacher_quality, student_quality).tolist() == [1.5, 0.0, 1.0]
    assert quality_weights(teacher_quality, student_quality, slope=2.0, offset=0.5).tolist() == [
        1.5,
        0.0,
        0.5,
    ]


def test_weights_are_detached():
    student = torch.randn(6, 4, requires_grad=True)
    t = teacher(torch.randn(6, 4))
    assert not QualityWeights()(student, t).requires_grad


def test_a_sample_without_teacher_weighs_nothing():
    t = teacher(torch.randn(4, 3), matched=[True, False, True, False])
    weights = QualityWeights()(torch.randn(4, 3), t)
    assert weights[1] == weights[3] == 0
    assert weights[0] > 0


def test_objective_by_hand():
    # Distances sqrt(2), 0, sqrt(2); the third sample has no teacher. Sum / batch = sqrt(2) / 3.
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=F64)
    t = teacher([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], matched=[True, True, False])
    distillation = Distillation({"feature": Term(2.0, feature_loss), "off": Term(0.0, feature_loss)}, EQUAL)
    total, log = distillation(student, t)
    assert float(total) == pytest.approx(2 * math.sqrt(2) / 3)
    assert {k: float(v) for k, v in log.items()} == pytest.approx(
        {"weight": 2 / 3, "feature": math.sqrt(2) / 3, "feature_active": 0.5}
    )


def test_two_teachers_by_hand():
    """Each has its own row, terms and weight for a sample; the identity loss has a mean of 0.25."""
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    def targets(*embedding):
        n = torch.arange(len(embedding))
        return TeacherTargets(torch.tensor(embedding), n, torch.eye(2), torch.ones(len(n)), n)

    def distillation(weight, margin):
        return Distillation({"feature": Term(weight, partial(feature_loss, margin=margin))}, EQUAL)

    brain = SimpleNamespace(
        device="cpu", device_type="cpu", averages=EpochAverages(),
        targets={"text": targets([0.0, 1.0]), "face": targets([9.0, 9.0], [0.0, -1.0])},
        modules=SimpleNamespace(
            identity=lambda embeddings, labels: torch.tensor([0.5, 0.0]),
            distillation=torch.nn.ModuleDict({"face": distillation(0.5, 0.5), "text": distillation(2.0, 0.0)}),
        ),
    )  # fmt: skip
    # text, row 0 for both: distances sqrt(2) and 0. face: none for the first, row 1 for the second, 2 - 0.5.
    batch = Batch(torch.empty(2, 0), torch.tensor([0, 1]), torch.tensor([[0, -1], [0, 1]]))
    loss = SpeakerBrain.compute_objectives(brain, (student, torch.arange(2)), batch, sb.Stage.TRAIN)
    assert float(loss) == pytest.approx(0.25 + 2.0 * math.sqrt(2) / 2 + 0.5 * 1.5 / 2)
    assert brain.averages.take() == pytest.approx(
        {"identity": 0.25, "text.weight": 1, "text.feature": math.sqrt(2) / 2, "text.feature_active": 0.5,
         "face.weight": 0.5, "face.feature": 0.75, "face.feature_active": 1}
    )  # fmt: skip


def test_no_gradient_reaches_the_teacher():
    t = teacher(torch.randn(4, 3))
    frozen = t._replace(embedding=t.embedding.detach(), classifier=t.classifier.detach())
    student = torch.randn(4, 3, dtype=F64, requires_grad=True)
    terms = {"feature": Term(1.0, feature_loss), "classifier": Term(1.0, teacher_classifier_loss)}
    total, _ = Distillation(terms, QualityWeights())(student, frozen)
    total.backward()
    assert student.grad.abs().sum() > 0
    assert frozen.embedding.grad is None
    assert frozen.classifier.grad is None
