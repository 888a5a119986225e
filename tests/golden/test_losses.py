"""Identity loss against hand-worked values and numerical gradients."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from cmd_speaker.losses.aam import AamSoftmax, aam_softmax
from tests.batches import F64


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
