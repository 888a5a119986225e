"""Trial lists and score files read and written in blocks: borders change nothing, and rows keep their numbers."""

import gzip

import numpy as np
import pytest

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.lists import forms, lines
from cmd_speaker.lists.scores import Scores, load_scores, read_scores, save_scores, write_scores
from cmd_speaker.lists.trials import (
    LABEL_CELLS,
    Trials,
    load_trials,
    read_trials,
    save_trials,
    write_trials,
)


def write(tmp_path, text, name="list.txt"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows_of(trials):
    labels = [None] * len(trials) if trials.labels is None else trials.labels.tolist()
    return [(*trials.pair(k), labels[k], trials.row(k)) for k in range(len(trials))]


def random_trials(rng, count, labelled=True):
    letters = [*"abzé0/._-", "target", "1", "說"]
    ids = [
        "u" + "".join(rng.choice(letters, rng.integers(1, 9))) + str(k) for k in range(rng.integers(1, 40))
    ]
    enrol, test = rng.integers(0, len(ids), (2, count), dtype=np.int32)
    return Trials(ids, enrol, test, rng.random(count) < 0.3 if labelled else None)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(lines, "PIECE", 50)


# --- reading ---


@pytest.mark.parametrize("block", [1, 3, 1000])
@pytest.mark.parametrize("piece", [1, 17, 100, 1 << 20])
def test_borders_of_blocks_and_pieces_change_nothing(tmp_path, monkeypatch, block, piece):
    text = "".join(
        f"{k % 3 % 2} spk{k % 7}/{k}.wav\tspk{k % 5}/é{k}.wav{' ' * (k % 2)}\r\n" for k in range(60)
    )
    text = text.replace("spk3/10.wav", "spk3/10.wav ").replace("1 spk4/4.wav", "\n \n1 spk4/4.wav")
    path = write(tmp_path, "\ufeff" + text.removesuffix("\r\n"))
    whole = load_trials(path)
    assert len(whole) == 60
    assert whole.pair(59) == ("spk3/59.wav", "spk4/é59.wav")
    assert whole.row(3) == 4
    assert whole.row(4) == 7  # two blank lines stand before it
    monkeypatch.setattr(lines, "PIECE", piece)
    blocks = list(read_trials(path, block))
    assert max(map(len, blocks)) <= block
    assert [row for trials in blocks for row in rows_of(trials)] == rows_of(whole)
    assert all(set(trials.ids) == {name for row in rows_of(trials) for name in row[:2]} for trials in blocks)


@pytest.mark.usefixtures("small_pieces")
def test_a_wrong_row_of_a_later_block_is_named(tmp_path):
    good = "".join(f"a{k} b{k} {k / 7}\n" for k in range(30))
    path = write(tmp_path, good + "\na b x\n" + good + "c d nan\n" + good)
    passed = []
    with pytest.raises(DataErrors, match="2 of 92 rows of the score file are wrong") as caught:
        passed.extend(row for block in read_scores(path, 4) for row in rows_of(block.trials))
    assert [(error.file, error.row) for error in caught.value.errors] == [(path, 32), (path, 63)]
    assert [row[3] for row in passed] == list(range(1, len(passed) + 1))  # nothing after the first wrong row
    assert 25 < len(passed) <= 30


@pytest.mark.usefixtures("small_pieces")
def test_errors_are_counted_to_the_end_but_not_all_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(forms, "KEPT_ERRORS", 25)
    path = write(tmp_path, "1 a b\n" * 90 + "2 a b\n" * 80)
    with pytest.raises(DataErrors, match=r"80 of 170 rows .*(?s:.)*\.\.\. and 60 more") as caught:
        load_trials(path)
    assert [error.row for error in caught.value.errors] == list(range(91, 116))
    assert caught.value.count == 80


@pytest.mark.usefixtures("small_pieces")
def test_a_later_piece_of_another_form_is_wrong(tmp_path):
    path = write(tmp_path, "1 a b\n" * 20 + "a b target\n")
    with pytest.raises(DataErrors, match=r"another form .*'1\|0 enrol test' as in the rest") as caught:
        list(read_trials(path))
    assert [error.row for error in caught.value.errors] == [21]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("bad", "words"),
    [(b"1 a \xff\n", "byte 0xff"), (b"1 a b\0\n", "byte 0x00"), (b"1 a \xc3\n", "byte 0xc3")],
)
def test_a_byte_that_is_no_text_is_named_by_its_row(tmp_path, bad, words):
    path = write(tmp_path, b"1 a b\n" * 40 + bad + b"1 a b\n" * 40)
    with pytest.raises(DataError, match=f"not text .*{words}") as caught:
        list(read_trials(path))
    assert caught.value.row == 41


def test_a_file_without_lines_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "PIECE", 50)
    monkeypatch.setattr(lines, "LONGEST", 100)
    with pytest.raises(DataError, match="a line of more than 100 bytes"):
        load_trials(write(tmp_path, "1 a b\n" * 20 + "x" * 500))


def test_a_misaligned_file_is_not_mistaken_for_a_whole_one(tmp_path):
    # Two fields too many, two too few: their number alone would be right.
    path = write(tmp_path, "1 a b\n0 a c d e\n1\n0 c d\n")
    with pytest.raises(DataErrors) as caught:
        load_trials(path)
    assert [error.row for error in caught.value.errors] == [2, 3]


def test_a_compressed_list_is_read_whatever_its_name(tmp_path):
    text = b"1 a b\n0 a c\n"
    expected = rows_of(load_trials(write(tmp_path, text)))
    for name in ("list.txt.gz", "list2.txt"):
        assert rows_of(load_trials(write(tmp_path, gzip.compress(text), name))) == expected


@pytest.mark.parametrize("damage", [lambda data: data[:-12], lambda data: data[:15] + b"xxxx" + data[19:]])
def test_a_damaged_compressed_list_is_refused(tmp_path, damage):
    path = write(tmp_path, damage(gzip.compress(b"1 a b\n0 a c\n" * 50)), "list.gz")
    with pytest.raises(DataError, match="the trial list is damaged"):
        load_trials(path)


# --- round trips ---


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("form", [None, *LABEL_CELLS])
def test_random_trials_come_back(tmp_path, monkeypatch, form, seed):
    rng = np.random.default_rng([seed, 5])
    trials = random_trials(rng, int(rng.integers(1, 200)), labelled=form is not None or seed % 2 == 0)
    path = tmp_path / "list.txt"
    save_trials(path, trials, form)
    monkeypatch.setattr(lines, "PIECE", int(rng.integers(1, 300)))
    found = [row for block in read_trials(path, int(rng.integers(1, 50))) for row in rows_of(block)]
    assert [row[:3] for row in found] == [row[:3] for row in rows_of(trials)]
    assert [row[3] for row in found] == list(range(1, len(trials) + 1))


@pytest.mark.parametrize("seed", range(20))
def test_random_scores_come_back(tmp_path, monkeypatch, seed):
    rng = np.random.default_rng([seed, 6])
    blocks = []
    for _ in range(rng.integers(1, 5)):
        trials = random_trials(rng, int(rng.integers(0, 90)), labelled=seed % 2 == 0)
        scale = 10.0 ** rng.integers(-30, 30, len(trials))
        blocks.append(Scores(trials, (rng.standard_normal(len(trials)) * scale).astype(np.float32)))
    blocks.append(Scores(random_trials(rng, 1, labelled=seed % 2 == 0), np.array([0.25], np.float32)))
    path = tmp_path / "scores.txt"
    assert write_scores(path, iter(blocks)) == sum(map(len, blocks))
    monkeypatch.setattr(lines, "PIECE", int(rng.integers(1, 300)))
    read = list(read_scores(path, int(rng.integers(1, 50))))
    expected = [row[:3] for block in blocks for row in rows_of(block.trials)]
    assert [row[:3] for block in read for row in rows_of(block.trials)] == expected
    scores = np.concatenate([block.scores for block in read])
    np.testing.assert_array_equal(
        scores.astype(np.float32), np.concatenate([block.scores for block in blocks])
    )
    whole = load_scores(path)
    assert [row[:3] for row in rows_of(whole.trials)] == expected
    np.testing.assert_array_equal(whole.scores, scores)


def test_blocks_are_the_same_file_as_the_whole(tmp_path):
    rng = np.random.default_rng(0)
    trials = random_trials(rng, 100)
    scores = Scores(trials, rng.standard_normal(100))
    save_scores(tmp_path / "whole", scores)
    parts = [slice(0, 30), slice(30, 31), slice(31, 100)]
    write_scores(tmp_path / "parts", (Scores(trials.take(part), scores.scores[part]) for part in parts))
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    save_trials(tmp_path / "whole", trials, "kaldi")
    assert write_trials(tmp_path / "parts", map(trials.take, parts), "kaldi") == 100
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


# --- writing that fails leaves nothing ---


def test_a_bad_later_block_leaves_no_score_file(tmp_path):
    trials = Trials(["a", "b"], np.array([0]), np.array([1]), np.array([True]))
    good = Scores(trials, np.array([1.0]))
    unlabelled = Scores(Trials(["a", "b"], np.array([0]), np.array([1])), np.array([1.0]))
    spaced = Scores(Trials(["a", "b c"], np.array([0]), np.array([1]), np.array([True])), np.array([1.0]))
    for bad, words in (
        (Scores(trials, np.array([np.inf])), "not finite"),
        (unlabelled, "some scores have labels"),
        (spaced, "an id cannot be written"),
    ):
        with pytest.raises(DataError, match=words):
            write_scores(tmp_path / "scores.txt", [good, bad])
        assert not list(tmp_path.iterdir())


def test_a_bad_later_block_leaves_no_trial_list(tmp_path):
    unlabelled = Trials(["a", "b"], np.array([0]), np.array([1]))
    labelled = Trials(["a", "b"], np.array([0]), np.array([1]), np.array([True]))
    for blocks in ([labelled, unlabelled], [unlabelled, labelled]):
        with pytest.raises(DataError, match="some trials have labels and some have none"):
            write_trials(tmp_path / "list.txt", blocks)
    with pytest.raises(DataError, match=r"trials without labels .*'enrol test 1\|0'"):
        write_trials(tmp_path / "list.txt", [labelled, unlabelled], "cnceleb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "a b", "a\n", " a", "a\0b", "a\udce9"])
def test_an_id_that_is_not_one_word_is_not_written(tmp_path, name):
    trials = Trials(["b", name], np.array([0]), np.array([1]))
    with pytest.raises(DataError, match="an id cannot be written"):
        save_trials(tmp_path / "list.txt", trials)
    assert not list(tmp_path.iterdir())
