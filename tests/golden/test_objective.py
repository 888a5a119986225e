"""The sum of terms: weights, schedules, several teachers, samples without a teacher, and what is logged."""

import math
from types import SimpleNamespace

import pytest
import speechbrain as sb
import torch

from cmd_speaker.brain import Heard, SpeakerBrain
from cmd_speaker.losses import Relation
from cmd_speaker.losses.registry import LOSSES
from cmd_speaker.teachers.head import TeacherTargets
from cmd_speaker.training.data import Batch
from cmd_speaker.training.objective import QualityWeights, distillation
from cmd_speaker.training.state import EpochAverages
from tests.batches import F64, student_batch, teacher_batch

EQUAL = {"enabled": False}


def test_objective_by_hand():
    # Distances sqrt(2), 0, sqrt(2); the third sample has no teacher. Sum / batch = sqrt(2) / 3.
    student = student_batch(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=F64))
    t = teacher_batch([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], matched=[True, True, False])
    both = distillation({"feature": {"weight": 2.0}, "prototype": {"weight": 0}}, EQUAL)
    total, log = both(student, t, 0.0)
    assert float(total) == pytest.approx(2 * math.sqrt(2) / 3)
    assert {k: float(v) for k, v in log.items()} == pytest.approx(
        {"weight": 2 / 3, "feature": math.sqrt(2) / 3, "feature_active": 0.5}
    )


def test_schedules_by_hand():
    """A quarter through a warm-up of half the training a lambda of 4 is 2; the margin falls from 1 to 0.5."""
    student = student_batch(torch.tensor([[1.0, 0.0]], dtype=F64))
    t = teacher_batch([[-1.0, 0.0]])
    terms = {"feature": {"weight": [[0, 0], [0.5, 4]], "margin": [[0, 1], [1, 0.5]]}}
    scheduled = distillation(terms, EQUAL, weight=3)
    # The distance is 2. Progress 0.25: margin 0.875, 3 * 2 * 1.125; progress 0.75: 0.625, 3 * 4 * 1.375.
    for progress, factor, margin in ((0.0, 0.0, 1.0), (0.25, 6.0, 0.875), (0.75, 12.0, 0.625)):
        total, log = scheduled(student, t, progress)
        assert float(total) == pytest.approx(factor * (2 - margin))
        assert {k: float(v) for k, v in log.items()} == pytest.approx(
            {"weight": 1, "feature": 2 - margin, "feature_active": 1, "feature_weight": factor,
             "feature_margin": margin}
        )  # fmt: skip


def test_a_scheduled_factor_and_an_auto_margin_are_logged():
    student = student_batch(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], dtype=F64))
    t = teacher_batch([[-1.0, 0.0]] * 3, matched=[True, True, False])
    t = t._replace(auto_margin=torch.tensor([0.5, 1.0, 9.0], dtype=F64))
    term = distillation({"feature": {"weight": 1, "margin": "auto"}}, EQUAL, weight=[[0, 1], [1, 0]])
    total, log = term(student, t, 0.25)
    assert float(total) == pytest.approx(0.75 * (1.5 + 1.0) / 3)
    assert float(log["feature_weight"]) == 0.75
    assert float(log["feature_margin"]) == 0.75


def test_a_term_or_a_teacher_that_never_weighs_anything_is_left_out():
    terms = {"feature": {"weight": [[0, 0], [1, 0]]}, "prototype": {"weight": [[0.9, 0], [1, 1]]}}
    assert list(distillation(terms, EQUAL).terms) == ["prototype"]
    assert not distillation(terms, EQUAL, weight=0).terms


def test_changes_are_merged_over_the_terms():
    terms = {"feature": {"weight": 1, "margin": 1.2, "distance": "cosine"}, "prototype": {"weight": 0}}
    changes = {"feature": {"margin": 0.8}, "teacher_classifier": {"weight": 2}}
    merged = distillation(terms, EQUAL, changes=changes).terms
    assert list(merged) == ["feature", "teacher_classifier"]
    assert merged["feature"].now(0.3) == (1, 0.8)
    assert merged["feature"].loss.keywords == {"distance": "cosine"}
    assert terms["feature"]["margin"] == 1.2


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("prototyp", {}, TypeError, "no distillation loss 'prototyp'; did you mean 'prototype'"),
        (
            "feature",
            {"distnce": "l2"},
            TypeError,
            "'feature': no argument 'distnce'; did you mean 'distance'",
        ),
        ("feature", {"student": 1}, TypeError, "no argument 'student'"),
        ("feature", {"distance": "l1"}, ValueError, "distance: expected one of l2, squared_l2, cosine"),
        ("feature", {"weight": -1}, ValueError, "at least 0, or points .* found -1"),
        ("feature", {"margin": [[0, -1]]}, ValueError, "term 'feature': expected a number"),
        ("prototype", {"margin": "auto"}, ValueError, "found 'auto'"),
        (
            "teacher_classifier",
            {"scale": math.inf},
            ValueError,
            "scale: expected a number above 0, found inf",
        ),
        ("teacher_classifier", {"scale": True}, ValueError, "scale: expected a number above 0, found True"),
    ],
)
def test_mistakes_in_terms(name, options, error, message):
    with pytest.raises(error, match=message):
        distillation({name: options}, EQUAL)


def random_batches(n=8, size=5, dtype=F64):
    """Four student classes and three of the teacher's; the last two samples have no teacher."""
    label = torch.arange(n) % 3
    s = torch.randn(n, size, dtype=dtype, requires_grad=True)
    classifier = torch.randn(4, size, dtype=dtype, requires_grad=True)
    t = teacher_batch(
        torch.randn(n, size), label=label.tolist(), classifier=torch.randn(3, size),
        matched=[True] * (n - 2) + [False] * 2, class_map=torch.tensor([0, 1, 2, -1]),
        auto_margin=torch.rand(n, dtype=F64), bank_embedding=torch.randn(7, size, dtype=F64),
        bank_label=torch.arange(7) % 3,
    )  # fmt: skip
    return student_batch(s, label=label.tolist(), classifier=classifier), t


@pytest.mark.parametrize("name", LOSSES)
def test_a_sample_without_teacher_has_no_influence(name):
    """Whatever stands in its place, to the bit; and the other samples are pulled."""
    torch.manual_seed(0)
    student, t = random_batches()
    margin = "auto" if name == "feature" else 0.0
    term = distillation({name: {"weight": 1, "margin": margin}}, {})
    junk = t._replace(
        embedding=t.embedding.index_fill(0, torch.tensor([6, 7]), 1e300),
        label=t.label.index_fill(0, torch.tensor([6, 7]), 999),
        auto_margin=t.auto_margin.index_fill(0, torch.tensor([6, 7]), math.inf),
        quality={"norm": t.quality["norm"].index_fill(0, torch.tensor([6, 7]), 1e300)},
    )
    results = []
    for each in (t, junk):
        term.quality = QualityWeights()
        total, log = term(student, each, 0.0)
        inputs = (student.embedding, student.classifier)
        gradients = torch.autograd.grad(total, inputs, allow_unused=True)
        results.append((total, log, [g for g in gradients if g is not None]))
    (total, log, gradients), (other, other_log, other_gradients) = results
    assert torch.equal(total, other)
    assert log == other_log
    assert all(
        torch.equal(a, b) and a.isfinite().all() for a, b in zip(gradients, other_gradients, strict=True)
    )
    assert any((g.abs().sum() > 0) for g in gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_as_its_margin_grows_and_never_below_0(name):
    torch.manual_seed(1)
    student, t = random_batches()
    found = [LOSSES[name](student, t, margin) for margin in (0.0, 0.05, 0.3, 2.0, 1e4)]
    values = torch.stack([each.value if isinstance(each, Relation) else each for each in found])
    assert (values.diff(dim=0) <= 0).all()
    assert (values[0, :6] > 0).all()
    assert (values[-1] == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_any_teacher_input(name):
    student, t = random_batches()
    none = t._replace(matched=torch.zeros(8, dtype=torch.bool))
    total, log = distillation({name: {"weight": 1}}, EQUAL)(student, none, 0.0)
    assert total.item() == 0
    assert float(log[f"{name}_active"]) == 0
    for gradient in torch.autograd.grad(total, (student.embedding, student.classifier), allow_unused=True):
        assert gradient is None or not gradient.any()


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_reaches_the_teacher(name):
    student, t = random_batches()
    tensors = ("embedding", "classifier", "bank_embedding")
    t = t._replace(**{each: getattr(t, each).clone().requires_grad_() for each in tensors})
    total, _ = distillation({name: {"weight": 1}}, {})(student, t, 0.0)
    total.backward()
    assert all(getattr(t, each).grad is None for each in tensors)


def test_two_teachers_by_hand():
    """Each has its own row, terms and weight for a sample; the identity loss has a mean of 0.25."""
    s = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    def targets(*embedding):
        n = torch.arange(len(embedding))
        ones = torch.ones(len(n))
        return TeacherTargets(torch.tensor(embedding), n, torch.eye(2), {"norm": ones}, n, ones, n)

    def teaching(weight, margin):
        return distillation({"feature": {"weight": weight, "margin": margin}}, EQUAL)

    brain = SimpleNamespace(
        device="cpu", device_type="cpu", averages=EpochAverages(), progress=0.0, identity_margin=None,
        classifier=SimpleNamespace(weight=torch.eye(2), scale=30.0),
        loader=SimpleNamespace(dataset=SimpleNamespace(quality_names=[])),
        targets={"text": targets([0.0, 1.0]), "face": targets([9.0, 9.0], [0.0, -1.0])},
        modules=SimpleNamespace(
            identity=lambda embeddings, labels: torch.tensor([0.5, 0.0]),
            distillation=torch.nn.ModuleDict({"face": teaching(0.5, 0.5), "text": teaching(2.0, 0.0)}),
        ),
    )  # fmt: skip
    # text, row 0 for both: distances sqrt(2) and 0. face: none for the first, row 1 for the second, 2 - 0.5.
    batch = Batch(torch.empty(2, 0), torch.tensor([0, 1]), torch.tensor([[0, -1], [0, 1]]), torch.empty(2, 0))
    loss = SpeakerBrain.compute_objectives(brain, Heard(s, torch.arange(2), {}), batch, sb.Stage.TRAIN)
    assert float(loss) == pytest.approx(0.25 + 2.0 * math.sqrt(2) / 2 + 0.5 * 1.5 / 2)
    assert brain.averages.take() == pytest.approx(
        {"loss": 0.625 + math.sqrt(2), "identity": 0.25, "text.weight": 1, "text.feature": math.sqrt(2) / 2,
         "text.feature_active": 0.5, "face.weight": 0.5, "face.feature": 0.75, "face.feature_active": 1}
    )  # fmt: skip
