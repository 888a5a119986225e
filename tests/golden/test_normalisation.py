"""Score normalisation against numbers worked by hand, and against a loop over trials."""

from math import sqrt

import numpy as np
import pytest

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.scoring.backend import Backend
from cmd_speaker.scoring.normalisation import Cohort
from cmd_speaker.scoring.plda import Points

# Enrolment e = (1, 0) and test t = (0.6, 0.8), both of length 1: x = e.t = 0.6. With the cohort below
#   e: 0.8, 0, -0.6, -1          mean -0.2   deviations 1, 0.2, -0.4, -0.8        variance 1.84 / 4 = 0.46
#   t: 0.96, 0.8, 0.28, -0.6     mean 0.36   deviations 0.6, 0.44, -0.08, -0.96   variance 1.4816 / 4 = 0.3704
# The best two: e 0.8 and 0, mean 0.4, deviation 0.4; t 0.96 and 0.8, mean 0.88, deviation 0.08.
ENROL, TEST = np.array([[1, 0]], np.float32), np.array([[0.6, 0.8]], np.float32)
COHORT = np.array([[0.8, 0.6], [0, 1], [-0.6, 0.8], [-1, 0]], np.float32)
Z, T = (0.6 + 0.2) / sqrt(0.46), (0.6 - 0.36) / sqrt(0.3704)


@pytest.mark.parametrize(
    ("norm", "top", "expected"),
    [
        ("none", 2, 0.6),
        ("z", 2, Z),
        ("t", 2, T),
        ("s", 2, (Z + T) / 2),
        ("as", 2, ((0.6 - 0.4) / 0.4 + (0.6 - 0.88) / 0.08) / 2),  # 0.5 and -3.5: -1.5
        ("as", 4, (Z + T) / 2),  # the best four are all
    ],
)
def test_hand_worked(norm, top, expected):
    score = Backend(cohort=COHORT, norm=norm, top=top).score(ENROL, TEST)
    assert score.dtype == np.float32
    np.testing.assert_allclose(score, [[expected]], rtol=2e-6)


def test_sides_are_not_exchanged():
    """Z-norm looks at the enrolment, T-norm at the test utterance."""
    z, t = (Backend(cohort=COHORT, norm=norm).score(TEST, ENROL)[0, 0] for norm in "zt")
    np.testing.assert_allclose([z, t], [T, Z], rtol=2e-6)


def test_cohort_means_are_of_the_best():
    # As above: the best two of e have the mean 0.4, those of t 0.88; a length other than 1 changes nothing.
    means = Backend(cohort=COHORT, top=2).cohort_means(np.concatenate([3 * ENROL, TEST]))
    np.testing.assert_allclose(means, [0.4, 0.88], rtol=1e-6)


@pytest.mark.parametrize("offsets", [False, True])
@pytest.mark.parametrize("top", [None, 1, 7, 50])
def test_statistics_equal_those_of_all_scores(top, offsets):
    """The closed form of the whole cohort, and the best by partition, beside a plain sort in float64."""
    rng = np.random.default_rng(5)
    side, cohort = (
        Points(rng.standard_normal((n, 8)).astype(np.float32), 3 * rng.standard_normal(n).astype(np.float32))
        for n in (20, 50)
    )
    if not offsets:
        side, cohort = (Points(points.vectors, None) for points in (side, cohort))
    scores = side.vectors.astype(np.float64) @ cohort.vectors.T.astype(np.float64)
    if offsets:
        scores += side.offsets[:, None].astype(np.float64) + cohort.offsets
    best = np.sort(scores, axis=1)[:, -(top or 50) :]
    found = Cohort(cohort, top).statistics(side)
    np.testing.assert_allclose(found[:, 0], best.mean(axis=1), atol=2e-6)
    np.testing.assert_allclose(found[:, 1], best.std(axis=1), atol=2e-6)


def test_large_equal_scores_keep_their_deviation():
    """Scores near 1,000 that differ by 0.001: a difference of sums of squares in float32 would be 0."""
    cohort = Points(np.array([[1000.0], [1000.5], [1001.0]], np.float32), None)
    found = Cohort(cohort, 3).statistics(Points(np.array([[1.0]], np.float32), None))
    np.testing.assert_allclose(found, [[1000.5, sqrt(1 / 6)]], rtol=1e-9)  # (0.25 + 0 + 0.25) / 3


@pytest.mark.parametrize(
    ("norm", "top", "cohort"), [("s", 9, COHORT[[0]]), ("as", 1, COHORT), ("z", 9, COHORT[[1, 1]])]
)
def test_cohort_scores_that_do_not_differ_are_an_error(norm, top, cohort):
    with pytest.raises(DataError, match=r"the cohort scores of 'enrolment 1' do not differ .*larger --top"):
        Backend(cohort=cohort, norm=norm, top=top).score(ENROL, TEST)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"norm": "s"}, "--norm s needs a cohort"),
        ({"norm": "S", "cohort": COHORT}, "--norm is one of none, z, t, s, as, found 'S'"),
        (
            {"norm": "as", "cohort": COHORT, "top": 5},
            "--top goes from 1 to the 4 entries of the cohort, found 5",
        ),
        ({"norm": "as", "cohort": COHORT, "top": 0}, "found 0"),
        ({"enrolment": "worst"}, "--enrol is one of average, score, best"),
    ],
)
def test_settings_that_do_not_fit(settings, words):
    with pytest.raises(UsageError, match=words):
        Backend(**settings)


def test_cohort_means_need_a_cohort_large_enough():
    for backend in (Backend(), Backend(cohort=COHORT, norm="s")):
        with pytest.raises(UsageError, match=r"--top|--cohort"):
            backend.cohort_means(TEST)
