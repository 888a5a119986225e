"""`cmd-speaker convert`: every form of embeddings and of trial lists into every other."""

import itertools

import numpy as np
import pytest
from typer.testing import CliRunner

from cmd_speaker.cli.app import app
from cmd_speaker.cli.convert import convert  # noqa: F401
from cmd_speaker.embeddings import EXTENSIONS, Embeddings, load_embeddings, save_embeddings
from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.lists.trials import LABEL_CELLS, load_trials

LISTS = {
    "voxceleb": "1 a b\n0 a c\n",
    "kaldi": "a b target\na c nontarget\n",
    "cnceleb": "a b 1\na c 0\n",
}


def run(*arguments):
    """Run the command; an error that a user can cause is raised."""
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result


@pytest.mark.parametrize(("source", "out"), itertools.product(EXTENSIONS, EXTENSIONS))
def test_embeddings(tmp_path, source, out):
    rng = np.random.default_rng(1)
    embeddings = Embeddings(["a/1", "b/2"], rng.standard_normal((2, 4)).astype(np.float32), model="0f3a")
    (tmp_path / "to").mkdir()
    save_embeddings(tmp_path / f"e{source}", embeddings)
    assert "2 embeddings" in run(tmp_path / f"e{source}", tmp_path / "to" / f"e{out}").stderr
    loaded = load_embeddings(tmp_path / "to" / f"e{out}")
    assert loaded.ids == embeddings.ids
    np.testing.assert_array_equal(loaded.vectors, embeddings.vectors)
    keeps = {".npz", ".safetensors"}
    assert loaded.model == ("0f3a" if {source, out} <= keeps else None)


@pytest.mark.parametrize(("source", "form"), itertools.product(LISTS, LABEL_CELLS))
def test_trial_lists(tmp_path, source, form):
    (tmp_path / "list.txt").write_text(LISTS[source])
    assert "2 trials" in run(tmp_path / "list.txt", tmp_path / "out.txt", "--form", form).stderr
    assert (tmp_path / "out.txt").read_text() == LISTS[form]


def test_without_a_form_a_list_becomes_voxcelebs(tmp_path):
    (tmp_path / "list.txt").write_text(LISTS["kaldi"])
    run(tmp_path / "list.txt", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == LISTS["voxceleb"]
    (tmp_path / "list.txt").write_text("a b\n")
    run(tmp_path / "list.txt", tmp_path / "out.txt")
    assert load_trials(tmp_path / "out.txt").labels is None


def test_what_makes_no_sense_is_refused(tmp_path):
    save_embeddings(tmp_path / "e.npz", Embeddings(["a"], np.ones((1, 2), np.float32)))
    (tmp_path / "list.txt").write_text("a b\n")
    (tmp_path / "wrong.txt").write_text(LISTS["kaldi"] + "x y z\n")
    with pytest.raises(UsageError, match="--form is for trial lists"):
        run(tmp_path / "e.npz", tmp_path / "e.ark", "--form", "kaldi")
    with pytest.raises(UsageError, match="expected voxceleb, kaldi, cnceleb, found htk"):
        run(tmp_path / "list.txt", tmp_path / "out.txt", "--form", "htk")
    with pytest.raises(DataError, match="unknown kind of embeddings file"):
        run(tmp_path / "e.npz", tmp_path / "out.txt")
    with pytest.raises(DataError, match="unknown kind of embeddings file"):
        run(tmp_path / "list.txt", tmp_path / "out.npz")
    with pytest.raises(UsageError, match="a name without"):
        run(tmp_path / "list.txt", tmp_path / "out.txt.gz")
    with pytest.raises(DataError, match="trials without labels"):
        run(tmp_path / "list.txt", tmp_path / "out.txt", "--form", "kaldi")
    with pytest.raises(DataErrors, match="1 of 3 rows"):
        run(tmp_path / "wrong.txt", tmp_path / "out.txt")
    assert {file.name for file in tmp_path.iterdir()} == {"e.npz", "list.txt", "wrong.txt"}
