"""Manifests are made once: the record beside them, prepared folders that runs share, runs that are resumed."""

import json
from functools import partial
from types import SimpleNamespace

import pytest

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.training.pipeline import Parts, prepare_once
from cmd_speaker.training.preparation import load_preparation
from data_prep.voxceleb import asked, prepare
from data_prep.voxceleb import preparation as voxceleb
from tests.refusals import refused
from tests.voxceleb import REAL_LINES, publish, write_tree

OPTIONS = {"train": "vox2", "valid_speakers": 2}


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


def run_of(folder, prepared=None, begun=False):
    """What `prepare_once` looks at of a recipe that was opened."""
    hparams = {"data_folder": folder.parent / "data", "prepared": prepared}
    return SimpleNamespace(folder=folder, hparams=hparams, run=SimpleNamespace(begun=begun))


def never(folder):
    raise AssertionError("prepared again")


def test_the_record_says_what_was_made_of_what(tree, tmp_path, monkeypatch):
    trials = publish(monkeypatch, tmp_path / "list", "VoxCeleb1-O")
    made = prepare(tree, tmp_path / "out", trials=[trials], **OPTIONS)
    found = load_preparation(tmp_path / "out")
    assert found.corpus == "voxceleb"
    assert found.options == {"data_folder": str(tree), **asked(trials=[trials], **OPTIONS)}
    assert found.counts == made.counts
    assert sorted(found.files) == [
        "test.csv", "train.csv", "trials/VoxCeleb1-O-cleaned.txt", "valid.csv", "valid_trials.txt",
    ]  # fmt: skip
    parts = Parts.of(found, [])
    assert (parts.train, parts.valid, parts.test) == (made.train, made.valid, made.test)


def test_a_shared_folder_is_copied_and_the_corpus_not_looked_at(tree, tmp_path, capsys):
    shared = tmp_path / "shared"
    made = prepare(tree, shared, **OPTIONS)
    found = prepare_once(run_of(tmp_path / "run", shared), "voxceleb", asked(**OPTIONS), never)
    assert found.folder == tmp_path / "run" / "manifests"
    for name in ("train.csv", "valid.csv", "valid_trials.txt", "test.csv", "preparation.json"):
        assert (found.folder / name).read_bytes() == (shared / name).read_bytes()
    assert made.notes[0] in capsys.readouterr().out
    # And what lies there from an attempt before, which is no part of it, is not used.
    prepare(tree, shared, **(OPTIONS | {"valid_speakers": 0}))
    none = prepare_once(run_of(tmp_path / "run", shared), "voxceleb", {"validation_speakers": 0}, never)
    assert (none.folder / "valid.csv").is_file()
    assert Parts.of(none, []).valid is Parts.of(none, []).valid_trials is None


@pytest.mark.parametrize(
    ("corpus", "options", "parts"),
    [
        (
            "voxceleb",
            {"train": "vox1"},
            ("another train_on", "expected train_on: vox1, found train_on: vox2"),
        ),
        (
            "voxceleb",
            {"valid_speakers": 0},
            ("expected validation_speakers: 0, found validation_speakers: 2",),
        ),
        ("cnceleb", {}, ("another corpus", "expected corpus: cnceleb, found corpus: voxceleb")),
    ],
)
def test_a_folder_that_was_prepared_otherwise(tree, tmp_path, corpus, options, parts):
    prepare(tree, tmp_path / "shared", **OPTIONS)
    recipe, wanted = run_of(tmp_path / "run", tmp_path / "shared"), asked(**(OPTIONS | options))
    assert refused(lambda: prepare_once(recipe, corpus, wanted, never), "preparation.json", *parts)
    assert not (tmp_path / "run").exists()


def test_lists_are_told_by_content_and_may_be_left_to_the_folder(tree, tmp_path, monkeypatch):
    trials = publish(monkeypatch, tmp_path / "list", "VoxCeleb1-O")
    prepare(tree, tmp_path / "shared", trials=[trials], **OPTIONS)
    recipe = run_of(tmp_path / "run", tmp_path / "shared")
    copy = tmp_path / "copy"
    copy.write_bytes(trials.read_bytes().replace(b"\n", b"\r\n"))
    for given in ([], [copy]):
        found = prepare_once(recipe, "voxceleb", asked(trials=given, **OPTIONS), never)
        assert list(found.options["trials"]) == ["VoxCeleb1-O-cleaned"]
    other = publish(
        monkeypatch, tmp_path / "other", "VoxCeleb1-O", REAL_LINES[:200].rpartition("\n")[0] + "\n"
    )
    wanted = asked(trials=[other], **OPTIONS)
    assert refused(
        lambda: prepare_once(recipe, "voxceleb", wanted, never), "another trials", "VoxCeleb1-O-cleaned ("
    )


def test_a_folder_that_is_no_longer_whole(tree, tmp_path):
    shared = tmp_path / "shared"
    recipe = run_of(tmp_path / "run", shared)
    assert refused(lambda: prepare_once(recipe, "voxceleb", {}, never), "no such record of a preparation")
    prepare(tree, shared, **OPTIONS)
    with (shared / "valid.csv").open("a") as file:
        file.write("\n")
    assert refused(lambda: prepare_once(recipe, "voxceleb", {}, never), "valid.csv", "was changed", "Prepare")
    (shared / "valid.csv").unlink()
    assert refused(lambda: prepare_once(recipe, "voxceleb", {}, never), "valid.csv", "is missing")
    record = json.loads((shared / "preparation.json").read_text())
    (shared / "preparation.json").write_text(json.dumps(record | {"corpus": "mine"}))
    assert refused(lambda: prepare_once(recipe, "voxceleb", {}, never), "was changed")


def test_a_killed_preparation_leaves_nothing_that_counts(tree, tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    prepare(tree, shared, **OPTIONS)
    with monkeypatch.context() as patched:
        patched.setattr(voxceleb, "write_bytes", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(tree, shared, **(OPTIONS | {"valid_speakers": 0}))
    assert (shared / "train.csv").is_file()
    with pytest.raises(DataError, match="no such record"):
        load_preparation(shared)


def test_a_refused_preparation_leaves_the_earlier_one(tree, tmp_path):
    prepare(tree, tmp_path / "out", **OPTIONS)
    assert refused(lambda: prepare(tree, tmp_path / "out", "vox2", valid_speakers=99), "too few")
    assert load_preparation(tmp_path / "out").options["validation_speakers"] == 2


def test_a_run_that_is_resumed_uses_its_own(tree, tmp_path, capsys):
    folder, wanted = tmp_path / "run", asked(**OPTIONS)
    make = partial(prepare, tree, **OPTIONS)
    first = prepare_once(run_of(folder), "voxceleb", wanted, make)
    assert prepare_once(run_of(folder, begun=True), "voxceleb", wanted, never) == first
    # Before training began a mistake in the corpus may have been corrected: then it is prepared again.
    with pytest.raises(AssertionError, match="prepared again"):
        prepare_once(run_of(folder), "voxceleb", wanted, never)
    # Of another corpus the checksums would tell.
    moved = run_of(folder, begun=True)
    moved.hparams["data_folder"] = tmp_path
    with pytest.raises(AssertionError, match="prepared again"):
        prepare_once(moved, "voxceleb", wanted, never)
    (folder / "manifests" / "train.csv").write_text("")
    assert prepare_once(run_of(folder, begun=True), "voxceleb", wanted, make) == first
    assert "are made again" in capsys.readouterr().out


def test_two_lists_of_one_name(tree, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "list.txt").write_text(
            REAL_LINES[: 200 if place == "a" else None].rpartition("\n")[0]
        )
    lists = [tmp_path / place / "list.txt" for place in ("a", "b")]
    call = partial(prepare, tree, tmp_path / "out", trials=lists, accept_unknown=True, **OPTIONS)
    assert isinstance(refused(call, "b/list.txt", "a/list.txt", "unknown-list", "rename it"), UsageError)
    assert not (tmp_path / "out").exists()
