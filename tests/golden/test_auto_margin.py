"""`margin: auto` on banks whose spread and indistinguishable identities are known."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from cmd_speaker.teachers.auto_margin import auto_margin


def margins(embedding, label, identity, **options):
    return auto_margin(
        torch.as_tensor(embedding), torch.tensor(label), torch.tensor(identity), **options
    ).tolist()


def test_a_one_to_one_teacher_has_none():
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
    gram = torch.full((k, k), c, dtype=torch.float64) + (1 - c) * torch.eye(k, dtype=torch.float64)
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
    embedding = torch.tensor(
        [[2 * x, 2 * y], [0.0, 3.0], [x, -y], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64
    )
    found = margins(embedding, [1, 0, 1, 0, 2], [1, 0, 1, 0, 2])
    assert found == pytest.approx([0.765367, 0, 0.765367, 0, 0.517638], abs=1e-6)


@pytest.mark.parametrize("rows", [2, 5, 40])
def test_spread_does_not_depend_on_the_number_of_rows(rows):
    """Rows around 60 centres at a known cosine: the margin is the mean distance to the centre."""
    generator = torch.Generator().manual_seed(0)
    centres = normalize(torch.randn(60, 1, 64, dtype=torch.float64, generator=generator), dim=2)
    noise = torch.randn(60, rows, 64, dtype=torch.float64, generator=generator)
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
