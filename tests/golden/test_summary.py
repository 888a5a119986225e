"""What a summary holds, for people and for machines."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.bootstrap import paired_difference
from cmd_speaker.evaluation.llr import cllr, min_cllr
from cmd_speaker.evaluation.metrics import OperatingPoint, SortedScores, eer, min_dcf
from cmd_speaker.evaluation.summary import measure, summarise
from cmd_speaker.lists.scores import Scores
from cmd_speaker.lists.trials import all_pairs

UTT2SPK = {f"s{k:02d}-{u}": f"s{k:02d}" for k in range(15) for u in range(4)}
LIKELY = OperatingPoint(0.5, 1, 2)


def scores_of(seed=0):
    trials = all_pairs(list(UTT2SPK), list(UTT2SPK.values()))
    values = np.random.default_rng(seed).standard_normal(len(trials)) + 3 * trials.labels
    return Scores(trials, values)


def test_without_llrs_there_is_no_actual_cost():
    scores = scores_of()
    found = summarise(scores, fars=[0.01])
    assert (found.eer, found.eer_threshold) == eer(scores.scores, scores.labels)
    assert [cost.point.p_target for cost in found.costs] == [0.01, 0.05]
    assert [found.min_dcf_001, found.min_dcf_005] == [cost.min_dcf for cost in found.costs]
    assert found.min_dcf_005 == min_dcf(scores.scores, scores.labels, 0.05)
    assert found.min_cllr == min_cllr(scores.scores, scores.labels)
    assert found.miss_at_far == {0.01: SortedScores(scores.scores, scores.labels).curve().miss_rate(0.01)}
    unknown = [found.cllr, found.speakers, found.eer_low, found.cllr_interval]
    unknown += [value for cost in found.costs for value in (cost.act_dcf, cost.min_dcf_interval)]
    assert set(unknown) == {None}


def test_all_figures_are_those_of_the_llrs():
    # These LLRs rank the trials otherwise than the scores do, as with quality measures.
    scores, llr = scores_of(0), scores_of(1).scores - 1.5
    found = summarise(scores, UTT2SPK, llr=llr, replicates=50, points=[LIKELY])
    assert found.eer == eer(llr, scores.labels)[0] != eer(scores.scores, scores.labels)[0]
    assert found.cllr == cllr(llr, scores.labels)
    (cost,) = found.costs
    assert cost.act_dcf == SortedScores(llr, scores.labels).curve().act_dcf(LIKELY)
    assert cost.min_dcf < cost.act_dcf
    intervals = (cost.min_dcf_interval, cost.min_dcf), (cost.act_dcf_interval, cost.act_dcf)
    for interval, value in (*intervals, (found.cllr_interval, found.cllr)):
        assert interval.low < value < interval.high
    assert found.min_dcf_001 == min_dcf(llr, scores.labels)


def test_scores_in_blocks_have_the_same_summary():
    scores = scores_of()
    halves = [Scores(scores.trials.take(part), scores.scores[part]) for part in np.split(np.arange(1770), 2)]
    assert measure(SortedScores.from_blocks(halves), llr=True) == summarise(scores, llr=scores.scores)


def test_json_is_flat():
    scores = scores_of()
    found = summarise(
        scores, UTT2SPK, llr=scores.scores, replicates=50, points=[OperatingPoint(0.01), LIKELY]
    )
    values = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert all(value is None or isinstance(value, (int, float)) for value in values.values())
    assert {
        "eer",
        "eer_low",
        "eer_high",
        "min_dcf_001",
        "min_dcf_001_low",
        "act_dcf_001_high",
        "min_dcf_05_1_2",
    } < set(values)
    assert (values["cllr_low"], values["min_cllr"]) == (found.cllr_interval.low, found.min_cllr)
    assert values["min_dcf_05_1_2"] == found.costs[1].min_dcf
    assert values["miss_at_far_0.001"] == found.miss_at_far[0.001]
    assert summarise(scores).as_dict().keys() >= {"eer_low", "cllr", "act_dcf_005"}


def test_the_text_names_points_and_intervals():
    scores = scores_of()
    text = str(summarise(scores, UTT2SPK, llr=scores.scores, replicates=50, points=[LIKELY]))
    found = summarise(scores, UTT2SPK, llr=scores.scores, replicates=50, points=[LIKELY])
    low, high = found.costs[0].min_dcf_interval.low, found.costs[0].min_dcf_interval.high
    assert f"EER {found.eer:6.2%} [{found.eer_low:.2%}, {found.eer_high:.2%}]" in text
    assert f"minDCF(0.5, 1, 2) {found.costs[0].min_dcf:.3f} [{low:.3f}, {high:.3f}]" in text
    assert f"actDCF {found.costs[0].act_dcf:.3f}" in text
    assert f"Cllr {found.cllr:.3f} (min {found.min_cllr:.3f})" in text
    assert "(90 targets, 1,680 nontargets)" in text


def test_paired_differences_of_llrs():
    first, second = scores_of(0), scores_of(1)
    plain = paired_difference([first], [second], UTT2SPK, 1, replicates=50, points=[LIKELY])
    assert (plain.act_dcf, plain.cllr) == ({}, None)
    found = paired_difference([first], [second], UTT2SPK, 1, replicates=50, points=[LIKELY], llr=True)
    assert found.eer == plain.eer
    assert found.min_dcf == plain.min_dcf
    a, b = (summarise(scores, llr=scores.scores, points=[LIKELY]) for scores in (first, second))
    assert found.cllr.difference == b.cllr - a.cllr
    assert found.act_dcf[LIKELY].difference == b.costs[0].act_dcf - a.costs[0].act_dcf
    assert found.cllr.interval.low < found.cllr.difference < found.cllr.interval.high


def test_few_speakers_are_warned_of():
    scores = scores_of()
    assert "only 15 speakers" in summarise(scores, UTT2SPK, replicates=20).warning
    assert "those of miss rates, min Cllr 80" in summarise(scores, UTT2SPK, replicates=20).warning
    calibrated = summarise(scores, UTT2SPK, replicates=20, llr=scores.scores)
    assert "those of miss rates, min Cllr, Cllr 80 to 90 %" in calibrated.warning
    assert summarise(scores).warning is None
    many = replace(summarise(scores, UTT2SPK, replicates=20, llr=scores.scores), speakers=100)
    assert "EER" not in many.warning
    assert "the 95 % interval of min Cllr, Cllr covers 85" in many.warning
    assert replace(many, speakers=1000).warning is None


def test_too_few_errors_are_warned_of():
    """15 speakers: an EER of 10 % is 1.5 of them, one of 0 none."""
    scores = scores_of()
    easy = Scores(scores.trials, scores.scores + 20 * scores.labels)
    found = summarise(easy, UTT2SPK, replicates=20, llr=easy.scores)
    assert "too few errors for 15 speakers" in found.warning
    assert "Cllr 53 to 87 %" in found.warning
    assert "about 90 %" not in found.warning
    assert "that of Cllr" not in summarise(easy, UTT2SPK, replicates=20).warning
    hard = Scores(scores.trials, scores.scores - 2 * scores.labels)
    assert "too few errors" not in summarise(hard, UTT2SPK, replicates=20).warning


def test_draws_that_lack_a_class_are_warned_of():
    """Of two speakers half of the draws are one of them twice, which leaves no nontarget."""
    few = {name: UTT2SPK[name] for name in list(UTT2SPK)[:8]}
    trials = all_pairs(list(few), list(few.values()))
    values = np.random.default_rng(0).standard_normal(len(trials))
    found = summarise(Scores(trials, values), few, replicates=200)
    assert found.useless_draws == pytest.approx(0.5, abs=0.1)
    assert "draws of speakers lacked targets or nontargets" in found.warning
    assert "draws" not in summarise(scores_of(), UTT2SPK, replicates=200).warning


def test_every_trial_needs_its_llr():
    with pytest.raises(DataError, match="differ in number"):
        summarise(scores_of(), llr=np.zeros(3))
