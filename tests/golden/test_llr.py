"""Cllr, minimum Cllr and actual cost against hand-worked cases and independent calculations."""

from math import log, log2

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.isotonic import IsotonicRegression

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation import llr as llr_module
from cmd_speaker.evaluation import metrics
from cmd_speaker.evaluation.llr import cllr, min_cllr
from cmd_speaker.evaluation.metrics import OperatingPoint, SortedScores


def test_cllr_by_hand():
    # exp(LLR) = 3 for the target, 1/3 for the nontarget: both cost log2(1 + 1/3) bits.
    assert cllr(np.array([log(3), -log(3)]), np.array([1, 0])) == pytest.approx(log2(4 / 3), abs=1e-12)
    # Targets of LLR log 3 and log 1/3 cost log2(4/3) and log2(4), 1.2075 on average; nontargets of 0 cost 1.
    values = np.array([log(3), -log(3), 0, 0, 0])
    expected = ((log2(4 / 3) + 2) / 2 + 1) / 2
    assert cllr(values, np.array([1, 1, 0, 0, 0])) == pytest.approx(expected, abs=1e-12)


def test_knowing_nothing_costs_one_bit():
    assert cllr(np.zeros(7), np.array([1, 0, 0, 1, 0, 0, 0])) == 1
    assert min_cllr(np.full(7, 3.3), np.array([1, 0, 0, 1, 0, 0, 0])) == 1


def test_llrs_of_any_size_have_a_cost():
    # log2(1 + exp(1000)) is 1000 / ln 2 to the last digit; exp(-1000) is nothing.
    labels = np.array([1, 0])
    assert cllr(np.array([-1000.0, -1000.0]), labels) == pytest.approx(500 / log(2), rel=1e-15)
    assert cllr(np.array([1000.0, -1000.0]), labels) == 0
    assert cllr(np.array([-1000.0, 1000.0], dtype=np.float32), labels) == pytest.approx(
        1000 / log(2), rel=1e-15
    )
    assert min_cllr(np.array([1000.0, -1000.0]), labels) == 0
    assert min_cllr(np.array([-1000.0, 1000.0]), labels) == 1


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 1])
def test_llrs_that_are_not_finite_are_refused(wrong, place):
    values = np.array([1.0, 0.0, -1.0, 0.5])
    values[place] = wrong
    with pytest.raises(DataError, match=r"is infinite|is NaN"):
        cllr(values, np.array([1, 0, 0, 1]))


# Targets 1, 2, 2, 4; nontargets 0, 1, 2, 3.
#   score  targets  nontargets  share of targets
#   0      0        1           0
#   1      1        1           1/2
#   2      2        1           2/3
#   3      0        1           0
#   4      1        0           1
# 2 and 3 violate the order: pooled, 2 of 4. With 1, as frequent, 3 of 6: pools {0}, {1, 2, 3}, {4} hold 0, 3/4,
# 1/4 of the targets and 1/4, 3/4, 0 of the nontargets. The middle pool has LLR 0 and costs one bit, the others
# nothing.
TIED = np.array([1, 2, 2, 4, 0, 1, 2, 3.0]), np.array([1, 1, 1, 1, 0, 0, 0, 0])


def test_min_cllr_with_ties():
    assert min_cllr(*TIED) == pytest.approx(0.75, abs=1e-12)


def test_min_cllr_of_classes_that_differ_in_number():
    # Targets 1, 3; nontargets 0, 0, 0, 2. Pools {0}, {1, 2}, {3}; the middle one has 1/2 of the targets and 1/4 of
    # the nontargets, so exp(LLR) = 2: its targets cost log2(3/2), its nontargets log2(3).
    found = min_cllr(np.array([1, 3, 0, 0, 0, 2]), np.array([1, 1, 0, 0, 0, 0]))
    assert found == pytest.approx((log2(3 / 2) / 2 + log2(3) / 4) / 2, abs=1e-12)


def draw(count, levels, seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < 0.3
    labels[:2] = True, False
    values = 2 * rng.standard_normal(count) + 3 * labels - 1
    return (np.round(values * levels) / levels if levels else values), labels


CASES = [(2, 0), (5, 1), (40, 2), (1000, 1), (3000, 7), (20000, 0)]


@pytest.mark.parametrize(("count", "levels"), CASES)
def test_cllr_against_a_loop(count, levels):
    values, labels = draw(count, levels, 1)
    costs = {True: [], False: []}
    for value, label in zip(values, labels, strict=True):
        costs[bool(label)].append(logsumexp([0, -value if label else value]) / np.log(2))
    expected = (np.mean(costs[True]) + np.mean(costs[False])) / 2
    assert cllr(values, labels) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("count", "levels"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_min_cllr_against_scikit_learn(count, levels, weighted):
    values, labels = draw(count, levels, 2)
    weights = np.random.default_rng(3).integers(0, 4, count) if weighted else np.ones(count)
    weights[:2] = 1
    used = weights > 0
    regression = IsotonicRegression().fit(values[used], labels[used], sample_weight=weights[used])
    share = regression.predict(values[used])
    prior = np.log(weights[labels].sum() / weights[~labels].sum())
    with np.errstate(divide="ignore"):
        best = np.log(share) - np.log1p(-share) - prior
    sides = [(labels[used], -best), (~labels[used], best)]
    costs = [np.average(np.logaddexp(0, cost[side]), weights=weights[used][side]) for side, cost in sides]
    found = min_cllr(values, labels, weights if weighted else None)
    assert found == pytest.approx(sum(costs) / 2 / np.log(2), abs=1e-9)


def test_a_weight_is_a_number_of_repetitions():
    values, labels = draw(300, 3, 4)
    weights = np.random.default_rng(5).integers(0, 4, 300)
    repeated = np.repeat(values, weights), np.repeat(labels, weights)
    assert cllr(values, labels, weights) == pytest.approx(cllr(*repeated), abs=1e-12)
    assert min_cllr(values, labels, weights) == pytest.approx(min_cllr(*repeated), abs=1e-12)


@pytest.mark.parametrize("levels", [0, 2])
def test_blocks_change_nothing(levels, monkeypatch):
    values, labels = draw(500, levels, 6)
    points = OperatingPoint(0.01), OperatingPoint(0.3, 2, 5)
    curve = SortedScores(values, labels).curve()
    expected = [*curve.min_dcfs(points), cllr(values, labels), min_cllr(values, labels)]
    for module in (metrics, llr_module):
        monkeypatch.setattr(module, "BLOCK", 7)
    found = [*curve.min_dcfs(points), cllr(values, labels), min_cllr(values, labels)]
    assert found == pytest.approx(expected, abs=1e-12)


def test_calibration_cannot_beat_the_minimum():
    for seed in range(5):
        values, labels = draw(200, 0, seed)
        curve = SortedScores(values, labels).curve()
        assert cllr(values, labels) > min_cllr(values, labels)
        assert min_cllr(values, labels) == pytest.approx(min_cllr(np.tanh(values / 9), labels), abs=1e-12)
        for point in (OperatingPoint(0.01), OperatingPoint(0.5)):
            assert curve.act_dcf(point) >= curve.min_dcf(point)


def test_actual_cost_by_hand():
    # Bayes threshold of p = 1/5: log 4 = 1.386. Targets 0, 2: one is missed. Nontargets -1, 1, 1.3, 5: one is
    # accepted. FRR / 5 + FAR * 4/5 over 1/5 = 1/2 + 4 * 1/4.
    values, labels = np.array([0, 2, -1, 1, 1.3, 5]), np.array([1, 1, 0, 0, 0, 0])
    curve = SortedScores(values, labels).curve()
    assert curve.act_dcf(OperatingPoint(0.2)) == pytest.approx(1.5, abs=1e-12)
    # A miss that costs 8: threshold log(4 / 8) = -0.69; of the nontargets all but -1 are accepted, 3/4. The
    # costs are 8/5 for a miss and 4/5 for a false alarm; the lesser is 1.
    assert curve.act_dcf(OperatingPoint(0.2, c_miss=8)) == pytest.approx(0.75, abs=1e-12)


def test_a_trial_at_the_bayes_threshold_is_accepted():
    point = OperatingPoint(0.25, c_fa=2)  # log(2 * 3)
    assert point.threshold == pytest.approx(log(6), abs=1e-15)
    values = np.array([point.threshold, point.threshold])
    curve = SortedScores(values, np.array([1, 0])).curve()
    # No miss, one false alarm: 2 * 3/4 over the lesser of 1/4 and 3/2.
    assert curve.act_dcf(point) == pytest.approx(6, abs=1e-12)


def test_float32_llrs_meet_a_threshold_of_double_precision():
    # The float32 next to the threshold lies below it: rounding the threshold instead would accept the trial.
    point = OperatingPoint(0.05)
    near = np.float32(point.threshold)
    below = near if float(near) < point.threshold else np.nextafter(near, np.float32(0))
    curve = SortedScores(np.array([below, below - 1], dtype=np.float32), np.array([1, 0])).curve()
    assert curve.act_dcf(point) == 1


def test_operating_points_are_checked_and_named():
    for wrong in ((0,), (1,), (0.1, 0), (0.1, 1, -1), (float("nan"),), (0.1, float("inf"))):
        with pytest.raises(UsageError, match="an operating point has"):
            OperatingPoint(*wrong)
    assert (OperatingPoint(0.01).key, str(OperatingPoint(0.01))) == ("001", "0.01")
    assert (OperatingPoint(0.01, 10).key, str(OperatingPoint(0.01, 10))) == ("001_10_1", "0.01, 10, 1")
    assert OperatingPoint(1e-9).threshold == pytest.approx(log(999999999), abs=1e-9)
