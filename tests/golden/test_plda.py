"""PLDA: scores against the definition of the likelihood ratio, and against SpeechBrain's own."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.scoring.plda import Plda


def scores(model, enrol, test):
    a, b = model.points(enrol), model.points(test)
    return a.vectors @ b.vectors.T + a.offsets[:, None] + b.offsets


def random_covariance(rng, size, rank):
    root = rng.standard_normal((size, rank))
    return root @ root.T


@pytest.fixture(scope="module")
def voices():
    """Embeddings of 60 speakers, 10 each, of 6 dimensions, three of which tell speakers apart."""
    rng = np.random.default_rng(4)
    speakers = np.repeat(np.arange(60), 10)
    vectors = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 6))
    vectors = vectors[speakers] + 0.5 * rng.standard_normal((600, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [f"s{k}" for k in speakers]


def test_one_dimension_by_hand():
    # B = 1, W = 1, m = 0, both embeddings 1. One speaker: covariance [[2, 1], [1, 2]], determinant 3, and
    # (1, 1) [[2, -1], [-1, 2]] / 3 (1, 1)' = 2/3. Two speakers: 2 I, determinant 4, 1/2 + 1/2 = 1.
    # LLR = -(ln 3) / 2 - 1/3 + (ln 4) / 2 + 1/2 = ln(4 / 3) / 2 + 1/6.
    model = Plda.of_covariances(np.zeros(1), np.eye(1), np.eye(1))
    found = scores(model, np.ones((1, 1)), np.array([[1.0], [-1.0]]))
    # With -1 instead: (1, -1) gives (2 + 1 + 1 + 2) / 3 = 2, so that LLR = ln(4 / 3) / 2 - 1 + 1/2.
    np.testing.assert_allclose(found, [[np.log(4 / 3) / 2 + 1 / 6, np.log(4 / 3) / 2 - 1 / 2]], rtol=1e-6)


@pytest.mark.parametrize("rank", [2, 5])
def test_llr_equals_the_ratio_of_two_gaussians(rank):
    """Of the pair as one vector [2 D]: the covariance between the halves is B for one speaker, 0 for two."""
    rng = np.random.default_rng(rank)
    mean, between, within = (
        rng.standard_normal(5),
        random_covariance(rng, 5, rank),
        random_covariance(rng, 5, 9),
    )
    enrol, test = rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    total, none = between + within, np.zeros((5, 5))
    same = multivariate_normal(np.tile(mean, 2), np.block([[total, between], [between, total]]))
    different = multivariate_normal(np.tile(mean, 2), np.block([[total, none], [none, total]]))
    pairs = np.array([[np.concatenate([a, b]) for b in test] for a in enrol])
    model = Plda.of_covariances(mean, between, within)
    assert model.rank == rank
    np.testing.assert_allclose(
        scores(model, enrol, test), same.logpdf(pairs) - different.logpdf(pairs), rtol=1e-5, atol=1e-5
    )


def test_scores_equal_speechbrains(voices):
    from speechbrain.processing import PLDA_LDA as sb

    vectors, speakers = voices
    names = np.array(speakers, dtype="|O")
    nothing, ones = np.full(600, None), np.ones((600, 1))
    theirs = sb.PLDA(rank_f=3)
    theirs.plda(sb.StatObject_SB(names, np.arange(600), nothing, nothing, ones, vectors.astype(np.float64)))

    def statistics(rows):
        few = np.array([f"u{k:03}" for k in rows], dtype="|O")
        blank = np.full(len(rows), None)
        return sb.StatObject_SB(
            few, few, blank, blank, np.ones((len(rows), 1)), vectors[rows].astype(np.float64)
        )

    enrol, test = statistics(range(0, 8)), statistics(range(5, 13))
    pairs = sb.Ndx(models=enrol.modelset, testsegs=test.modelset)
    expected = sb.fast_PLDA_scoring(
        enrol, test, pairs, theirs.mean, theirs.F, theirs.Sigma, check_missing=False
    )
    ours = Plda.fit(vectors, speakers, rank=3)
    np.testing.assert_allclose(
        scores(ours, vectors[:8], vectors[5:13]), expected.scoremat, rtol=1e-4, atol=1e-4
    )


def test_trained_scores_tell_speakers_apart(voices):
    vectors, speakers = voices
    found = scores(Plda.fit(vectors[:400], speakers[:400], rank=3), vectors[400:], vectors[400:])
    same = np.equal.outer(speakers[400:], speakers[400:])
    assert found[same & ~np.eye(200, dtype=bool)].mean() > 1 > -1 > found[~same].mean()


@pytest.mark.parametrize(
    ("count", "speakers", "rank", "error", "words"),
    [
        (600, 60, 7, UsageError, "from 1 to the embeddings' size 6, found 7"),
        (600, 60, 0, UsageError, "found 0"),
        (600, 1, 3, DataError, "600 utterances of 1 speakers"),
        (50, 50, 3, DataError, "50 utterances of 50 speakers"),
        (6, 2, 3, DataError, "more than 6 utterances"),
    ],
)
def test_too_little_data_and_wrong_ranks_are_refused(voices, count, speakers, rank, error, words):
    names = [str(k % speakers) for k in range(count)]
    with pytest.raises(error, match=words):
        Plda.fit(voices[0][:count], names, rank)


def test_embeddings_of_one_plane_are_refused(voices):
    vectors = voices[0].copy()
    vectors[:, 5] = 0
    with pytest.raises(DataError, match="no PLDA can be made"):
        Plda.fit(vectors, voices[1])
