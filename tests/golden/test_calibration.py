"""Logistic regression and what is built on it, against analytic LLRs and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cmd_speaker.calibration.calibration import fit_calibration
from cmd_speaker.calibration.logistic import fit_logistic
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.llr import cllr, min_cllr
from cmd_speaker.evaluation.operating_point import OperatingPoint
from tests.calibrations import ORIGIN, gaussian


def reference(features, labels, prior):
    """scikit-learn's optimum of the same objective: no penalty, the classes weighted by the prior.

    Its log-odds contain log(prior / (1 - prior)), which is no evidence.
    """
    weights = np.where(labels, prior / labels.sum(), (1 - prior) / (~labels).sum()) * len(labels)
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(features, labels, sample_weight=weights)
    return model.coef_[0], model.intercept_[0] - np.log(prior / (1 - prior))


@pytest.mark.parametrize("prior", [0.5, 0.05, 0.01, 0.001])
def test_gaussian_scores_give_the_analytic_llr(prior):
    """log N(s; 3, 1) - log N(s; 0, 1) = 3 s - 4.5, whatever the prior and the numbers of trials."""
    fit = fit_calibration(*gaussian(200_000, 600_000), ORIGIN, prior=prior)
    assert fit.slope == pytest.approx(3, rel=0.03)
    assert fit.offset == pytest.approx(-4.5, rel=0.03)


@pytest.mark.parametrize("prior", [0.5, 0.01])
@pytest.mark.parametrize("columns", [1, 3])
def test_scikit_learn_finds_the_same(prior, columns):
    scores, labels = gaussian(300, 4000)
    features = np.column_stack([scores, np.random.default_rng(1).standard_normal((len(scores), columns - 1))])
    fit = fit_logistic(features, labels, prior, ["score", "a", "b"][:columns])
    weights, offset = reference(features, labels, prior)
    np.testing.assert_allclose(fit.weights, weights, rtol=0, atol=1e-6)
    assert fit.offset == pytest.approx(offset, abs=1e-6)
    assert not fit.separable


def test_the_prior_says_where_it_fits_best():
    """Where no line is right, each prior's own fit has the least cross-entropy of decisions at that prior."""
    scores, labels = gaussian(2000, 4000)
    scores[labels] = np.where(np.arange(2000) % 2, scores[labels], 1 + 0.1 * scores[labels])

    def cross_entropy(llr, prior):
        log_odds = llr + np.log(prior / (1 - prior))
        misses, false_alarms = np.log1p(np.exp(-log_odds[labels])), np.log1p(np.exp(log_odds[~labels]))
        return prior * misses.mean() + (1 - prior) * false_alarms.mean()

    fits = {prior: fit_calibration(scores, labels, ORIGIN, prior=prior).llr(scores) for prior in (0.01, 0.5)}
    assert cross_entropy(fits[0.01], 0.01) < 0.99 * cross_entropy(fits[0.5], 0.01)
    assert cross_entropy(fits[0.5], 0.5) < 0.99 * cross_entropy(fits[0.01], 0.5)


def test_scores_of_another_scale_give_the_same_llrs():
    scores, labels = gaussian(500, 3000)
    plain = fit_calibration(scores, labels, ORIGIN).llr(scores)
    for scale, shift in ((1e-4, 0.7), (250.0, -1e4)):
        moved = scale * scores + shift
        np.testing.assert_allclose(fit_calibration(moved, labels, ORIGIN).llr(moved), plain, atol=1e-6)


def test_twice_the_same_list_gives_the_same_bits():
    assert fit_calibration(*gaussian(50, 500), ORIGIN) == fit_calibration(*gaussian(50, 500), ORIGIN)


def test_cllr_falls_to_little_more_than_its_minimum():
    scores, labels = gaussian(2000, 20000)
    scores = scores / 10
    llr = fit_calibration(scores, labels, ORIGIN, prior=0.5).llr(scores)
    assert min_cllr(scores, labels) <= cllr(llr, labels) <= min_cllr(scores, labels) + 0.01
    assert cllr(llr, labels) < cllr(scores, labels)


def test_thresholds():
    """p = 0.01, a miss costs 10: log(0.99 / 0.1) = 2.2925; (2.2925 + 4.5) / 3 as a score."""
    scores, labels = gaussian(100, 1000)
    fit = replace(fit_calibration(scores, labels, ORIGIN), slope=3.0, offset=-4.5)
    point = OperatingPoint(0.01, c_miss=10)
    assert fit.threshold(point) == pytest.approx(2.2925347571)
    assert fit.score_threshold(point) == pytest.approx(2.2641782524)
    assert fit.llr(np.array([2.2641782524]))[0] == pytest.approx(fit.threshold(point))


def with_durations(trials=8000, seed=3):
    """Scores that shrink with the shorter of two recordings, down to nothing at 1 s."""
    rng = np.random.default_rng(seed)
    labels = rng.random(trials) < 0.2
    sides = tuple(np.exp(rng.uniform(0, 4, trials)) for _ in range(2))
    shift = np.log(np.minimum(*sides))
    return rng.standard_normal(trials) + labels * 4 - shift, labels, {"duration": sides}


def test_a_quality_measure_helps_where_scores_depend_on_it():
    """s = 4 t - log(shorter) + noise has the LLR 4 s + 4 log(shorter) - 8: weights 4 and, lower side, 4."""
    scores, labels, qualities = with_durations(100_000)
    fit = fit_calibration(scores, labels, ORIGIN, prior=0.1, qualities=qualities)
    measure = fit.qualities[0]
    assert fit.slope == pytest.approx(4, rel=0.05)
    assert measure.lower_weight / measure.scale == pytest.approx(4, rel=0.05)
    assert measure.higher_weight / measure.scale == pytest.approx(0, abs=0.1)
    assert (measure.low, measure.high) == (pytest.approx(0, abs=0.01), pytest.approx(4, abs=0.01))
    other, other_labels, other_qualities = with_durations(8000, seed=4)
    plain = fit_calibration(scores, labels, ORIGIN, prior=0.1).llr(other)
    assert cllr(fit.llr(other, other_qualities), other_labels) < 0.8 * cllr(plain, other_labels)
    assert fit.score_threshold(OperatingPoint(0.01)) is None


def test_the_sides_of_a_trial_can_be_exchanged():
    scores, labels, qualities = with_durations()
    fit = fit_calibration(scores, labels, ORIGIN, qualities=qualities)
    exchanged = {"duration": qualities["duration"][::-1]}
    assert np.array_equal(fit.llr(scores, qualities), fit.llr(scores, exchanged))
    assert fit_calibration(scores, labels, ORIGIN, qualities=exchanged) == fit


def test_a_quality_beyond_what_was_seen_counts_as_the_end_of_the_range():
    scores, labels, qualities = with_durations()
    fit = fit_calibration(scores, labels, ORIGIN, qualities=qualities)
    end = np.exp(fit.qualities[0].high)
    shorter, far, at_end = np.full(1, 9.0), np.full(1, 3600.0), np.full(1, end)
    beyond = {"duration": (shorter, far)}
    assert fit.llr([1.0], beyond) == pytest.approx(fit.llr([1.0], {"duration": (shorter, at_end)}))
    assert fit.outside(beyond) == {"duration": 1}
    assert fit.outside({"duration": (shorter, shorter)}) == {}


def test_a_rounded_value_is_not_beyond_the_range():
    """Tables have nine digits or fewer; the very recordings of the fit are not warned of."""
    scores, labels, qualities = with_durations()
    fit = fit_calibration(scores, labels, ORIGIN, qualities=qualities)
    high = np.full(1, np.exp(fit.qualities[0].high))
    assert fit.outside({"duration": (high * (1 + 1e-4), high)}) == {}
    assert fit.outside({"duration": (high * 1.01, high)}) == {"duration": 1}


def test_what_keeps_the_classes_apart_is_named():
    """The scores overlap; only with the quality measure can every trial be told."""
    scores, labels = gaussian(40, 40)
    low, high = np.where(labels, 3.0, 1.0) + np.random.default_rng(0).uniform(0, 0.5, (2, len(labels)))
    doubt = fit_calibration(scores, labels, ORIGIN, qualities={"snr": (low, high)}).doubts[0]
    assert "scores and quality measures keep targets and nontargets apart" in doubt


def test_a_trial_has_the_same_llr_alone_and_in_a_list():
    scores, labels, qualities = with_durations()
    fit = fit_calibration(scores, labels, ORIGIN, qualities=qualities)
    sides = qualities["duration"]
    alone = [
        fit.llr(scores[k : k + 1], {"duration": tuple(side[k : k + 1] for side in sides)})[0]
        for k in range(500)
    ]
    assert np.array_equal(alone, fit.llr(scores, qualities)[:500])


def test_a_measure_that_is_not_given():
    scores, labels, qualities = with_durations()
    fit = fit_calibration(scores, labels, ORIGIN, qualities=qualities)
    with pytest.raises(UsageError, match="'duration'"):
        fit.llr(scores)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_a_duration_that_is_none(bad):
    scores, labels, qualities = with_durations()
    qualities["duration"][1][7] = bad
    with pytest.raises(DataError, match="duration in trial 8"):
        fit_calibration(scores, labels, ORIGIN, qualities=qualities)


def test_separable_scores_are_bounded_by_their_number():
    """Two clusters: the LLR at the targets is log(T (N + 1) / (T + 1)), so that N nontargets without an error
    give log(N + 1) at most; at the nontargets -log(N (T + 1) / (N + 1))."""
    targets, nontargets = 30, 400
    labels = np.arange(targets + nontargets) < targets
    fit = fit_calibration(labels.astype(float), labels, ORIGIN)
    assert fit.separable
    assert fit.llr([1.0])[0] == pytest.approx(np.log(targets * (nontargets + 1) / (targets + 1)), abs=1e-6)
    assert fit.llr([0.0])[0] == pytest.approx(
        -np.log(nontargets * (targets + 1) / (nontargets + 1)), abs=1e-6
    )
    assert "the scores keep targets and nontargets apart" in fit.doubts[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gap", [0.5, 1e-6, 0.0])
def test_scores_that_only_just_separate_are_found(gap):
    """With no gap, one target and one nontarget share the score 0, and the slope would still be infinite."""
    scores = np.concatenate([np.linspace(0, 3, 50), np.linspace(-3, -gap, 50)])
    assert fit_calibration(scores, np.arange(100) < 50, ORIGIN).separable
    scores[50] = 0.01
    assert not fit_calibration(np.append(scores, 0.5), np.arange(101) < 50, ORIGIN).separable


@pytest.mark.filterwarnings("error")
def test_a_slope_that_runs_away_beyond_all_curvature():
    """One target and one nontarget share 0, all others are so far apart that only these two keep any curvature."""
    labels = np.arange(102) < 51
    scores = np.where(labels, 1.0, -1.0)
    scores[[50, 101]] = 0.0
    fit = fit_calibration(scores, labels, ORIGIN)
    assert fit.separable
    assert 0 < fit.slope < 10


def test_few_trials_are_doubtful():
    fit = fit_calibration(*gaussian(19, 500), ORIGIN)
    assert "19 targets" in fit.doubts[0]
    assert fit_calibration(*gaussian(20, 500), ORIGIN).doubts == []


@pytest.mark.parametrize(
    ("scores", "labels", "problem"),
    [
        ([1.0, 2.0, np.nan, 0.5], [1, 1, 0, 0], "score of trial 3 is not finite"),
        ([1.0, 2.0, np.inf, 0.5], [1, 1, 0, 0], "not finite"),
        ([1.0, 2.0, 3.0], [1, 1, 1], "too few trials"),
        ([1.0, 2.0, 3.0], [1, 0, 0], "too few trials"),
        ([1.0, 1.0, 1.0, 1.0], [1, 1, 0, 0], "same in all trials"),
        ([1.0, 3.0, 2.0, 4.0, 5.0, 3.5], [1, 1, 1, 0, 0, 0], "higher scores mean different speakers"),
    ],
)
def test_what_cannot_be_calibrated(scores, labels, problem):
    with pytest.raises(DataError, match=problem):
        fit_calibration(np.array(scores), np.array(labels, bool), ORIGIN)


def test_measures_that_say_the_same_are_refused():
    scores, labels, qualities = with_durations()
    doubled = {**qualities, "frames": tuple(100 * np.log(side) for side in qualities["duration"])}
    with pytest.raises(DataError, match=r"duration, .*frames follow from each other"):
        fit_calibration(scores, labels, ORIGIN, qualities=doubled)


def test_a_prior_lies_between_0_and_1():
    for prior in (0.0, 1.0, -0.5):
        with pytest.raises(UsageError, match="prior"):
            fit_calibration(*gaussian(50, 500), ORIGIN, prior=prior)
