"""Recipes on shards: the bits of training on loose files, without these files."""

import json
import shutil

import pytest

from cmd_speaker.manifest import load_manifest
from cmd_speaker.shards.packing import pack
from tests.celebrities import SMALL, write_cnceleb, write_voxceleb
from tests.refusals import refused
from tests.training import ROOT, broken_after, command_line, load_recipe, weights

OPTIONS = {"speed": True, "noise": True, "cache_folder": "", "feature_weight": 0}


@pytest.fixture(scope="module")
def loose(train, tmp_path_factory):
    """A run on the corpus's own files, without a cache."""
    return train(tmp_path_factory.mktemp("loose") / "run", **OPTIONS)


@pytest.fixture
def packed(loose, speechocean_copy, cli, tmp_path):
    """The corpus without its training files, and the folder of shards that hold them."""
    manifest = loose / "manifests" / "train.csv"
    code, _, err = cli(
        "pack", manifest, "--out", tmp_path / "shards", "--data-root", speechocean_copy, "--shard-size", 0.2
    )
    assert code == 0, err
    assert "16 of 16 utterances, 4 shards" in err
    for utterance in load_manifest(manifest, speechocean_copy):
        utterance.wav.unlink()
    return speechocean_copy, tmp_path / "shards"


def test_the_weights_are_those_of_training_on_loose_files(train, loose, packed, tmp_path):
    corpus, shards = packed
    options = {**OPTIONS, "prepared": loose / "manifests", "shards": shards}
    run = train(tmp_path / "run", corpus, **options)
    helped = train(tmp_path / "helped", corpus, num_workers=2, **options)
    assert weights(run) == weights(helped) == weights(loose)
    for name in ("train_log.txt", "scores.txt"):
        assert (run / name).read_text() == (loose / name).read_text()
    first, second = (json.loads((folder / "run.json").read_text()) for folder in (run, loose))
    assert first["fingerprint"] == second["fingerprint"]
    assert first["checksums"] == second["checksums"]


def test_a_run_that_began_on_loose_files_ends_on_shards(
    train, loose, packed, tiny_speechocean, tmp_path, monkeypatch
):
    corpus, shards = packed
    run, options = tmp_path / "run", {**OPTIONS, "ckpt_interval_minutes": 0, "ckpt_interval_steps": 1}
    with broken_after(2, monkeypatch):
        train(run, tiny_speechocean(), **options)
    assert not (run / "model").exists()
    train(run, corpus, **options, prepared=run / "manifests", shards=shards)
    assert weights(run) == weights(loose)


def test_what_is_wrong_is_said_before_a_teacher_is_made(train, loose, packed, tmp_path):
    corpus, shards = packed
    options = {"prepared": loose / "manifests", "shards": shards}
    sorted(shards.glob("*.tar"))[2].unlink()
    assert refused(
        lambda: train(tmp_path / "run", corpus, **options), "1 of 4 shards are wrong", "no such file"
    )
    options["shards"] = tmp_path
    assert refused(lambda: train(tmp_path / "run", corpus, **options), "no index of shards", str(tmp_path))
    assert not (tmp_path / "run" / "teachers").exists()
    assert not (tmp_path / "run" / "run.json").exists()


def test_without_shards_the_files_are_looked_for(train, loose, packed, tmp_path):
    corpus, _ = packed
    run = tmp_path / "run"
    assert refused(
        lambda: train(run, corpus, prepared=loose / "manifests"), "none of the 16 audio files exists"
    )


def test_what_a_preparation_lacks(train, loose, packed, tmp_path):
    corpus, shards = packed
    run, prepared = tmp_path / "run", tmp_path / "manifests"
    assert refused(
        lambda: train(run, corpus, prepared=prepared, shards=shards),
        "no such record of a preparation",
        str(prepared),
    )
    shutil.copytree(loose / "manifests", prepared)
    (prepared / "test.csv").unlink()
    options = {**OPTIONS, "prepared": prepared, "shards": shards}
    assert refused(
        lambda: train(run, corpus, **options), f"{prepared / 'test.csv'}: a prepared file is missing"
    )


@pytest.mark.parametrize(
    ("name", "write", "options"),
    [
        ("VoxCeleb/hparams/voxceleb.yaml", write_voxceleb, {"accept_unknown": True}),
        ("CNCeleb/hparams/cnceleb.yaml", write_cnceleb, {"min_seconds": 1.0}),
    ],
)
def test_the_large_recipes(tmp_path, name, write, options):
    hparams, root = ROOT / "recipes" / name, write(tmp_path / "data")
    recipe = load_recipe(hparams.parent.parent)

    def train(folder, **changes):
        if (root / "trials.txt").is_file():
            changes = {"trials": root / "trials.txt", **changes}
        given = {**SMALL, **options, "data_folder": root, "output_folder": folder, **changes}
        recipe.main(command_line(hparams, given))
        return folder

    loose = train(tmp_path / "loose")
    learned = load_manifest(loose / "manifests" / "train.csv", root)
    pack(learned, tmp_path / "shards", shard_size=0.1)
    for utterance in learned:
        utterance.wav.unlink()
    run = train(tmp_path / "run", prepared=loose / "manifests", shards=tmp_path / "shards")
    assert weights(run) == weights(loose)
    assert (run / "scores.txt").read_bytes() == (loose / "scores.txt").read_bytes()


def test_packing_tells_what_it_left_out(loose, speechocean_copy, cli, tmp_path):
    manifest = loose / "manifests" / "train.csv"
    utterances = load_manifest(manifest, speechocean_copy).utterances
    utterances[0].wav.unlink()
    utterances[3].wav.write_bytes(b"")
    code, _, err = cli("pack", manifest, "--out", tmp_path / "out", "--data-root", speechocean_copy)
    assert code == 3
    assert "14 of 16 utterances, 1 shards" in err
    assert f"2 utterances left out ({tmp_path / 'out' / 'left_out.txt'})" in err
    assert f"{manifest}, row 2: " in err
    assert f"{manifest}, row 5: " in err
