"""Intervals over speakers: the weights of a draw, and what follows from them."""

import numpy as np
import pytest
from scipy.stats import norm, t

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.evaluation import bootstrap
from cmd_speaker.evaluation.bootstrap import draws, paired_difference, replicate, speaker_interval
from cmd_speaker.evaluation.figures import Figures
from cmd_speaker.evaluation.intervals import difference_interval, figure_interval, t_quantile
from cmd_speaker.evaluation.llr import cllr, min_cllr
from cmd_speaker.evaluation.metrics import POINTS, OperatingPoint, SortedScores, eer, min_dcf
from cmd_speaker.lists.scores import Scores
from cmd_speaker.lists.speakers import trial_speakers
from cmd_speaker.lists.trials import all_pairs, load_trials


def corpus(speakers=12, utterances=4, separation=2.0, levels=0, seed=0):
    """Scores of all pairs, in which each speaker has a bias of their own, and the speaker of each id."""
    rng = np.random.default_rng(seed)
    utt2spk = {f"s{k:02d}-{u}": f"s{k:02d}" for k in range(speakers) for u in range(utterances)}
    trials = all_pairs(list(utt2spk), list(utt2spk.values()))
    enrol, test, _ = trial_speakers(trials, utt2spk)
    bias = rng.standard_normal(speakers) / 2
    values = rng.standard_normal(len(trials)) + bias[enrol] + bias[test] + separation * trials.labels
    values = np.round(values * levels) / levels if levels else values
    return Scores(trials, values.astype(np.float32)), utt2spk


def interval(scores, utt2spk, seed=1, **options):
    enrol, test, _ = trial_speakers(scores.trials, utt2spk)
    return speaker_interval(SortedScores(scores.scores, scores.labels), enrol, test, seed, **options)


def replicated(scores, utt2spk, *drawn, points=POINTS, llr=False, fars=()):
    """The figures for given draws of speakers, [draws, figures]."""
    sides = trial_speakers(scores.trials, utt2spk)[:2]
    ordered = SortedScores(scores.scores, scores.labels)
    return replicate([ordered], sides, [np.array(counts) for counts in drawn], Figures(points, llr, fars))[
        :, 0
    ]


def with_draws(monkeypatch, *drawn):
    """Replace the random draws of speakers by given ones."""
    monkeypatch.setattr(bootstrap, "draws", lambda speakers, seed, replicates: [np.array(d) for d in drawn])


# Speakers A, B, C with two utterances each; the draw A, A, C counts A twice, B never, C once.
#   trial    speakers  class      score  weight
#   a1 a2    A A       target      1     n_A       = 2
#   b1 b2    B B       target     -9     n_B       = 0
#   c1 c2    C C       target      3     n_C       = 1
#   a1 b1    A B       nontarget   9     n_A n_B   = 0
#   a1 c1    A C       nontarget   2     n_A n_C   = 2
#   a2 c2    A C       nontarget   0     n_A n_C   = 2
#   b1 c1    B C       nontarget   8     n_B n_C   = 0
# What counts: targets 1, 1, 3 and nontargets 0, 0, 2, 2. With score >= threshold accepted:
#   threshold  FAR  FRR   FAR - FRR
#   0          1    0      1
#   1          1/2  0      1/2
#   2          1/2  2/3   -1/6
#   3          0    2/3
# Zero after (1/2) / (2/3) = 3/4 of the step from 1 to 2, so EER = 1/2. minDCF at p = 0.01, FRR + 99 FAR: 2/3.
HAND_TRIALS = """1 a1 a2
1 b1 b2
1 c1 c2
0 a1 b1
0 a1 c1
0 a2 c2
0 b1 c1
"""
HAND_SCORES = np.array([1, -9, 3, 9, 2, 0, 8], dtype=np.float32)
HAND_SPEAKERS = {f"{speaker.lower()}{k}": speaker for speaker in "ABC" for k in (1, 2)}


@pytest.fixture
def hand_worked(tmp_path):
    path = tmp_path / "trials.txt"
    path.write_text(HAND_TRIALS)
    return Scores(load_trials(path), HAND_SCORES)


def test_weights_of_three_speakers(hand_worked):
    figures = replicated(hand_worked, HAND_SPEAKERS, [2, 0, 1], points=[OperatingPoint(0.01)])
    # min Cllr: from 0 to 3 there are pools of (targets, nontargets) (0, 2), (2, 2) and (1, 0), as no LLR may fall;
    # in the second 2/3 of the targets and 1/2 of the nontargets, so an LLR of ln(4/3).
    bits = (2 / 3 * np.log2(1 + 3 / 4) + 1 / 2 * np.log2(1 + 4 / 3)) / 2
    assert figures[0].tolist() == pytest.approx([1 / 2, bits, 2 / 3], abs=1e-12)
    assert interval(hand_worked, HAND_SPEAKERS, replicates=20).speakers == 3


def test_miss_rates_of_three_speakers(hand_worked):
    # A FAR of 1/2 is kept by rejecting the nontargets at 0 and no target, of 0.4 only with those at 2 as well.
    figures = replicated(hand_worked, HAND_SPEAKERS, [2, 0, 1], points=[], fars=[0.5, 0.4])
    assert figures[0, 2:].tolist() == pytest.approx([0, 2 / 3], abs=1e-12)
    found = interval(hand_worked, HAND_SPEAKERS, replicates=20, fars=[0.5, 0.4], llr=True)
    assert list(found.miss_at_far) == [0.5, 0.4]
    assert list(found.act_dcf) == list(POINTS)


def test_actual_cost_and_cllr_of_three_speakers(hand_worked):
    # At p = 1/2 the Bayes threshold is 0. All of the weight of targets, 3, and of nontargets, 4, is accepted, and
    # FRR + FAR = 1. Cllr: targets 1, 1, 3 and nontargets 0, 0, 2, 2.
    figures = replicated(hand_worked, HAND_SPEAKERS, [2, 0, 1], points=[OperatingPoint(0.5)], llr=True)
    targets = [np.log2(1 + np.exp(-score)) for score in (1, 1, 3)]
    nontargets = [np.log2(1 + np.exp(score)) for score in (0, 0, 2, 2)]
    assert figures[0, 3:] == pytest.approx([1, (np.mean(targets) + np.mean(nontargets)) / 2], abs=1e-12)


def test_replicates_without_a_class_are_left_out_and_counted(hand_worked, monkeypatch):
    # A alone has no nontargets.
    with_draws(monkeypatch, [3, 0, 0], [2, 0, 1], [0, 3, 0])
    result = interval(hand_worked, HAND_SPEAKERS, replicates=3)
    assert (result.replicates, result.left_out) == (3, 2)
    with_draws(monkeypatch, [3, 0, 0])
    with pytest.raises(DataError, match="none of the 1 draws"):
        interval(hand_worked, HAND_SPEAKERS, replicates=1)


@pytest.mark.parametrize("levels", [0, 3])
def test_a_replicate_is_the_metric_of_repeated_trials(levels):
    scores, utt2spk = corpus(levels=levels)
    enrol, test, names = trial_speakers(scores.trials, utt2spk)
    drawn = next(iter(draws(len(names), seed=5, replicates=1)))
    assert drawn.sum() == len(names)
    assert drawn.max() > 1
    repetitions = [
        drawn[a] if label else drawn[a] * drawn[b]
        for a, b, label in zip(enrol, test, scores.labels, strict=True)
    ]
    repeated = np.repeat(scores.scores, repetitions), np.repeat(scores.labels, repetitions)
    points = OperatingPoint(0.01), OperatingPoint(0.5)
    figures = replicated(scores, utt2spk, drawn, points=points, llr=True)[0]
    assert figures[0] == eer(*repeated)[0]
    assert figures[2:4].tolist() == [min_dcf(*repeated, p_target=p) for p in (0.01, 0.5)]
    curve = SortedScores(*repeated).curve()
    assert figures[4:6].tolist() == [curve.act_dcf(point) for point in points]
    assert figures[1] == pytest.approx(min_cllr(*repeated), abs=1e-12)
    assert figures[6] == pytest.approx(cllr(*repeated), abs=1e-12)


# For 31 speakers: 0.975 quantile of Student's t with 30 degrees of freedom, from a table, and 31 / 30 of variance.
HALF = 2.042272456 * (31 / 30) ** 0.5


def test_the_interval_of_a_figure_by_hand():
    # ln(figure + step) is ln 0.02 - 0.3 and ln 0.02 + 0.3 in turn: a standard deviation of 0.3.
    drawn = 0.02 * np.exp(np.tile([-0.3, 0.3], 50)) - 0.005
    found = figure_interval(0.015, drawn, 31, step=0.005)
    expected = [0.02 * np.exp(sign * 0.3 * HALF) - 0.005 for sign in (-1, 1)]
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    higher = figure_interval(0.015, drawn, 31, step=0.005, unseen=0.01)
    assert (higher.low, higher.high) == pytest.approx((expected[0], expected[1] + 0.01), abs=1e-9)
    assert figure_interval(0.015, drawn, 31, step=0.005, unseen=0.01, most=0.03).high == 0.03
    assert figure_interval(0, drawn, 31, step=0.005).low == 0


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 30, 99, 1250])
def test_the_quantile_of_students_t(freedom):
    assert t_quantile(freedom) == pytest.approx(t.ppf(0.975, freedom), abs=1e-9)


def test_the_interval_of_a_difference_by_hand():
    # Percentiles of 0, 0.0001, ... 1 are what they are called.
    found = difference_interval(np.linspace(0, 1, 10001), 31)
    assert (found.low, found.high) == pytest.approx((norm.cdf(-HALF), norm.cdf(HALF)), abs=1e-8)


def test_errors_that_were_not_seen_may_still_occur():
    # Eight targets above twelve nontargets: no draw has any error. Three of each kind are allowed for, 3/8 of the
    # targets and 3/12 of the nontargets; at p = 1/2 a cost is FRR + FAR.
    names = [f"{speaker}{k}" for speaker in "abcd" for k in range(3)]
    utt2spk, half = {name: name[0] for name in names}, OperatingPoint(0.5)
    every = all_pairs(names, [name[0] for name in names])
    trials = every.take(np.append(np.flatnonzero(every.labels)[:8], np.flatnonzero(~every.labels)[:12]))
    perfect = np.where(trials.labels, 1.0, -1.0)
    result = interval(Scores(trials, perfect), utt2spk, replicates=50, points=[half], llr=True, fars=[0.1])
    assert (result.miss_at_far[0.1].low, result.miss_at_far[0.1].high) == pytest.approx((0, 3 / 8), abs=1e-12)
    assert (result.eer.low, result.eer.high) == pytest.approx((0, 3 / 8), abs=1e-12)
    entropy = -3 / 8 * np.log2(3 / 8) - 5 / 8 * np.log2(5 / 8)
    assert (result.min_cllr.low, result.min_cllr.high) == pytest.approx((0, entropy), abs=1e-12)
    for found in (result.min_dcf[half], result.act_dcf[half]):
        assert (found.low, found.high) == pytest.approx((0, 3 / 8 + 3 / 12), abs=1e-12)
    # At p = 0.01 a false alarm costs 99 / 12: more than to accept none.
    rare = OperatingPoint(0.01)
    assert interval(Scores(trials, perfect), utt2spk, points=[rare]).min_dcf[rare].high == 1
    # With one target below the nontargets FRR is 1/8, and only false alarms have not been seen; with one nontarget
    # above the targets it is the other way round. The best threshold lies where the Bayes threshold, 0, does.
    for place, value, measured, unseen in ((0, -2, 1 / 8, 3 / 12), (-1, 2, 1 / 12, 3 / 8)):
        values = perfect.copy()
        values[place] = value
        worse = Scores(trials, values)
        result = interval(worse, utt2spk, replicates=50, points=[half], llr=True)
        drawn = replicated(worse, utt2spk, *draws(4, seed=1, replicates=50), points=[half], llr=True)
        for found, column, most in ((result.min_dcf[half], 2, 1), (result.act_dcf[half], 3, 2)):
            plain = figure_interval(measured, drawn[:, column], 4, step=1 / 8)
            expected = plain.low, min(plain.high + unseen, most)
            assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
        assert result.act_dcf[half].high < 2


def test_the_seed_decides_and_the_order_of_trials_does_not():
    scores, utt2spk = corpus()
    first = interval(scores, utt2spk, replicates=100)
    assert interval(scores, utt2spk, replicates=100) == first
    assert interval(scores, utt2spk, seed=2, replicates=100) != first
    shuffled = np.random.default_rng(3).permutation(len(scores))
    again = Scores(scores.trials.take(shuffled), scores.scores[shuffled])
    assert interval(again, utt2spk, replicates=100) == first


def test_only_speakers_of_the_trials_are_drawn():
    scores, utt2spk = corpus()
    first = interval(scores, utt2spk, replicates=50)
    more = {"aa-0": "aa", "s05x-0": "s05x", "zz-0": "zz"}
    assert interval(scores, utt2spk | more, replicates=50) == first
    enrol, test, _ = trial_speakers(scores.trials, utt2spk)
    ordered = SortedScores(scores.scores, scores.labels)
    assert speaker_interval(ordered, enrol * 7 + 3, test * 7 + 3, 1, replicates=50) == first
    assert first.speakers == 12


def test_more_trials_of_the_same_speakers_do_not_narrow_the_interval():
    # The same recordings nine times over tell nothing new about other speakers; drawing trials would give
    # an interval a third as wide.
    scores, utt2spk = corpus()
    often = np.repeat(np.arange(len(scores)), 9)
    again = Scores(scores.trials.take(often), scores.scores[often])
    drawn = list(draws(12, seed=1, replicates=20))
    assert (replicated(again, utt2spk, *drawn) == replicated(scores, utt2spk, *drawn)).all()
    wide, first = (interval(system, utt2spk, replicates=100).eer for system in (again, scores))
    assert wide.high - wide.low > 0.99 * (first.high - first.low)


def test_a_system_against_itself_differs_by_nothing():
    scores, utt2spk = corpus()
    result = paired_difference([scores], [scores], utt2spk, seed=1, replicates=100)
    for difference in (result.eer, *result.min_dcf.values()):
        assert difference.difference == difference.relative == 0
        assert (difference.interval.low, difference.interval.high) == (0, 0)
    shuffled = np.random.default_rng(3).permutation(len(scores))
    again = Scores(scores.trials.take(shuffled), scores.scores[shuffled])
    assert paired_difference([scores], [again], utt2spk, seed=1, replicates=100) == result


def test_a_clearly_better_system_excludes_no_difference():
    worse, utt2spk = corpus(separation=1.0)
    better, _ = corpus(separation=3.0)
    result = paired_difference([worse], [better], utt2spk, seed=1, replicates=200)
    assert result.eer.a == eer(worse.scores, worse.labels)[0]
    assert result.eer.b == eer(better.scores, better.labels)[0]
    assert result.eer.difference == result.eer.b - result.eer.a < 0
    assert result.eer.relative == pytest.approx(result.eer.b / result.eer.a - 1, abs=1e-12)
    assert result.eer.interval.low < result.eer.difference < result.eer.interval.high < 0
    other_way = paired_difference([better], [worse], utt2spk, seed=1, replicates=200)
    assert other_way.eer.interval.low == pytest.approx(-result.eer.interval.high, abs=1e-12)


def test_both_systems_meet_the_same_draws():
    # Almost the same system: unpaired draws would spread the difference as widely as the error rate itself.
    scores, utt2spk = corpus(30, 4)
    noise = np.random.default_rng(9).standard_normal(len(scores)) / 50
    noisy = Scores(scores.trials, scores.scores + noise)
    result = paired_difference([scores], [noisy], utt2spk, 1, replicates=200)
    alone = interval(scores, utt2spk, replicates=200)
    width = result.eer.interval.high - result.eer.interval.low
    assert 0 < width < (alone.eer.high - alone.eer.low) / 4


def test_runs_of_one_system_are_averaged():
    scores, utt2spk = corpus(12, 3)
    rng = np.random.default_rng(3)
    a, b, c = (Scores(scores.trials, scores.scores + rng.standard_normal(len(scores)) / 5) for _ in range(3))
    both = paired_difference([a, b], [c], utt2spk, 1, replicates=50).eer
    one, other = (paired_difference([x], [c], utt2spk, 1, replicates=50).eer for x in (a, b))
    assert both.a == pytest.approx((one.a + other.a) / 2, abs=1e-12)
    assert both.b == one.b
    assert both.difference == pytest.approx((one.difference + other.difference) / 2, abs=1e-12)
    # The same draws for all runs: a run beside itself changes nothing.
    assert paired_difference([a, a], [c], utt2spk, 1, replicates=50).eer.interval == one.interval


def test_both_systems_need_the_same_trials():
    scores, utt2spk = corpus(4, 2)
    fewer = Scores(scores.trials.take(np.arange(1, len(scores))), scores.scores[1:])
    for pair in (([scores], [fewer]), ([fewer], [scores])):
        with pytest.raises(DataErrors, match="no score for the trial 's00-0 s00-1'"):
            paired_difference(*pair, utt2spk, seed=1)


def test_labels_that_contradict_the_speakers_are_named(tmp_path):
    path = tmp_path / "trials.txt"
    path.write_text("1 a1 a2\n1 a1 b1\n0 a1 b2\n0 b1 b2\n")
    with pytest.raises(DataErrors, match="one speaker, as it is a target, found 'A' and 'B'") as caught:
        trial_speakers(load_trials(path), HAND_SPEAKERS)
    assert [(error.file, error.row) for error in caught.value.errors] == [(path, 2), (path, 4)]
    ordered = SortedScores(np.arange(3.0), np.array([1, 0, 0]))
    with pytest.raises(DataError, match="trial 3 contradicts its speakers"):
        speaker_interval(ordered, np.array([0, 0, 1]), np.array([0, 1, 1]), seed=1)


def test_utterances_without_a_speaker_are_named(tmp_path):
    path = tmp_path / "trials.txt"
    path.write_text("1 a1 a2\n0 a1 x\n0 y z\n")
    with pytest.raises(DataErrors, match="the speaker of 'y' and 'z' is not known") as caught:
        trial_speakers(load_trials(path), HAND_SPEAKERS)
    assert [error.row for error in caught.value.errors] == [2, 3]
