"""`margin: auto` on banks whose spread, indistinguishable identities and neighbours are known."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from cmd_speaker.teachers.auto_margin import auto_margin, floor_margin, reach_margin

F64 = torch.float64


def margins(embedding, label, identity, **options):
    """The floor of each row."""
    vectors = normalize(torch.as_tensor(embedding, dtype=F64))
    label = torch.tensor(label)
    return floor_margin(vectors, label, torch.tensor(identity), **options)[label].tolist()


def test_a_one_to_one_teacher_has_no_floor():
    assert margins(torch.eye(4), [0, 1, 2, 3], [2, 0, 1, 3]) == [0.0] * 4


@pytest.mark.parametrize(
    ("k", "c", "expected"),
    [
        # sqrt(2 - 2 sqrt(c + (1 - c)/k)): c = 0.2, k = 2: sqrt(2 - 2 sqrt(0.6)) = sqrt(0.450807) = 0.671422.
        (2, 0.2, 0.671422),
        # c = 0.1, k = 10: sqrt(2 - 2 sqrt(0.19)) = sqrt(1.128220) = 1.062177.
        (10, 0.1, 1.062177),
        # k large: 1.05 for c = 0.2, 1.17 for c = 0.1.
        (4000, 0.2, 1.0513),
        (4000, 0.1, 1.1693),
    ],
)
def test_room_for_identities_with_equal_inputs(k, c, expected):
    """k identities share a point, one more stands alone and has none."""
    embedding = torch.tensor([[3.0, 0.0]] * k + [[0.0, 1.0]])
    found = margins(embedding, [0] * k + [1], list(range(k + 1)), speaker_cosine=c)
    assert found[:k] == pytest.approx([expected] * k, abs=2e-4)
    assert found[k] == 0


def test_the_room_is_where_k_such_vectors_are():
    """Constructed: k unit vectors of pairwise cosine c are this far from the direction of their mean."""
    k, c = 5, 0.3
    gram = torch.full((k, k), c, dtype=F64) + (1 - c) * torch.eye(k, dtype=F64)
    vectors = torch.linalg.cholesky(gram)
    distance = (vectors - normalize(vectors.mean(0), dim=0)).norm(dim=1)
    found = margins(torch.ones(k, 2), [0] * k, list(range(k)), speaker_cosine=c)
    assert found == pytest.approx(distance.tolist(), abs=1e-6)


def test_spread_by_hand():
    """One identity with rows at -30 and 30 degrees: their cosine is 0.5, with their centre sqrt(0.5).

    sqrt(2 - 2 sqrt(0.5)) = 0.765367. The second identity's rows are equal, the third's single row takes the mean
    cosine 0.75 of both: sqrt(2 - 2 sqrt(0.75)) = 0.517638.
    """
    x, y = math.cos(math.pi / 6), math.sin(math.pi / 6)
    embedding = torch.tensor([[2 * x, 2 * y], [0.0, 3.0], [x, -y], [0.0, 1.0], [1.0, 0.0]], dtype=F64)
    found = margins(embedding, [1, 0, 1, 0, 2], [1, 0, 1, 0, 2])
    assert found == pytest.approx([0.765367, 0, 0.765367, 0, 0.517638], abs=1e-6)


@pytest.mark.parametrize("rows", [2, 5, 40])
def test_spread_does_not_depend_on_the_number_of_rows(rows):
    """Rows around 60 centres at a known cosine: the margin is the mean distance to the centre."""
    generator = torch.Generator().manual_seed(0)
    centres = normalize(torch.randn(60, 1, 64, dtype=F64, generator=generator), dim=2)
    noise = torch.randn(60, rows, 64, dtype=F64, generator=generator)
    noise = normalize(noise - (noise * centres).sum(2, keepdim=True) * centres, dim=2)
    vectors = (0.8 * centres + 0.6 * noise).reshape(-1, 64)
    identity = [i for i in range(60) for _ in range(rows)]
    found = margins(vectors, identity, identity)
    assert sum(found) / len(found) == pytest.approx(math.sqrt(2 - 2 * 0.8), abs=0.01)


def test_room_and_spread_together():
    """Two identities with the same two pictures, at right angles: cosines sqrt(0.1 + 0.9/2) and 0."""
    embedding = [[1.0, 0.0], [0.0, 1.0]] * 2
    found = margins(embedding, [0] * 4, [0, 0, 1, 1])
    assert found == pytest.approx([math.sqrt(2)] * 4, abs=1e-6)
    near = [[1.0, 0.0], [0.8, 0.6]] * 2
    expected = math.sqrt(2 - 2 * math.sqrt(0.55) * math.sqrt(0.8))
    assert margins(near, [0] * 4, [0, 0, 1, 1]) == pytest.approx([expected] * 4, abs=1e-6)


def test_rows_that_point_away_from_each_other_are_no_error():
    assert margins([[1.0, 0.0], [-1.0, 0.0]], [0, 0], [0, 0]) == pytest.approx([math.sqrt(2)] * 2)


def test_reach_by_hand():
    """Three classes in 5 dimensions, the first two at 60 degrees, the third at right angles to both.

    z = ndtri(1 - 0.05/2) = 1.959964. g = 0.5: cot a = 1.959964 sqrt(1.5 / (0.5 * 4)) = 1.697379, cos a =
    1.697379 / sqrt(1 + 2.881095) = 0.861592, sqrt(2 - 2 * 0.861592) = 0.526133. g = 0: cot a = 1.959964 / 2 =
    0.979982, cos a = 0.979982 / sqrt(1.960365) = 0.699922, sqrt(2 - 2 * 0.699922) = 0.774697.
    """
    vectors = torch.zeros(3, 5, dtype=F64)
    vectors[0, 0] = vectors[2, 2] = 1
    vectors[1, :2] = torch.tensor([0.5, math.sqrt(0.75)], dtype=F64)
    found = reach_margin(vectors, torch.arange(3)).tolist()
    assert found == pytest.approx([0.526133, 0.526133, 0.774697], abs=2e-6)


def test_a_student_within_reach_is_told_from_the_others():
    """Constructed: at the margin from its centre, in random directions, it is confused about one time in 20."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.linalg.qr(torch.randn(96, 40, dtype=F64, generator=generator))[0].T
    cosine = 1 - reach_margin(centres, torch.arange(40))[0] ** 2 / 2
    rest = torch.randn(20000, 96, dtype=F64, generator=generator)
    rest = normalize(rest - (rest @ centres[0])[:, None] * centres[0])
    students = cosine * centres[0] + (1 - cosine**2).sqrt() * rest
    confused = float(((students @ centres.T).argmax(1) != 0).double().mean())
    assert 0.03 < confused < 0.055


def test_classes_that_coincide_leave_no_reach_and_a_single_one_teaches_nothing():
    same = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=F64)
    assert reach_margin(same, torch.arange(2)).max() < 1e-3
    assert reach_margin(same, torch.zeros(2, dtype=torch.long)).tolist() == pytest.approx([math.sqrt(2)])


def test_the_greater_bound_counts_row_by_row():
    """Class 0: two identities with one point, floor 0.718 (c = 0.1, k = 2). Class 1: one identity, floor 0.

    In 3 dimensions at right angles both reach sqrt(2 - 2 cos a), cot a = 1.644854 / sqrt(2), so 0.694 below 0.718.
    """
    embedding = torch.tensor([[2.0, 0, 0], [0, 1, 0], [2, 0, 0]])
    cotangent = 1.644854 / math.sqrt(2)
    reach = math.sqrt(2 - 2 * cotangent / math.hypot(1, cotangent))
    floor = math.sqrt(2 - 2 * math.sqrt(0.55))
    assert reach < floor
    found = auto_margin(embedding, torch.tensor([0, 1, 0]), torch.tensor([0, 2, 1]))
    assert found.tolist() == pytest.approx([floor, reach, floor], abs=1e-5)
    assert found.dtype == embedding.dtype
