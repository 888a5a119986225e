"""Trials and all pairs scored in blocks: the same numbers as a plain loop, within a bound of memory."""

import csv

import numpy as np
import pytest

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.lists.trials import Trials, all_pairs
from cmd_speaker.scoring import normalisation
from cmd_speaker.scoring.backend import Backend
from cmd_speaker.scoring.budget import LEAST_MEMORY, Budget
from cmd_speaker.scoring.enrolment import EnrolMap, load_enrol_map
from cmd_speaker.scoring.scorer import TrialScorer

NAMES = [f"u{k}" for k in range(40)]
ROUNDING = {"rtol": 1e-6, "atol": 4e-6}
"""1e-7 in a cosine, divided by the deviation of the best cohort scores, which is about 0.03 here."""


def made(count, seed, prefix="u", size=16):
    vectors = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return Embeddings([f"{prefix}{k}" for k in range(count)], vectors)


def listed(pairs):
    ids = sorted({name for pair in pairs for name in pair})
    enrol, test = (np.array([ids.index(name) for name in side]) for side in zip(*pairs, strict=True))
    return Trials(ids, enrol, test)


def split(trials, size):
    return [trials.take(np.arange(k, min(k + size, len(trials)))) for k in range(0, len(trials), size)]


def scored(scorer, blocks):
    return np.concatenate([scores.scores for scores in scorer.score(blocks)])


def backend(norm, **settings):
    return Backend.fit(mean_from=made(90, 2, "m"), cohort=made(70, 3, "c"), norm=norm, top=9, **settings)


def naive(norm, enrol, test):
    """One normalised cosine in float64, everything computed anew."""
    mean = made(90, 2, "m").vectors.mean(axis=0, dtype=np.float64).astype(np.float32)

    def unit(vectors):
        centred = vectors.astype(np.float64) - mean
        return centred / np.linalg.norm(centred, axis=-1, keepdims=True)

    x = unit(enrol) @ unit(test)
    sides = []
    for side in (enrol, test):
        against = np.sort(unit(made(70, 3, "c").vectors) @ unit(side))
        if norm == "as":
            against = against[-9:]
        sides.append((x - against.mean()) / against.std())
    return {"none": x, "z": sides[0], "t": sides[1]}.get(norm, sum(sides) / 2)


# --- blocks ---


@pytest.mark.parametrize("norm", normalisation.NORMS)
def test_a_list_in_blocks_equals_a_plain_loop(norm):
    embeddings, trials = made(40, 1), all_pairs(NAMES, NAMES)
    expected = [
        naive(norm, embeddings.vectors[a], embeddings.vectors[b])
        for a, b in zip(trials.enrol, trials.test, strict=True)
    ]
    for size, workers in ((780, 1), (13, 1), (100, 3), (1, 2)):
        scorer = TrialScorer(embeddings, backend(norm), budget=Budget(LEAST_MEMORY, workers))
        np.testing.assert_allclose(scored(scorer, split(trials, size)), expected, **ROUNDING)
        assert (scorer.scored, scorer.left_out) == (780, 0)


def test_blocks_and_threads_change_nothing_but_rounding_and_repeats_change_nothing():
    embeddings = made(300, 1, size=192)
    rng = np.random.default_rng(0)
    trials = listed([(f"u{a}", f"u{b}") for a, b in rng.integers(0, 300, (4000, 2))])
    cohort = made(500, 3, "c", 192)
    for norm, tolerance in (("none", {"atol": 1e-6}), ("s", {"atol": 4e-6}), ("as", ROUNDING)):
        settings = Backend.fit(cohort=cohort, norm=norm, top=50)

        def run(size, workers, settings=settings):
            scorer = TrialScorer(embeddings, settings, budget=Budget(2**30, workers))
            return scored(scorer, split(trials, size))

        first = run(1000, 3)
        np.testing.assert_array_equal(run(1000, 3), first)
        for size, workers in ((4000, 1), (37, 2), (1000, 1)):
            np.testing.assert_allclose(run(size, workers), first, **tolerance)


def test_statistics_are_computed_once_for_each_utterance_that_occurs(monkeypatch):
    asked = []
    real = Backend.statistics
    monkeypatch.setattr(
        Backend, "statistics", lambda self, points, names: asked.extend(names) or real(self, points, names)
    )
    trials = listed([("u1", "u2"), ("u2", "u3"), ("u1", "u3"), ("u3", "u1"), ("u7", "u1")])
    scored(TrialScorer(made(40, 1), backend("as")), split(trials, 2))
    assert sorted(asked) == ["u1", "u2", "u3", "u7"]


def test_blocks_are_read_no_further_ahead_than_needed():
    """A list that does not fit in memory must not be gathered: scores come while it is read."""
    read = []

    def blocks():
        for k in range(50):
            read.append(k)
            yield listed([("u1", "u2")] * 4096)

    budget = Budget(LEAST_MEMORY, 2)
    assert budget.trials_ahead() == LEAST_MEMORY // 4 // 512 == 8192
    scores = TrialScorer(made(40, 1), backend("as"), budget=budget).score(blocks())
    next(scores)
    assert len(read) == 3
    next(scores)
    assert len(read) == 4


def test_a_small_budget_bounds_the_largest_array(monkeypatch):
    """16 MiB for two threads, a cohort of 4,000 whose scores of 1,000 utterances would take 16 MB."""
    largest = []
    real = normalisation.Cohort.statistics

    def spied(self, points):
        largest.append(len(points.vectors) * len(self) * 4)
        return real(self, points)

    monkeypatch.setattr(normalisation.Cohort, "statistics", spied)
    settings = Backend.fit(cohort=made(4000, 3, "c"), norm="as", top=300)
    budget = Budget(LEAST_MEMORY, 2)
    names = [f"u{k}" for k in range(1000)]
    trials = listed(list(zip(names, names[1:] + names[:1], strict=True)))
    scored(TrialScorer(made(1000, 1), settings, budget=budget), [trials])
    assert sum(largest) == 1000 * 4000 * 4  # all of them, each once
    assert 2 * max(largest) <= LEAST_MEMORY / 4


# --- what cannot be scored ---


def test_unknown_utterances_are_all_counted_and_some_kept():
    trials = listed([("u1", "u2")] + [(f"x{k}", "u1") for k in range(30)])
    scorer = TrialScorer(made(40, 1), kept=7)
    assert len(scored(scorer, split(trials, 10))) == 1
    assert (scorer.scored, scorer.left_out) == (1, 30)
    assert [str(error).split("'")[1] for error in scorer.errors] == [f"x{k}" for k in range(7)]


def test_a_list_of_other_ids_is_one_error():
    scorer = TrialScorer(made(40, 1), backend("as"))
    with pytest.raises(DataError, match=r"none of the 2 trials can be scored .*'a b'"):
        scored(scorer, split(listed([("a", "b"), ("b", "c")]), 1))


@pytest.mark.parametrize(("value", "words"), [(np.nan, "'u3' is not finite"), (0, "'u3' is all zeros")])
def test_embeddings_without_direction_are_refused_where_they_occur(value, words):
    embeddings = made(40, 1)
    embeddings.vectors[3] = value
    scored(TrialScorer(embeddings), [listed([("u1", "u2")])])
    with pytest.raises(DataError, match=words):
        scored(TrialScorer(embeddings), split(listed([("u1", "u2"), ("u2", "u3")]), 1))


def test_cohort_scores_that_do_not_differ_name_the_utterance():
    embeddings = Embeddings(["a", "b"], np.array([[1, 0, 0], [0, 1, 0]], np.float32))
    cohort = np.array([[0, 0.6, 0.8], [0, 0, 1]], np.float32)  # a scores 0 with both
    with pytest.raises(DataError, match="the cohort scores of 'a' do not differ"):
        scored(TrialScorer(embeddings, Backend(cohort=cohort, norm="s")), [listed([("a", "b")])])


def test_embeddings_of_another_model_are_refused():
    with pytest.raises(DataError, match=r"embeddings of another model .*expected 16 dimensions .*found 8"):
        scored(TrialScorer(made(4, 1, size=8), backend("as")), [listed([("u1", "u2")])])


# --- several enrolment utterances ---

# Cosines with the test utterance t = (1, 0): a (0.6, 0.8) 0.6, b (0, 1) 0, c (-1, 0) -1.
FEW = Embeddings(list("abct"), np.array([[0.6, 0.8], [0, 2], [-5, 0], [1, 0]], np.float32))
MODELS = EnrolMap({"m": ["a", "b"], "n": ["c"], "o": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        # m: (0.6, 0.8) + (0, 1) = (0.6, 1.8), whose cosine is 0.6 / sqrt(0.36 + 3.24) = 0.1 sqrt(10)
        # o: (0.6, 1.8) + (-1, 0) = (-0.4, 1.8), -0.4 / sqrt(0.16 + 3.24) = -0.4 / sqrt(3.4)
        ("average", [0.1 * 10**0.5, -1, -0.4 / 3.4**0.5, 0.1 * 10**0.5]),
        ("score", [0.3, -1, -0.4 / 3, 0.3]),
        ("best", [0.6, -1, 0.6, 0.6]),
    ],
)
@pytest.mark.parametrize("size", [1, 4])
def test_three_ways_by_hand(way, expected, size):
    scorer = TrialScorer(FEW, Backend(enrolment=way), enrolled=MODELS)
    trials = listed([("m", "t"), ("n", "t"), ("o", "t"), ("m", "t")])
    np.testing.assert_allclose(scored(scorer, split(trials, size)), expected, atol=1e-6)


@pytest.mark.parametrize("way", ["score", "best"])
def test_each_utterances_score_is_normalised_before_they_are_combined(way):
    embeddings = made(40, 1)
    enrolled = EnrolMap({"m": ["u1", "u2", "u3"], "n": ["u4"]})
    found = scored(
        TrialScorer(embeddings, backend("as", enrolment=way), enrolled=enrolled), [listed([("m", "u9")])]
    )
    single = [naive("as", embeddings.vectors[k], embeddings.vectors[9]) for k in (1, 2, 3)]
    np.testing.assert_allclose(found, [np.mean(single) if way == "score" else max(single)], atol=2e-6)


def test_an_averaged_model_has_statistics_of_its_own():
    embeddings = made(40, 1)
    mean = made(90, 2, "m").vectors.mean(axis=0)
    centred = embeddings.vectors[[1, 2]] - mean
    model = (centred / np.linalg.norm(centred, axis=1, keepdims=True)).mean(axis=0) + mean
    scorer = TrialScorer(embeddings, backend("as"), enrolled=EnrolMap({"m": ["u1", "u2"]}))
    np.testing.assert_allclose(
        scored(scorer, [listed([("m", "u9")])]), [naive("as", model, embeddings.vectors[9])], atol=1e-5
    )


def test_models_that_cannot_be_enrolled_are_left_out_and_named():
    enrolled = EnrolMap({"m": ["a", "b"], "n": ["c", "missing"]})
    scorer = TrialScorer(FEW, enrolled=enrolled)
    trials = listed([("m", "t"), ("n", "t"), ("o", "t"), ("m", "x"), ("a", "t")])
    assert len(scored(scorer, [trials])) == 1
    texts = [str(error) for error in scorer.errors]
    assert scorer.left_out == 4
    assert "model 'n' lacks ['missing']" in texts[0]
    assert "no model 'o'" in texts[1]
    assert "no embedding of 'x'" in texts[2]
    assert "no model 'a'" in texts[3]  # an utterance is not a model


def test_not_a_single_model():
    with pytest.raises(DataError, match=r"none of the 1 models .*ids like 'a'.*found 'z'"):
        TrialScorer(FEW, enrolled=EnrolMap({"m": ["z", "a"]}))


def test_the_map_is_read_and_every_bad_model_named(tmp_path):
    path = tmp_path / "enroll.map"
    path.write_text("m a.wav b.wav\n\nn c.wav\n")
    assert load_enrol_map(path).models == {"m": ["a.wav", "b.wav"], "n": ["c.wav"]}
    path.write_text("m a b\nn\nm c\no d d\n")
    with pytest.raises(Exception, match="3 of 4 models are wrong") as caught:
        load_enrol_map(path)
    assert [error.row for error in caught.value.errors] == [2, 3, 4]


# --- all pairs ---


@pytest.mark.parametrize("norm", ["none", "z", "as"])
@pytest.mark.parametrize("memory", [2**14, 2**30])
def test_all_pairs_equal_the_list_of_them(norm, memory):
    embeddings, speakers = made(40, 1), {name: f"s{k % 7}" for k, name in enumerate(NAMES)}
    trials = all_pairs(NAMES, list(speakers.values()))
    expected = scored(TrialScorer(embeddings, backend(norm)), [trials])
    scorer = TrialScorer(embeddings, backend(norm), budget=Budget(memory, 2))
    blocks = list(scorer.score_all_pairs(speakers))
    assert len(blocks) == (1 if memory > 2**20 else 20)  # 2^14 / 4 / (40 x 48) leaves 2 rows of 39
    for name in ("enrol", "test", "labels"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(block.trials, name) for block in blocks]), getattr(trials, name)
        )
    np.testing.assert_allclose(np.concatenate([block.scores for block in blocks]), expected, **ROUNDING)
    assert scorer.scored == 780


def test_all_pairs_need_every_speaker_and_no_models():
    scorer = TrialScorer(made(40, 1))
    assert next(scorer.score_all_pairs()).labels is None
    with pytest.raises(DataError, match=r"no speaker of 'u1' .*39 of 40"):
        list(scorer.score_all_pairs({"u0": "s"}))
    with pytest.raises(DataError, match="there are no pairs"):
        list(TrialScorer(made(1, 1)).score_all_pairs())
    with pytest.raises(UsageError, match="--enrol-map"):
        list(TrialScorer(FEW, enrolled=MODELS).score_all_pairs())


# --- quality measures ---


def qualities(scorer, path):
    scorer.sides.write_qualities(path)
    with path.open(newline="") as file:
        return {row.pop("ID"): {k: float(v) for k, v in row.items()} for row in csv.DictReader(file)}


@pytest.mark.parametrize("norm", ["none", "s", "as"])
def test_qualities_of_the_utterances_that_occur(tmp_path, norm):
    embeddings, settings = made(40, 1), backend(norm)
    scorer = TrialScorer(embeddings, settings, qualities=True)
    scored(scorer, [listed([("u5", "u2"), ("u2", "u9")])])
    found = qualities(scorer, tmp_path / "q.csv")
    assert list(found) == ["u2", "u5", "u9"]
    expected = settings.cohort_means(embeddings.vectors[[2, 5, 9]])
    np.testing.assert_allclose([row["cohort_mean"] for row in found.values()], expected, atol=1e-6)
    np.testing.assert_allclose(found["u5"]["norm"], np.linalg.norm(embeddings.vectors[5]), rtol=1e-6)


@pytest.mark.parametrize("way", ["average", "best"])
def test_qualities_of_models_and_without_a_cohort(tmp_path, way):
    scorer = TrialScorer(FEW, Backend(enrolment=way), enrolled=MODELS, qualities=True)
    scored(scorer, [listed([("o", "t")])])
    found = qualities(scorer, tmp_path / "q.csv")
    assert found["o"] == {"norm": pytest.approx((1 + 2 + 5) / 3)}
    assert "m" not in found
    with pytest.raises(DataError, match="'a' is a model and an utterance"):
        TrialScorer(FEW, enrolled=EnrolMap({"a": ["a", "b"]}), qualities=True)
