"""Trial lists: the four forms, their errors, and the pairs of a set of utterances."""

import numpy as np
import pytest

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.lists.trials import Trials, all_pairs, load_trials, save_trials

PAIRS = [("a/1.wav", "b/2.wav"), ("b/2.wav", "a/3.wav"), ("a/1.wav", "a/3.wav")]
LABELS = [False, False, True]


def write(tmp_path, text, name="trials.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def pairs(trials):
    return [trials.pair(k) for k in range(len(trials))]


@pytest.mark.parametrize(
    "text",
    [
        "0 a/1.wav b/2.wav\n0 b/2.wav a/3.wav\n1 a/1.wav a/3.wav\n",
        "a/1.wav b/2.wav nontarget\nb/2.wav a/3.wav nontarget\na/1.wav a/3.wav target\n",
        "a/1.wav b/2.wav 0\nb/2.wav a/3.wav 0\na/1.wav a/3.wav 1\n",
        "0 a/1.wav b/2.wav\r\n0\tb/2.wav  a/3.wav\r\n1 a/1.wav a/3.wav",  # CRLF, tabs, no last newline
        "\ufeff0 a/1.wav b/2.wav\n0 b/2.wav a/3.wav\n1 a/1.wav a/3.wav\n\n\n",  # BOM, blank end
    ],
)
def test_all_labelled_forms_give_the_same_trials(tmp_path, text):
    trials = load_trials(write(tmp_path, text))
    assert pairs(trials) == PAIRS
    assert trials.labels.tolist() == LABELS
    assert trials.ids == ["a/1.wav", "b/2.wav", "a/3.wav"]
    assert [trials.row(k) for k in range(3)] == [1, 2, 3]


def test_two_fields_are_trials_without_labels(tmp_path):
    trials = load_trials(write(tmp_path, "a b\nb c\n"))
    assert pairs(trials) == [("a", "b"), ("b", "c")]
    assert trials.labels is None


def test_blank_lines_do_not_move_the_row_numbers(tmp_path):
    trials = load_trials(write(tmp_path, "\n1 a b\n\n0 a c\n"))
    assert [trials.row(k) for k in range(2)] == [2, 4]
    assert trials.take(np.array([False, True])).row(0) == 4


@pytest.mark.parametrize(
    ("text", "rows", "words"),
    [
        ("1 a b\n2 a c\n0 b c\n", [2], "unknown label"),
        ("1 a b\n0 a c\nb c\n", [3], "another form"),
        ("1 a b\nb c target\n0 a c\n", [2], "another form"),
        ("a b target\na c impostor\n", [2], "unknown label"),
        ("1 a b\n0 a c d\n0\n", [2, 3], "wrong number of fields"),
        ("a b\nb c\nb c d\n", [3], "wrong number of fields"),
        ("\n1 a b\n\nx a c\n0 c d\n", [4], "unknown label"),
        ("x a b\ny a c\n", [1, 2], "unknown label"),
    ],
)
def test_every_row_of_another_form_is_named(tmp_path, text, rows, words):
    path = write(tmp_path, text)
    with pytest.raises(DataErrors) as caught:
        load_trials(path)
    assert [error.row for error in caught.value.errors] == rows
    assert all(error.file == path and words in str(error) for error in caught.value.errors)
    assert str(path) in str(caught.value)


def test_the_form_of_most_rows_counts(tmp_path):
    with pytest.raises(DataErrors) as caught:
        load_trials(write(tmp_path, "enrol test label\n1 a b\n0 a c\n"))
    assert [error.row for error in caught.value.errors] == [1]
    assert "'1|0 enrol test'" in str(caught.value)


def test_the_list_of_cn_celeb(tmp_path):
    # eval/lists/trials.lst of CN-Celeb (openslr.org/82): enrolment, test file, label.
    path = write(
        tmp_path, "id00800-enroll test/id00800-singing-01-001.wav 1\nid00800-enroll test/id01.wav 0\n"
    )
    trials = load_trials(path)
    assert trials.pair(0) == ("id00800-enroll", "test/id00800-singing-01-001.wav")
    assert trials.labels.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("1 a target\n0 b nontarget\n", r"'1\|0 enrol test' or 'enrol test target\|nontarget'"),
        ("1 a 0\n0 b 1\n", r"'1\|0 enrol test' or 'enrol test 1\|0'"),
    ],
)
def test_a_list_that_reads_two_ways_is_refused(tmp_path, text, readings):
    with pytest.raises(DataError, match=f"two ways .*{readings}"):
        load_trials(write(tmp_path, text))


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_list_is_refused(tmp_path, text):
    with pytest.raises(DataError, match="empty"):
        load_trials(write(tmp_path, text))


def test_missing_and_binary_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such trial list"):
        load_trials(tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"1 a b\n1 a \xff\n")
    with pytest.raises(DataError, match="not text") as caught:
        load_trials(tmp_path / "binary.txt")
    assert caught.value.row == 2


def test_a_saved_list_comes_back(tmp_path):
    trials = load_trials(write(tmp_path, "b a target\na c nontarget\n"))
    save_trials(tmp_path / "folder" / "saved.txt", trials)
    assert (tmp_path / "folder" / "saved.txt").read_text() == "1 b a\n0 a c\n"
    again = load_trials(tmp_path / "folder" / "saved.txt")
    assert pairs(again) == pairs(trials)
    assert again.labels.tolist() == trials.labels.tolist()
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["saved.txt"]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("voxceleb", "1 b a\n0 a c\n"),
        ("kaldi", "b a target\na c nontarget\n"),
        ("cnceleb", "b a 1\na c 0\n"),
    ],
)
def test_what_each_form_looks_like(tmp_path, form, text):
    save_trials(tmp_path / "saved.txt", load_trials(write(tmp_path, "1 b a\n0 a c\n")), form)
    assert (tmp_path / "saved.txt").read_text() == text


def test_a_form_that_cannot_be_written_is_refused(tmp_path):
    trials = load_trials(write(tmp_path, "b a\na c\n"))
    with pytest.raises(DataError, match="trials without labels"):
        save_trials(tmp_path / "saved.txt", trials, "kaldi")
    with pytest.raises(UsageError, match="expected voxceleb, kaldi, cnceleb, found htk"):
        save_trials(tmp_path / "saved.txt", trials, "htk")
    assert not (tmp_path / "saved.txt").exists()


def test_a_list_without_labels_is_saved_without(tmp_path):
    save_trials(tmp_path / "saved.txt", load_trials(write(tmp_path, "b a\na c\n")))
    assert (tmp_path / "saved.txt").read_text() == "b a\na c\n"


def test_an_id_with_white_space_is_not_written(tmp_path):
    trials = all_pairs(["a b", "c"], ["s", "s"])
    with pytest.raises(DataError, match="an id cannot be written"):
        save_trials(tmp_path / "saved.txt", trials)
    assert not list(tmp_path.iterdir())


def test_all_pairs_of_four_utterances():
    trials = all_pairs(["p", "q", "r", "s"], ["ann", "bob", "ann", "bob"])
    assert pairs(trials) == [("p", "q"), ("p", "r"), ("p", "s"), ("q", "r"), ("q", "s"), ("r", "s")]
    assert trials.labels.tolist() == [False, True, False, False, True, False]


@pytest.mark.parametrize("count", [0, 1, 2, 57])
def test_all_pairs_has_each_pair_once(count):
    ids = [str(k) for k in range(count)]
    trials = all_pairs(ids, ["s"] * count)
    assert len({frozenset(pair) for pair in pairs(trials)}) == len(trials) == count * (count - 1) // 2
    assert (trials.enrol < trials.test).all()


@pytest.mark.parametrize(("ids", "speakers"), [(["a", "a"], ["s", "t"]), (["a", "b"], ["s"])])
def test_all_pairs_refuses_ids_that_do_not_fit(ids, speakers):
    with pytest.raises(DataError, match="no pairs"):
        all_pairs(ids, speakers)


def test_rows_in_an_embedding_matrix():
    trials = Trials(["a", "b", "x"], np.array([0, 1, 2]), np.array([1, 1, 0]))
    embeddings = Embeddings(["b", "c", "a"], np.eye(3, dtype=np.float32))
    enrol, test = trials.rows_in(embeddings.index())
    assert enrol.tolist() == [2, 0, -1]
    assert test.tolist() == [0, 0, 2]
