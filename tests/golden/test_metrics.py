"""EER, minDCF and the DET curve against hand-worked cases and independent calculations."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.metrics import OperatingPoint, SortedScores, det_curve, eer, min_dcf
from cmd_speaker.lists.scores import Scores
from cmd_speaker.lists.trials import Trials

# Ties, worked by hand. Targets: 1, 2, 2, 4; nontargets: 0, 1, 2, 3, and score >= threshold is accepted.
#
#   threshold   targets below  FRR    nontargets at or above  FAR    FAR - FRR
#   0           -              0/4    0 1 2 3                 4/4     1
#   1           -              0/4    1 2 3                   3/4     0.75
#   2           1              1/4    2 3                     2/4     0.25
#   3           1 2 2          3/4    3                       1/4    -0.5
#   4           1 2 2          3/4    -                       0/4    -0.75
#   infinity    1 2 2 4        4/4    -                       0/4    -1
TIED_SCORES = np.array([2, 0, 4, 1, 3, 2, 1, 2], dtype=np.float32)
TIED_LABELS = np.array([1, 0, 1, 0, 0, 0, 1, 1], dtype=bool)


def test_det_curve_with_ties():
    thresholds, far, frr = det_curve(TIED_SCORES, TIED_LABELS)
    assert thresholds.tolist() == [0, 1, 2, 3, 4, np.inf]
    assert far.tolist() == [1, 0.75, 0.5, 0.25, 0, 0]
    assert frr.tolist() == [0, 0, 0.25, 0.75, 0.75, 1]


def test_eer_with_ties():
    # FAR - FRR goes from 0.25 at 2 to -0.5 at 3: zero after 0.25 / 0.75 = 1/3 of the way.
    # There FAR = 0.5 - 0.25 / 3 = 5/12 and FRR = 0.25 + 0.5 / 3 = 5/12, at threshold 2 1/3.
    assert eer(TIED_SCORES, TIED_LABELS) == pytest.approx((5 / 12, 7 / 3), abs=1e-12)


def test_min_dcf_with_ties():
    # p = 0.5, costs 1: (FRR + FAR) / 2 / 0.5 = FRR + FAR is 1, 0.75, 0.75, 1, 0.75, 1.
    assert min_dcf(TIED_SCORES, TIED_LABELS, p_target=0.5) == pytest.approx(0.75, abs=1e-12)
    # p = 0.01: 0.01 FRR + 0.99 FAR over 0.01 is FRR + 99 FAR: 99, 74.25, 49.75, 25.5, 0.75, 1.
    assert min_dcf(TIED_SCORES, TIED_LABELS, p_target=0.01) == pytest.approx(0.75, abs=1e-12)
    # p = 0.99: 99 FRR + FAR: 1, 0.75, 25.25, ...
    assert min_dcf(TIED_SCORES, TIED_LABELS, p_target=0.99) == pytest.approx(0.75, abs=1e-12)
    # p = 0.5, a miss costs 2, a false alarm 0.5: (FRR + FAR / 4) / (1/4) = 4 FRR + FAR: 1, 0.75, 1.5, ...
    assert min_dcf(TIED_SCORES, TIED_LABELS, 0.5, c_miss=2, c_fa=0.5) == pytest.approx(0.75, abs=1e-12)


def test_far_and_frr_are_not_interchangeable():
    # Targets 1, 3; nontargets 0, 0, 0, 2. (FAR, FRR) is (1, 0) at 0, (1/4, 0) at 1, (1/4, 1/2) at 2,
    # (0, 1/2) at 3, and (0, 1). FAR - FRR goes from 1/4 at 1 to -1/4 at 2: half way, EER = 1/4 at 1.5.
    scores, labels = np.array([1, 3, 0, 0, 0, 2]), np.array([1, 1, 0, 0, 0, 0])
    assert eer(scores, labels) == pytest.approx((0.25, 1.5), abs=1e-12)
    # p = 0.1: FRR + 9 FAR: 9, 2.25, 2.75, 0.5, 1. p = 0.9: 9 FRR + FAR: 1, 0.25, 4.75, ...
    assert min_dcf(scores, labels, p_target=0.1) == pytest.approx(0.5, abs=1e-12)
    assert min_dcf(scores, labels, p_target=0.9) == pytest.approx(0.25, abs=1e-12)


def test_minimum_at_either_end_is_no_worse_than_useless():
    # All nontargets score higher: accepting all or none is the best that can be done.
    scores, labels = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 1, 0, 0])
    assert min_dcf(scores, labels, p_target=0.3) == pytest.approx(1, abs=1e-12)
    assert min_dcf(scores, labels, p_target=0.7) == pytest.approx(1, abs=1e-12)
    assert eer(scores, labels)[0] == 1


def test_separated_classes_have_no_error():
    # FAR - FRR is 0 at the lowest target, 3, itself: every threshold in (2, 3] separates.
    scores, labels = np.array([1, 2, 3, 4]), np.array([0, 0, 1, 1])
    assert eer(scores, labels) == (0, 3)
    assert min_dcf(scores, labels) == 0


def test_a_constant_score_is_a_coin():
    # Two points only, (1, 0) and (0, 1); the second has no finite threshold.
    assert eer(np.full(5, 0.7), np.array([1, 0, 0, 1, 0])) == (0.5, 0.7)


def test_the_sign_may_change_before_the_point_that_accepts_none():
    # Targets 0, 5; nontargets 5, 5. (1, 0) at 0, (1, 1/2) at 5, (0, 1): zero after 1/3 of the last step,
    # FAR = FRR = 2/3, and the threshold stays at the highest score.
    assert eer(np.array([0, 5, 5, 5]), np.array([1, 1, 0, 0])) == pytest.approx((2 / 3, 5), abs=1e-12)


def draw(count, levels, seed):
    """Overlapping classes, unequal in number, rounded to few levels so that most scores are tied."""
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < 0.2
    labels[:2] = True, False
    scores = rng.standard_normal(count) + 1.5 * labels
    return (np.round(scores * levels) / levels if levels else scores).astype(np.float32), labels


def interpolated(far, frr):
    """Where the polyline through (FAR, FRR) meets FAR = FRR, going through the points one by one."""
    for k in range(1, len(far)):
        before, after = far[k - 1] - frr[k - 1], far[k] - frr[k]
        if before == 0:
            return far[k - 1]
        if before > 0 >= after or before < 0 <= after:
            return far[k - 1] + (far[k] - far[k - 1]) * before / (before - after)
    raise AssertionError("no crossing")


CASES = [(2, 0), (5, 1), (30, 2), (1000, 1), (1000, 7), (20000, 20), (20000, 0)]


@pytest.mark.parametrize(("count", "levels"), CASES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_against_scikit_learn(count, levels, seed):
    scores, labels = draw(count, levels, seed)
    far, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)  # from accepting none to all
    ours = det_curve(scores, labels)
    np.testing.assert_allclose(ours[0][::-1], thresholds, atol=1e-9)
    np.testing.assert_allclose(ours[1][::-1], far, atol=1e-9)
    np.testing.assert_allclose(ours[2][::-1], 1 - tpr, atol=1e-9)
    assert eer(scores, labels)[0] == pytest.approx(interpolated(far, 1 - tpr), abs=1e-9)


@pytest.mark.parametrize(("count", "levels"), [(2, 0), (5, 1), (30, 2), (500, 1), (500, 7), (500, 0)])
@pytest.mark.parametrize(
    ("p_target", "c_miss", "c_fa"), [(0.01, 1, 1), (0.5, 1, 1), (0.01, 10, 1), (0.9, 1, 3)]
)
def test_min_dcf_against_every_threshold(count, levels, p_target, c_miss, c_fa):
    scores, labels = draw(count, levels, 4)
    costs = []
    for threshold in [*np.unique(scores), np.inf]:
        misses = sum(score < threshold for score in scores[labels]) / labels.sum()
        false_alarms = sum(score >= threshold for score in scores[~labels]) / (~labels).sum()
        costs.append(c_miss * p_target * misses + c_fa * (1 - p_target) * false_alarms)
    expected = min(costs) / min(c_miss * p_target, c_fa * (1 - p_target))
    assert min_dcf(scores, labels, p_target, c_miss, c_fa) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("levels", [1, 7, 0])
def test_a_weight_is_a_number_of_repetitions(levels):
    scores, labels = draw(400, levels, 5)
    weights = np.random.default_rng(6).integers(0, 4, 400)
    weights[:2] = 1
    repeated = np.repeat(scores, weights), np.repeat(labels, weights)
    assert eer(scores, labels, weights)[0] == eer(*repeated)[0]
    assert min_dcf(scores, labels, weights=weights) == min_dcf(*repeated)
    assert eer(scores, labels, weights / 3)[0] == pytest.approx(eer(*repeated)[0], abs=1e-9)


def test_weights_are_summed_in_double_precision():
    # 2^24 + 1 + 1 + 1 + 1 in float32 stays 2^24. Nontargets 0 weigh 2^24, nontargets 1 to 4 weigh 1 each.
    scores, labels = np.array([0, 1, 2, 3, 4, 5]), np.array([0, 0, 0, 0, 0, 1])
    weights = np.array([2**24, 1, 1, 1, 1, 1], dtype=np.float32)
    _, far, _ = det_curve(scores, labels, weights)
    np.testing.assert_allclose(far[1:] * (2**24 + 4), [4, 3, 2, 1, 0, 0], atol=1e-9)


def test_the_order_of_the_trials_is_of_no_account():
    scores, labels = draw(1000, 3, 7)
    shuffled = np.random.default_rng(8).permutation(1000)
    assert eer(scores, labels) == eer(scores[shuffled], labels[shuffled])
    assert min_dcf(scores, labels) == min_dcf(scores[shuffled], labels[shuffled])


def test_one_sort_serves_every_figure():
    scores, labels = draw(1000, 0, 9)
    curve = SortedScores(scores, labels).curve()
    assert curve.eer() == eer(scores, labels)
    assert curve.min_dcf(OperatingPoint(0.05)) == min_dcf(scores, labels, 0.05)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([1, 1, 1], "3 targets, 0 nontargets"),
        ([0, 0, 0], "0 targets, 3 nontargets"),
        ([], "0 targets, 0 nontargets"),
    ],
)
def test_both_classes_are_needed(labels, found):
    for metric in (det_curve, eer, min_dcf):
        with pytest.raises(DataError, match=f"found {found}"):
            metric(np.arange(len(labels), dtype=float), np.array(labels))
    with pytest.raises(DataError, match="weight 0 of targets, 2 of nontargets"):
        eer(np.arange(2.0), np.array([1, 0]), np.array([0, 2]))


def test_bad_numbers_are_refused():
    with pytest.raises(DataError, match="score 2 is NaN"):
        eer(np.array([1, np.nan, 3]), np.array([1, 0, 0]))
    with pytest.raises(DataError, match="differ in number"):
        eer(np.arange(3.0), np.array([1, 0]))
    for weights in ([1, -1], [1, np.nan], [1, np.inf], [1]):
        with pytest.raises(DataError, match="wrong weights"):
            eer(np.arange(2.0), np.array([1, 0]), np.array(weights))
    for wrong in ({"p_target": 0}, {"p_target": 1}, {"c_miss": 0}, {"c_fa": -1}):
        with pytest.raises(UsageError):
            min_dcf(np.arange(2.0), np.array([1, 0]), **wrong)


# Targets 1, 2, 2, 4; nontargets 0, 1, 2, 3. False alarms allowed, what must be rejected, and what is missed:
#   FAR       of 4 at most  rejected nontargets  threshold past  targets missed
#   0.75      3             0                    0               none
#   0.74      2             0 1                  1               1
#   0.5       2             0 1                  1               1
#   0.25      1             0 1 2                2               1 2 2
#   0.24      0             0 1 2 3              3               1 2 2
@pytest.mark.parametrize(
    ("far", "missed"), [(0.99, 0), (0.75, 0), (0.74, 1), (0.5, 1), (0.25, 3), (0.24, 3), (1e-9, 3)]
)
def test_miss_rate_with_ties(far, missed):
    assert SortedScores(TIED_SCORES, TIED_LABELS).curve().miss_rate(far) == missed / 4


def test_tied_nontargets_are_rejected_together():
    # Nontargets 5, 5, 5, 5: a quarter of them cannot be accepted; all are rejected, and with them the target 5.
    curve = SortedScores(np.array([5, 6, 5, 5, 5, 5]), np.array([1, 1, 0, 0, 0, 0])).curve()
    assert curve.miss_rate(0.25) == 0.5
    # The highest nontarget above all targets: a list of four cannot show a FAR of 1 %, and everything is missed.
    curve = SortedScores(np.array([5, 6, 7, 0, 0, 0]), np.array([1, 1, 0, 0, 0, 0])).curve()
    assert curve.miss_rate(0.01) == 1


def test_a_rate_that_the_list_has_exactly_is_met():
    # 0.29 * 100 is 28.999999999999996 in double precision; 29 of 100 are allowed.
    scores, labels = np.append(np.arange(100.0), 70.5), np.arange(101) == 100
    assert SortedScores(scores, labels).curve().miss_rate(0.29) == 0
    assert SortedScores(scores, labels).curve().miss_rate(0.28) == 1


def test_miss_rate_against_every_threshold():
    for levels in (0, 1, 7):
        scores, labels = draw(800, levels, 11)
        _, far, frr = det_curve(scores, labels)
        for wanted in (0.001, 0.01, 0.1, 0.5, 0.9):
            found = SortedScores(scores, labels).curve().miss_rate(wanted)
            assert found == frr[far <= wanted].min()


def test_weighted_miss_rate_is_that_of_repeated_trials():
    scores, labels = draw(400, 5, 12)
    weights = np.random.default_rng(6).integers(0, 4, 400)
    repeated = SortedScores(np.repeat(scores, weights), np.repeat(labels, weights)).curve()
    for far in (0.01, 0.1, 0.5):
        assert SortedScores(scores, labels).curve(weights).miss_rate(far) == repeated.miss_rate(far)


def test_rates_are_between_none_and_all():
    curve = SortedScores(TIED_SCORES, TIED_LABELS).curve()
    for wrong in (0, 1, -0.1, np.nan):
        with pytest.raises(UsageError, match="lies between 0 and 1"):
            curve.miss_rate(wrong)


def blocks_of(scores, labels, size):
    ids = ["a", "b"]
    for start in range(0, len(scores), size):
        part = slice(start, start + size)
        zeros = np.zeros(len(scores[part]), dtype=np.int32)
        yield Scores(Trials(ids, zeros, zeros + 1, labels[part]), scores[part])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_in_blocks_have_the_same_figures(dtype):
    scores, labels = draw(1000, 7, 13)
    scores = scores.astype(dtype)
    whole = SortedScores(scores, labels).curve()
    # Some blocks have one class only, the last is short.
    parts = SortedScores.from_blocks(blocks_of(scores, labels, 3)).curve()
    assert parts.eer() == whole.eer()
    assert parts.min_dcf() == whole.min_dcf()
    assert parts.miss_rate(0.01) == whole.miss_rate(0.01)


def test_scores_in_blocks_are_checked():
    scores, labels = draw(10, 0, 14)
    with pytest.raises(UsageError, match="neither weights nor intervals"):
        SortedScores.from_blocks(blocks_of(scores, labels, 4)).curve(np.ones(10))
    with pytest.raises(DataError, match="0 targets, 0 nontargets"):
        SortedScores.from_blocks([])
    with pytest.raises(DataError, match="have no labels"):
        SortedScores.from_blocks([Scores(Trials(["a"], np.zeros(1, int), np.zeros(1, int)), np.ones(1))])
    scores[3] = np.nan
    with pytest.raises(DataError, match="is NaN"):
        SortedScores.from_blocks(blocks_of(scores, labels, 4))


def test_the_given_scores_stay_as_they_are():
    scores, labels = draw(50, 0, 15)
    before = scores.copy()
    SortedScores(scores, labels).curve(np.ones(50)).eer()
    assert (scores == before).all()


def test_infinite_scores_are_the_highest_and_lowest():
    # Targets inf, 1; nontargets -inf, inf. (FAR, FRR): (1, 0) at -inf, (1/2, 0) at 1, (1/2, 1/2) at inf, (0, 1).
    scores, labels = np.array([np.inf, 1, -np.inf, np.inf]), np.array([1, 1, 0, 0])
    assert eer(scores, labels) == (0.5, np.inf)
    assert min_dcf(scores, labels, 0.5) == pytest.approx(0.5, abs=1e-12)
    assert det_curve(scores, labels)[1].tolist() == [1, 0.5, 0.5, 0]
    # Half way between -inf and inf is nowhere: the threshold is the score past the crossing.
    assert eer(np.array([np.inf, -np.inf]), np.array([1, 0])) == (0, np.inf)
