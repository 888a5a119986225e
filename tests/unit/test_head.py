"""Stage 1's head and classifier, the targets they leave, and the control that permutes them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cmd_speaker.errors import DataError
from cmd_speaker.teachers.auto_margin import auto_margin
from cmd_speaker.teachers.bank import Bank, BankRow, embed_inputs, text_inputs
from cmd_speaker.teachers.head import TeacherHead, TeacherTargets, fit_head
from tests.teachers import TEXTS, small, write_texts


def bank_of(inputs, size=6):
    """A bank with a row for each (identity, input), its embeddings random."""
    embeddings = np.random.default_rng(0).standard_normal((len(inputs), size)).astype(np.float32)
    rows = [BankRow("identity", identity, identity, "", name, {"norm": 1.0}) for identity, name in inputs]
    return Bank(embeddings, rows)


def targets_of(identity, label):
    """Targets whose embedding and norm say which row they are."""
    rows = torch.arange(len(identity))
    return TeacherTargets(
        rows[:, None].float(),
        torch.as_tensor(label),
        torch.zeros(int(max(label)) + 1, 1),
        {"norm": rows.float()},
        torch.as_tensor(identity),
        rows.float(),
        torch.unique(torch.as_tensor(identity)),
    )


def test_classes_of_texts_are_the_different_ones(tmp_path):
    teacher = small()
    teacher.fit(list(TEXTS.values()))
    bank = embed_inputs(text_inputs(write_texts(tmp_path / "train.csv", TEXTS)), teacher)
    head, targets, report = fit_head(bank, 12, sorted(TEXTS))
    assert (report.identities, report.classes, report.inputs, report.ceiling) == (4, 3, 3, 0.75)
    assert report.accuracy == 1.0
    # The order of the classes decides the head's bits: that of the inputs' checksums.
    order = sorted({row.input for row in bank.rows})
    assert targets.label.tolist() == [order.index(row.input) for row in bank.rows]
    assert targets.identity.tolist() == [0, 1, 2, 3]
    assert targets.embedding.shape == (4, 12)
    assert targets.classifier.shape == (3, 12)
    assert not any(p.requires_grad for p in head.parameters())
    assert not targets.embedding.requires_grad
    norms = targets.quality["norm"]
    torch.testing.assert_close(norms, torch.from_numpy(np.linalg.norm(bank.embeddings, axis=1)))


def test_identities_with_the_same_set_of_inputs_are_one_class():
    inputs = [("d", "q"), ("d", "p"), ("a", "p"), ("a", "q"), ("b", "p"), ("c", "r"), ("c", "s")]
    _, targets, report = fit_head(bank_of(inputs), 8, "abcde", steps=5)
    assert (report.identities, report.classes, report.inputs) == (4, 3, 4)
    assert targets.identity.tolist() == [3, 3, 0, 0, 1, 2, 2]
    # In sorted order: {p}, {p, q}, {r, s}.
    assert targets.label.tolist() == [1, 1, 1, 1, 0, 2, 2]


def test_the_teachers_class_of_each_student_class():
    """Speakers in the student's order; `z` is not in the bank. The control maps each to its giver's class."""
    inputs = [("d", "q"), ("a", "p"), ("b", "q"), ("c", "r")]
    _, targets, _ = fit_head(bank_of(inputs), 8, ["a", "b", "z", "d", "c"], steps=5)
    assert targets.class_map.tolist() == [0, 1, -1, 1, 2]
    permuted = targets.permuted(3)
    batch = permuted.batch(torch.tensor([2]))  # the row of speaker b, student class 1
    assert batch.class_map[1] == batch.label[0] != 1
    assert batch.class_map[2] == -1


def test_each_row_has_its_auto_margin():
    """The rule's, of the fitted embeddings: one for both speakers of class p, another for q."""
    _, targets, _ = fit_head(bank_of([("a", "p"), ("b", "p"), ("c", "q"), ("d", "r")]), 8, "abcd", steps=5)
    expected = auto_margin(targets.embedding, targets.label, targets.identity)
    assert torch.equal(targets.auto_margin, expected)
    assert expected[0] == expected[1] != expected[2]
    assert torch.equal(targets.batch(torch.tensor([2, -1, 0])).auto_margin[[0, 2]], expected[[2, 0]])


def test_fitting_leaves_the_random_state():
    state = torch.get_rng_state()
    first = fit_head(bank_of([("a", "p"), ("b", "q")]), 8, "ab", steps=5)[1]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert torch.equal(
        first.embedding, fit_head(bank_of([("a", "p"), ("b", "q")]), 8, "ab", steps=5)[1].embedding
    )


def test_head_is_a_residual_bottleneck():
    torch.manual_seed(0)
    head, x = TeacherHead(8, 8, narrow=2), torch.randn(3, 8)
    torch.testing.assert_close(head(x), x + head.bottleneck(x))
    assert [layer.out_features for layer in head.bottleneck if hasattr(layer, "out_features")] == [8, 2, 8]
    assert TeacherHead(5, 8)(torch.randn(3, 5)).shape == (3, 8)


def test_targets_round_trip_and_unmatched_rows(tmp_path):
    targets = targets_of([0, 1, 1, 2], [0, 1, 1, 2])
    targets.save(tmp_path / "t.safetensors")
    read = TeacherTargets.load(tmp_path / "t.safetensors")
    assert read.identity.tolist() == [0, 1, 1, 2]
    batch = read.batch(torch.tensor([2, -1, 0]))
    assert batch.matched.tolist() == [True, False, True]
    assert torch.equal(batch.embedding[0], targets.embedding[2])
    assert batch.label.tolist()[::2] == [1, 0]


def test_permutation_of_distinct_inputs():
    targets = targets_of(range(50), range(50))
    permuted = targets.permuted(7)
    assert sorted(permuted.label.tolist()) == list(range(50))
    assert not (permuted.label == targets.label).any()
    assert torch.equal(permuted.embedding[:, 0].long(), permuted.label)
    assert not torch.equal(permuted.label, targets.permuted(8).label)


def test_permutation_leaves_nobody_an_equal_input():
    """Also where many share one: 105 speakers, of whom 40 have the same text."""
    labels = torch.tensor([0] * 40 + list(range(1, 66)))
    targets = targets_of(range(105), labels)
    for seed in range(20):
        permuted = targets.permuted(seed)
        assert not (permuted.label == labels).any()
        assert sorted(permuted.quality["norm"].tolist()) == list(range(105))
    with pytest.raises(DataError, match="cannot be made"):
        targets_of(range(105), labels * 0).permuted(1)


def test_permutation_of_identities_with_several_rows():
    """Every row of an identity becomes a row of one other identity of another class, dealt in turn."""
    rng = np.random.default_rng(0)
    identity = rng.permutation(np.repeat(np.arange(30), rng.integers(1, 6, 30)))
    label_of = np.concatenate([np.zeros(8, int), np.arange(1, 23)])  # the first eight look alike
    targets = targets_of(identity, label_of[identity])
    for seed in range(10):
        permuted = targets.permuted(seed)
        chosen = permuted.embedding[:, 0].long().numpy()
        assert permuted.identity.tolist() == identity.tolist()
        norms = permuted.quality["norm"]
        assert norms.tolist() == permuted.auto_margin.tolist() == chosen.tolist()
        assert permuted.label.tolist() == label_of[identity[chosen]].tolist()
        # The student's classes follow: each is the class whose rows its speaker is given.
        assert permuted.class_map.tolist() == [
            permuted.label[identity == each][0].item() for each in range(30)
        ]
        givers = set()
        for each in range(30):
            given = chosen[identity == each]
            (giver,) = set(identity[given])
            assert label_of[giver] != label_of[each]
            own = np.flatnonzero(identity == giver)
            assert given.tolist() == [own[k % len(own)] for k in range(len(given))]
            givers.add(giver)
        assert givers == set(range(30))


@pytest.mark.parametrize("kind", ["centred", "none"])
@pytest.mark.parametrize("student_size", [6, 9])
def test_heads_that_keep_the_geometry_of_the_embeddings(student_size, kind):
    """The student is as large or larger: distances between targets are those between embeddings, to rounding."""
    bank = bank_of([("a", "p"), ("b", "q"), ("c", "r"), ("d", "s")])
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(3)) + 5
    bank = replace(bank, embeddings=x.numpy())
    t = fit_head(bank, student_size, "abcd", steps=3, kind=kind)[1].embedding
    assert torch.allclose(torch.cdist(t, t), torch.cdist(x, x), atol=1e-4)
    length = x.mean(0).norm() if kind == "none" else torch.zeros(())
    assert torch.allclose(t.mean(0).norm(), length, atol=1e-4)


@pytest.mark.parametrize(("kind", "moved"), [("residual", False), ("centred", False), ("none", True)])
def test_what_all_inputs_have_in_common(kind, moved):
    """It changes the targets only where embeddings are taken as they are."""
    bank = bank_of([("a", "p"), ("b", "q"), ("c", "r")])
    shifted = replace(bank, embeddings=bank.embeddings + np.float32(8))
    targets = [fit_head(each, 12, "abc", steps=20, kind=kind)[1].embedding for each in (bank, shifted)]
    assert torch.allclose(*targets, atol=1e-3) is not moved
