"""Score files, the lists joined to them, and cosine scores from embeddings."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cmd_speaker.errors
from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.lists.scores import Scores, attach_labels, load_scores, save_scores
from cmd_speaker.lists.speakers import load_utt2spk
from cmd_speaker.lists.trials import all_pairs, load_trials
from cmd_speaker.scoring.budget import Budget
from cmd_speaker.scoring.scorer import TrialScorer, cosine_scores


def write(tmp_path, text, name="scores.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def pairs(trials):
    return [trials.pair(k) for k in range(len(trials))]


def failed_rows(error):
    return [(failed.file, failed.row) for failed in error.value.errors]


# --- reading and writing ---


def test_three_and_four_fields(tmp_path):
    plain = load_scores(write(tmp_path, "a b 0.5\nb c -1e-3\n"))
    assert pairs(plain.trials) == [("a", "b"), ("b", "c")]
    assert plain.scores.tolist() == [0.5, -0.001]
    assert plain.labels is None
    for text in ("a b 0.5 1\nb c -2 0\n", "a b 0.5 target\nb c -2 nontarget\n"):
        assert load_scores(write(tmp_path, text)).labels.tolist() == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        # WeSpeaker, wespeaker/bin/score.py: '{} {} {:.5f} {}'.
        "id10270/a.wav id10270/b.wav 0.81250 target\nid10270/a.wav id10300/c.wav -0.03125 nontarget\n",
        # WeSpeaker, wespeaker/bin/score_norm.py: the same, then norms and cohort means of both sides.
        "id10270/a.wav id10270/b.wav 0.81250 target 9.1250 8.0000 0.1250 -0.5000\n"
        "id10270/a.wav id10300/c.wav -0.03125 nontarget 9.1250 7.5000 0.1250 0.2500\n",
        # 3D-Speaker, speakerlab/bin/compute_score_metrics.py: the line of the trial list, then '%.5f'.
        "id10270/a.wav id10270/b.wav target 0.81250\nid10270/a.wav id10300/c.wav nontarget -0.03125\n",
        "id10270/a.wav id10270/b.wav 1 0.81250\nid10270/a.wav id10300/c.wav 0 -0.03125\n",
        # SpeechBrain, recipes/VoxCeleb/SpeakerRec/speaker_verification_cosine.py: '%s %s %i %f'.
        "id10270/a.wav id10270/b.wav 1 0.812500\nid10270/a.wav id10300/c.wav 0 -0.031250\n",
        # Kaldi, src/ivectorbin/ivector-plda-scoring.cc and ivector-compute-dot-products.cc: no label.
        "id10270/a.wav id10270/b.wav 0.8125\nid10270/a.wav id10300/c.wav -0.03125\n",
    ],
)
def test_score_files_of_other_toolkits(tmp_path, text):
    scores = load_scores(write(tmp_path, text))
    assert pairs(scores.trials) == [("id10270/a.wav", "id10270/b.wav"), ("id10270/a.wav", "id10300/c.wav")]
    assert scores.scores.tolist() == [0.8125, -0.03125]
    assert scores.labels is None or scores.labels.tolist() == [True, False]
    assert (scores.labels is None) == (len(text.split()) == 6)


def test_scores_that_are_all_0_or_1_need_a_trial_list(tmp_path):
    path = write(tmp_path, "a b 0 1\na c 1 0\n")
    with pytest.raises(
        DataError, match=r"'enrol test score label' or 'enrol test label score'.*--trials"
    ) as caught:
        load_scores(path)
    assert (caught.value.file, caught.value.row) == (path, 1)
    same_in_both = load_scores(write(tmp_path, "a b 1 1\na c 0 0\n"))
    assert same_in_both.scores.tolist() == same_in_both.labels.tolist() == [1, 0]
    trials = load_trials(write(tmp_path, "1 a b\n0 a c\n", "trials.txt"))
    assert attach_labels(load_scores(write(tmp_path, "a b 0\na c 1\n")), trials)[0].scores.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "rows", "words"),
    [
        ("a b 0.5\na c nan\n", [2], "bad score 'nan'"),
        ("a b 0.5\na c inf\n", [2], "bad score 'inf'"),
        ("a b 0.5\na c 0,7\n\na d x\n", [2, 4], "bad score"),
        ("a b 0.5\na c\n", [2], "wrong number of fields"),
        ("a b 0.5\na c 0.5 1\na d 0.1\n", [2], "another form"),
        ("a b 0.5 1\na c 0.5 0\na d 0.1\n", [3], "another form"),
        ("a b 0.5 1\na c 0.5 yes\n", [2], "unknown label 'yes'"),
    ],
)
def test_every_bad_row_is_named(tmp_path, text, rows, words):
    path = write(tmp_path, text)
    with pytest.raises(DataErrors, match=words) as caught:
        load_scores(path)
    assert failed_rows(caught) == [(path, row) for row in rows]


@pytest.mark.parametrize("labelled", [True, False])
def test_float32_scores_come_back_to_the_bit(tmp_path, labelled):
    rng = np.random.default_rng(3)
    trials = all_pairs([f"u{k}" for k in range(200)], [f"s{k % 20}" for k in range(200)])
    if not labelled:
        trials = type(trials)(trials.ids, trials.enrol, trials.test)
    values = (rng.standard_normal(len(trials)) * 10.0 ** rng.integers(-6, 6, len(trials))).astype(np.float32)
    save_scores(tmp_path / "scores.txt", Scores(trials, values))
    loaded = load_scores(tmp_path / "scores.txt")
    np.testing.assert_array_equal(loaded.scores.astype(np.float32), values)
    assert pairs(loaded.trials) == pairs(trials)
    assert (loaded.labels is not None) == labelled
    assert not labelled or (loaded.labels == trials.labels).all()


def test_what_a_saved_file_looks_like(tmp_path):
    trials = all_pairs(["a", "b", "c"], ["s", "s", "t"])
    save_scores(tmp_path / "scores.txt", Scores(trials, np.array([0.5, -1, 0.1], np.float32)))
    assert (tmp_path / "scores.txt").read_text() == "a b 0.5 1\na c -1 0\nb c 0.100000001 0\n"


def test_a_score_that_is_not_finite_is_not_written(tmp_path):
    trials = all_pairs(["a", "b"], ["s", "s"])
    with pytest.raises(DataError, match="the score of a b is not finite"):
        save_scores(tmp_path / "scores.txt", Scores(trials, np.array([np.nan])))
    assert not list(tmp_path.iterdir())


# --- labels from a trial list ---


def test_labels_are_joined_by_pair_whatever_the_order(tmp_path):
    scores = load_scores(write(tmp_path, "a c 3\nx y 9\na b 1\nb c 2\nb a 7\n"))
    trials = load_trials(write(tmp_path, "1 a b\n0 b c\n1 a c\n", "trials.txt"))
    joined, extra = attach_labels(scores, trials)
    assert joined.scores.tolist() == [1, 2, 3]
    assert joined.labels.tolist() == [True, False, True]
    assert extra == 2  # x y and b a


def test_trials_without_a_score_are_named(tmp_path):
    scores = load_scores(write(tmp_path, "a b 1\nc b 2\n"))
    path = write(tmp_path, "1 a b\n0 b c\n1 a zz\n", "trials.txt")
    with pytest.raises(DataErrors, match="expected a score") as caught:
        attach_labels(scores, load_trials(path))
    assert failed_rows(caught) == [(path, 2), (path, 3)]


def test_a_pair_with_two_different_scores_is_an_error(tmp_path):
    trials = load_trials(write(tmp_path, "1 a b\n", "trials.txt"))
    path = write(tmp_path, "a b 1\nc d 5\na b 2\n")
    with pytest.raises(DataErrors, match="two scores") as caught:
        attach_labels(load_scores(path), trials)
    assert failed_rows(caught) == [(path, 3)]
    joined, extra = attach_labels(load_scores(write(tmp_path, "a b 1\nc d 5\na b 1\n")), trials)
    assert joined.scores.tolist() == [1]
    assert extra == 1


def test_labels_of_both_files_must_agree(tmp_path):
    scores = load_scores(write(tmp_path, "a b 1 1\na c 2 1\n"))
    path = write(tmp_path, "1 a b\n0 a c\n", "trials.txt")
    with pytest.raises(DataErrors, match=r"expected target as in .*found nontarget") as caught:
        attach_labels(scores, load_trials(path))
    assert failed_rows(caught) == [(path, 2)]


def test_a_list_without_labels_gives_none(tmp_path):
    scores = load_scores(write(tmp_path, "a b 1\n"))
    with pytest.raises(DataError, match="no labels"):
        attach_labels(scores, load_trials(write(tmp_path, "a b\n", "trials.txt")))


# --- speakers of utterances ---


def test_utt2spk_and_manifest(tmp_path):
    assert load_utt2spk(write(tmp_path, "u1 ann\nu2 bob\n", "utt2spk")) == {"u1": "ann", "u2": "bob"}
    text = 'ID,duration,wav,start,stop,spk_id,text\nu1,1.0,a.wav,,,ann,"one, two"\nu2,1.0,b.wav,,,bob,three\n'
    assert load_utt2spk(write(tmp_path, text, "test.csv")) == {"u1": "ann", "u2": "bob"}


@pytest.mark.parametrize(
    ("name", "text", "rows", "words"),
    [
        ("utt2spk", "u1 ann\nu2\nu3 bob x\n", [2, 3], "wrong number of fields"),
        ("utt2spk", "u1 ann\nu2 bob\n\nu1 bob\n", [4], "duplicate utterance 'u1'"),
        ("m.csv", "ID,spk_id\nu1,ann\nu1,ann\n", [3], "duplicate utterance 'u1'"),
        ("m.csv", "ID,spk_id\nu1,ann\nu2,\nu3\n", [3, 4], "incomplete row"),
    ],
)
def test_bad_rows_of_a_list_of_speakers_are_named(tmp_path, name, text, rows, words):
    path = write(tmp_path, text, name)
    with pytest.raises(DataErrors, match=words) as caught:
        load_utt2spk(path)
    assert failed_rows(caught) == [(path, row) for row in rows]


def test_a_csv_whose_header_is_broken_is_named(tmp_path):
    with pytest.raises(DataError, match=r"row 2: the manifest is not a CSV file .*Correct the row"):
        load_utt2spk(write(tmp_path, 'ID,"spk_id\nu1,ann\n', "m.csv"))


def test_a_compressed_manifest(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbfID,spk_id,text\r\nu1,ann,"two\r\nlines"\r\n'))
    assert load_utt2spk(path) == {"u1": "ann"}


def test_a_csv_without_speakers_is_refused(tmp_path):
    with pytest.raises(DataError, match="the columns ID and spk_id"):
        load_utt2spk(write(tmp_path, "ID,wav\nu1,a.wav\n", "m.csv"))


# --- cosine scores ---


def test_cosine_of_hand_worked_vectors():
    # (3, 4) has length 5, (1, 0) length 1, (-6, -8) length 10, (0, 2) length 2:
    # cos = 3/5, -1, 4/5; -3/5, 0; -4/5 in the order of the pairs.
    vectors = np.array([[3, 4], [1, 0], [-6, -8], [0, 2]], dtype=np.float32)
    trials = all_pairs(list("abcd"), list("ssts"))
    scores, errors = cosine_scores(Embeddings(list("abcd"), vectors), trials)
    np.testing.assert_allclose(scores.scores, [0.6, -1, 0.8, -0.6, 0, -0.8], atol=1e-7)
    assert scores.scores.dtype == np.float32
    assert errors == []
    assert scores.trials is trials


def test_blocks_do_not_change_a_bit():
    rng = np.random.default_rng(1)
    ids = [f"u{k}" for k in range(60)]
    embeddings = Embeddings(ids[::-1], rng.standard_normal((60, 193)).astype(np.float32))
    trials = all_pairs(ids, ids)
    whole, _ = cosine_scores(embeddings, trials)
    for block in (1, 7, 1000):
        blocks = (trials.take(np.arange(k, min(k + block, 1770))) for k in range(0, 1770, block))
        parts = TrialScorer(embeddings, budget=Budget(2**24, 3)).score(blocks)
        np.testing.assert_array_equal(np.concatenate([part.scores for part in parts]), whole.scores)
    unit = embeddings.vectors / np.linalg.norm(embeddings.vectors.astype(np.float64), axis=1, keepdims=True)
    expected = (unit @ unit.T)[::-1, ::-1][np.triu_indices(60, 1)]
    np.testing.assert_allclose(whole.scores, expected, atol=1e-6)


def test_trials_with_unknown_utterances_are_returned_as_errors(tmp_path):
    path = write(tmp_path, "1 a b\n0 a x\n1 b c\n0 y z\n", "trials.txt")
    embeddings = Embeddings(list("abc"), np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32))
    scores, errors = cosine_scores(embeddings, load_trials(path))
    assert pairs(scores.trials) == [("a", "b"), ("b", "c")]
    assert scores.labels.tolist() == [True, True]
    assert [scores.trials.row(k) for k in range(2)] == [1, 3]
    np.testing.assert_allclose(scores.scores, [0.5**0.5, 0.5**0.5], rtol=1e-6)
    assert [(error.file, error.row) for error in errors] == [(path, 2), (path, 4)]
    assert "'x'" in str(errors[0])
    assert "'y' and 'z'" in str(errors[1])


def test_ids_of_another_kind_are_one_error(tmp_path):
    trials = load_trials(write(tmp_path, "1 a.wav b.wav\n0 a.wav c.wav\n", "trials.txt"))
    with pytest.raises(DataError, match=r"none of the 2 trials .*ids like 'a'.*'a.wav b.wav'"):
        cosine_scores(Embeddings(["a", "b"], np.eye(2, dtype=np.float32)), trials)


def test_an_embedding_without_length_is_refused():
    with pytest.raises(DataError, match="'b' is all zeros"):
        cosine_scores(
            Embeddings(["a", "b"], np.array([[1, 0], [0, 0]], np.float32)), all_pairs(["a", "b"], "st")
        )


# --- the back-end stands without torch ---


def test_no_module_of_the_back_end_imports_torch():
    root = Path(cmd_speaker.errors.__file__).parents[1]
    modules = sorted(
        f"cmd_speaker.{room}.{path.stem}"
        for room in ("lists", "scoring", "calibration", "evaluation", "report")
        for path in (root / "cmd_speaker" / room).glob("*.py")
        if path.stem != "__init__"
    )
    assert {"cmd_speaker.scoring.plda", "cmd_speaker.evaluation.bootstrap"} < set(modules)
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
