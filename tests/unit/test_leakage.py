"""Means, cohorts and PLDA data taken from the test are refused, those that only look like it are not."""

import shutil

import numpy as np
import pytest

from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.lists.trials import Trials
from cmd_speaker.scoring import leakage as leakage_module
from cmd_speaker.scoring.leakage import LeakageCheck, row_hashes
from cmd_speaker.scoring.scorer import TrialScorer


def made(prefix, seed):
    vectors = np.random.default_rng(seed).standard_normal((20, 8)).astype(np.float32)
    return Embeddings([f"{prefix}{k}" for k in range(20)], vectors)


def use(leakage, *rows):
    """Score trials of these rows."""
    rows = np.array(rows, np.int32)
    trials = Trials(leakage.scored.ids, rows[:-1], rows[1:])
    return list(TrialScorer(leakage.scored, leakage=leakage).score([trials]))


def test_strangers_are_welcome():
    leakage = LeakageCheck(made("u", 1), {"u0": "ann", "c0": "bob"})
    leakage.add("cohort", made("c", 2), {"c1": "eve"})
    assert len(use(leakage, 0, 1, 2)[0]) == 2


def test_the_file_that_is_scored_is_refused_whole(tmp_path):
    save_embeddings(tmp_path / "test.npz", made("u", 1))
    (tmp_path / "link.npz").symlink_to("test.npz")
    scored = load_embeddings(tmp_path / "test.npz")
    for other in (scored, load_embeddings(tmp_path / "link.npz")):
        with pytest.raises(DataError, match="the cohort would be taken from the embeddings that are scored"):
            LeakageCheck(scored).add("cohort", other)


def test_a_copy_of_the_file_is_refused_when_trials_use_it(tmp_path):
    save_embeddings(tmp_path / "test.npz", made("u", 1))
    shutil.copy(tmp_path / "test.npz", tmp_path / "copy.npz")
    leakage = LeakageCheck(load_embeddings(tmp_path / "test.npz"))
    leakage.add("cohort", load_embeddings(tmp_path / "copy.npz"))
    with pytest.raises(DataError, match="'u3', which occurs in the trials, is in the cohort too"):
        use(leakage, 3, 4)


def test_a_shared_id_is_refused_only_where_a_trial_uses_it():
    cohort = made("c", 2)
    cohort.ids[7] = "u5"
    leakage = LeakageCheck(made("u", 1))
    leakage.add("cohort", cohort)
    use(leakage, 1, 2, 3)
    with pytest.raises(DataError, match=r"'u5'.* is in the cohort too"):
        use(leakage, 1, 5)


def test_the_same_embedding_under_another_id_is_refused():
    scored, mean = made("u", 1), made("m", 2)
    mean.vectors[11] = scored.vectors[6]
    leakage = LeakageCheck(scored)
    leakage.add("data of the mean", mean)
    use(leakage, 1, 2, 3)
    with pytest.raises(DataError, match=r"'u6'.* has the same embedding as one of the data of the mean"):
        use(leakage, 1, 6)


@pytest.mark.parametrize("own_list", [False, True])
def test_a_speaker_of_both_is_refused(own_list):
    speakers, theirs = {"u2": "ann", "u3": "bob"}, {"c9": "bob"}
    leakage = LeakageCheck(made("u", 1), speakers if own_list else speakers | theirs)
    leakage.add("cohort", made("c", 2), theirs if own_list else None)
    use(leakage, 1, 2)
    with pytest.raises(DataError, match=r"'u3'.* is of a speaker of the cohort \('bob'\)"):
        use(leakage, 2, 3)


def test_equal_hashes_are_not_enough(monkeypatch):
    monkeypatch.setattr(leakage_module, "row_hashes", lambda vectors: np.zeros(len(vectors), np.uint64))
    leakage = LeakageCheck(made("u", 1))
    leakage.add("cohort", made("c", 2))
    assert len(use(leakage, 0, 1, 2)[0]) == 2


def test_a_hash_sees_every_bit_and_every_place():
    row = np.arange(1, 9, dtype=np.float32)
    changed = np.tile(row, (8 * 32, 1))
    changed.view(np.uint32)[np.arange(8 * 32), np.repeat(np.arange(8), 32)] ^= np.tile(
        np.uint32(1) << np.arange(32, dtype=np.uint32), 8
    )
    swapped = np.array([np.roll(row, k) for k in range(8)])
    assert len(np.unique(row_hashes(np.concatenate([changed, swapped])))) == 8 * 32 + 8
    np.testing.assert_array_equal(row_hashes(changed), row_hashes(changed.copy()))
