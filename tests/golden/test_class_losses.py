"""Losses over the teacher's classes, against hand-worked values: response (Hinton's KD) and contrast (CRD)."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import kl_div, log_softmax, normalize

from cmd_speaker.losses.contrast import contrast_loss
from cmd_speaker.losses.response import response_loss
from tests.batches import F64, student_batch, teacher_batch

HALF = math.sqrt(0.5)


def three_speakers(cosines_s, cosines_t, class_map, n_classes):
    """One sample with these cosines to the student's and the teacher's class vectors, which are the axes."""
    s, t = (torch.tensor([c], dtype=F64) for c in (cosines_s, cosines_t))
    return (
        student_batch(s, classifier=torch.eye(3, dtype=F64), scale=2.0),
        teacher_batch(t, classifier=torch.eye(n_classes), class_map=torch.tensor(class_map)),
    )


def test_response_by_hand():
    """Speakers 0 and 2 are class 1, speaker 1 is class 0; at T = 2 the student's logits are 2 cos / 2 = cos.

    Student cosines (0.6, 0.8, 0): e^0.6 = 1.822119, e^0.8 = 2.225541, e^0 = 1, sum 5.047660; class 0 has
    0.440906, class 1 (1.822119 + 1) / 5.047660 = 0.559094. Teacher cosines (0.8, 0.6), scale 4: logits
    (1.6, 1.2), class 0: 1 / (1 + e^-0.4) = 0.598688, class 1: 0.401312.
    KL = 0.598688 ln(0.598688 / 0.440906) + 0.401312 ln(0.401312 / 0.559094)
       = 0.598688 * 0.305906 - 0.401312 * 0.331573 = 0.050078; times T^2 = 4: 0.200312.
    """
    student, t = three_speakers([0.6, 0.8, 0.0], [0.8, 0.6], [1, 0, 1], 2)
    options = {"temperature": 2.0, "scale": 4.0}
    assert float(response_loss(student, t, **options)) == pytest.approx(0.200312, abs=2e-6)
    assert float(response_loss(student, t, 0.03, **options)) == pytest.approx(0.200312 - 4 * 0.03, abs=2e-6)
    assert float(response_loss(student, t, 0.06, **options)) == 0


def test_speakers_and_classes_without_the_other_are_left_out():
    """Speaker 0 has no teacher input, class 1 no speaker: what is left is speaker 1 as class 0, 2 as class 2.

    Student: logits (0.8, 0), 1 / (1 + e^-0.8) = 0.689974. Teacher, scale 2, T = 2: logits (0.6, 0.8) of
    classes 0 and 2, 1 / (1 + e^0.2) = 0.450166.
    """
    student, t = three_speakers([0.6, 0.8, 0.0], [0.6, 0.0, 0.8], [-1, 0, 2], 3)
    p, q = 0.450166, 0.689974
    expected = 4 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    assert float(response_loss(student, t, temperature=2.0, scale=2.0)) == pytest.approx(expected, abs=1e-5)


def one_to_one(n=5, classes=4, size=6):
    torch.manual_seed(0)
    s, classifier = torch.randn(n, size, dtype=F64), torch.randn(classes, size, dtype=F64)
    class_map = torch.tensor([2, 0, 3, 1])
    t = teacher_batch(torch.randn(n, size), classifier=torch.randn(classes, size), class_map=class_map)
    return student_batch(s.requires_grad_(), classifier=classifier.requires_grad_()), t


def test_without_slack_and_one_to_one_response_is_hintons():
    """torch's KL divergence of softened posteriors times T^2, the teacher's classes in the speakers' order."""
    student, t = one_to_one()
    s_logits = 30 * normalize(student.embedding) @ normalize(student.classifier).T
    t_logits = 30 * normalize(t.embedding) @ normalize(t.classifier)[t.class_map].T
    soft = [log_softmax(logits / 4, dim=1) for logits in (s_logits, t_logits)]
    expected = 16 * kl_div(*soft, reduction="none", log_target=True).sum(1)
    torch.testing.assert_close(response_loss(student, t), expected)


def test_response_gradient():
    student, t = one_to_one()
    t = t._replace(class_map=torch.tensor([1, -1, 1, 0]))

    def loss(s, classifier):
        return response_loss(student._replace(embedding=s, classifier=classifier), t, 0.01)

    assert torch.autograd.gradcheck(loss, (student.embedding, student.classifier))


def test_response_is_finite_where_a_posterior_vanishes():
    s = torch.tensor([[1.0, 0.0]], requires_grad=True)
    t = teacher_batch([[-1.0, 0.0]], classifier=[[1.0, 0.0], [-1.0, 0.0]], class_map=torch.tensor([0, 1]))
    t = t._replace(embedding=t.embedding.float(), classifier=t.classifier.float())
    student = student_batch(s, classifier=torch.tensor([[1.0, 0.0], [-1.0, 0.1]]), scale=300.0)
    loss = response_loss(student, t, temperature=1.0)
    loss.backward()
    assert loss.isfinite().all()
    assert s.grad.isfinite().all()


def test_contrast_by_hand():
    """s = (1, 0), t = (1, 1)/sqrt 2; other classes at cosines 0, -0.7071, 1, one row of its own class; T = 0.5.

    N = 3; e = exp(1.41421) = 4.113250, h = 4.113250 / 7.113250 = 0.578252. Negatives: e = 1, 0.243117, 7.389056;
    1 - h = 3 / (3 + e) = 0.75, 0.925036, 0.288766.
    -(ln 0.578252 + ln 0.75 + ln 0.925036 + ln 0.288766)
      = 0.547746 + 0.287682 + 0.077923 + 1.242141 = 2.155491.
    """
    student = student_batch(torch.tensor([[3.0, 0.0]], dtype=F64))
    bank = torch.tensor([[0, 2], [-HALF, HALF], [9, 0], [HALF, HALF]], dtype=F64)
    t = teacher_batch([[5.0, 5.0]], label=[1], bank_embedding=bank, bank_label=torch.tensor([0, 2, 2, 1]))
    assert float(contrast_loss(student, t, temperature=0.5)) == pytest.approx(2.155491, abs=2e-6)
    assert float(contrast_loss(student, t, 2.0, temperature=0.5)) == pytest.approx(0.155491, abs=2e-6)


def test_contrast_is_the_authors_nce_with_a_normaliser_of_the_size_of_the_data():
    """-log of P/(P + N/M) and of (N/M)/(P + N/M), P = exp(cos / T) / Z with Z = M, by plain loops."""
    rng = np.random.default_rng(0)
    s, t, bank = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.normal(size=(9, 3))
    labels, bank_labels = [0, 1, 2, 0], np.arange(9) % 3
    batch = teacher_batch(
        t, label=labels, bank_embedding=torch.tensor(bank), bank_label=torch.tensor(bank_labels)
    )

    def score(a, b):
        return math.exp(a @ b / np.linalg.norm(a) / np.linalg.norm(b) / 0.3) / len(bank)

    expected = []
    for i in range(4):
        others = [row for row, label in zip(bank, bank_labels, strict=True) if label != labels[i]]
        noise = len(others) / len(bank)
        positive = score(s[i], t[i])
        value = -math.log(positive / (positive + noise))
        value -= sum(math.log(noise / (score(s[i], row) + noise)) for row in others)
        expected.append(value)
    found = contrast_loss(student_batch(s), batch, temperature=0.3)
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


def test_contrast_gradient_and_a_bank_of_one_class():
    torch.manual_seed(0)
    s = torch.randn(4, 3, dtype=F64, requires_grad=True)
    t = teacher_batch(torch.randn(4, 3), label=[0, 1, 2, 0])
    assert torch.autograd.gradcheck(lambda s: contrast_loss(student_batch(s), t, 0.1, temperature=0.3), s)
    alone = t._replace(label=torch.zeros(4, dtype=torch.long), bank_label=torch.zeros(4, dtype=torch.long))
    assert contrast_loss(student_batch(s), alone).isfinite().all()
