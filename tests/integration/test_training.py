"""The recipe from corpus to EER: run folder, determinism, resume."""

import json
import shutil

import numpy as np
import pytest
import speechbrain as sb
import torch
from torch.nn.functional import cross_entropy, normalize

from cmd_speaker.embeddings import load_embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.manifest import load_manifest
from cmd_speaker.model import SpeakerModel
from cmd_speaker.teachers.head import TeacherTargets
from cmd_speaker.teachers.stage1 import PreparedTeacher
from cmd_speaker.training.fit import build_brain
from cmd_speaker.training.log import last_epoch
from cmd_speaker.training.recipe import open_recipe
from cmd_speaker.training.schedule import OneCycle
from cmd_speaker.training.waiting import DataWait
from data_prep.speechocean762 import prepare
from tests.refusals import refused
from tests.teachers import match_of
from tests.training import OWN_KEYS, arguments, broken_after, text_and_face, weights

EVERYTHING_ON = {
    "speed": True, "noise": True, "reverberation": True, "classifier_weight": 0.5, "quality_weights": True,
    "feature_weight": [[0, 0], [0.5, 2]], "margin": [[0, 1.2], [1, 0.4]], "identity_margin": [[0, 0], [1, 0.3]],
    "terms": "{angle: {weight: 1, margin: 0.1}, pair_distance: {weight: 1}, response: {weight: 0.1}, "
    "prototype: {weight: 0.1}, contrast: {weight: 0.01}}",
}  # fmt: skip


def test_the_run_folder_holds_everything(trained):
    for name in (
        "hyperparams.yaml", "run.json", "train_log.txt", "manifests/train.csv", "manifests/valid_trials.txt",
        "teachers/text/bank.json", "teachers/text/report.json", "teachers/text/targets.safetensors",
        "model/model.json", "model/model.safetensors", "embeddings.npz", "scores.txt", "results.json",
    ):  # fmt: skip
        assert (trained / name).stat().st_size > 0, name
    assert list((trained / "tensorboard").glob("events*"))
    run = json.loads((trained / "run.json").read_text())
    assert run["seed"] == 1
    assert {name.rpartition("/")[2] for name in run["checksums"]} == {
        "train.csv", "valid.csv", "valid_trials.txt", "test.csv", "test_trials.txt", "targets.safetensors"
    }  # fmt: skip
    assert run["versions"]["speechbrain"]
    assert json.loads((trained / "labels.json").read_text()) == {"2034": 0, "2251": 1, "9001": 2, "9002": 3}


def test_terms_and_validation_are_logged_per_epoch(trained):
    lines = (trained / "train_log.txt").read_text().splitlines()
    assert len(lines) == 2
    for name in ("train identity", "train text.weight", "train text.feature_active", "valid eer"):
        assert f"{name}: " in lines[1], lines[1]


def test_tensorboard_has_the_same_figures(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("eer/valid")] == [1, 2]
    assert "text.feature_active/train" in events.Tags()["scalars"]


def test_results_are_those_of_the_saved_model(trained, tiny_speechocean):
    results = json.loads((trained / "results.json").read_text())["test_trials.txt"]
    assert results["targets"] == 24  # 4 speakers x 6 pairs of 4 utterances
    assert 0 <= results["eer_low"] <= results["eer"] <= results["eer_high"] <= 1
    stored = load_embeddings(trained / "embeddings.npz")
    name = stored.ids[3]
    wav = next(tiny_speechocean().rglob(f"{name}.WAV"))
    again = SpeakerModel.load(trained / "model").embed(wav)
    np.testing.assert_allclose(again, stored.vectors[3], atol=1e-5)


@pytest.mark.parametrize("step", [2, 5])
def test_a_broken_run_resumes_to_the_same_bits(train_under_both, tmp_path, monkeypatch, step):
    """Broken off within an epoch, with two teachers, all terms, schedules, augmentations and quality weights."""
    options = {**EVERYTHING_ON, "ckpt_interval_minutes": 0, "ckpt_interval_steps": 1, "num_workers": 0}
    unbroken = train_under_both(tmp_path / "unbroken", **options)
    with broken_after(step, monkeypatch):
        train_under_both(tmp_path / "broken", **options)
    assert not (tmp_path / "broken" / "model").exists()
    resumed = train_under_both(tmp_path / "broken", **options)
    assert weights(resumed) == weights(unbroken)
    assert (resumed / "train_log.txt").read_text() == (unbroken / "train_log.txt").read_text()
    assert (resumed / "scores.txt").read_text() == (unbroken / "scores.txt").read_text()


def test_schedules_of_a_run_are_logged(train, tmp_path):
    """Four steps an epoch, two epochs: the second's share done is 4/8 to 7/8, on average 11/16 (5.5/8)."""
    folder = train(
        tmp_path / "run", feature_weight=[[0, 0], [1, 2]], margin="auto", identity_margin=[[0, 0.1], [1, 0.5]]
    )
    figures = last_epoch(folder)
    assert figures["train text.feature_weight"] == pytest.approx(2 * 11 / 16, rel=0.01)
    assert figures["train identity_margin"] == pytest.approx(0.1 + 0.4 * 11 / 16, rel=0.01)
    # Every speaker has one text and as many utterances: the mean over the steps is that over the bank.
    targets = TeacherTargets.load(folder / "teachers" / "text" / "targets.safetensors")
    assert figures["train text.feature_margin"] == pytest.approx(float(targets.auto_margin.mean()), rel=0.01)
    constant = last_epoch(train(tmp_path / "constant", number_of_epochs=1))
    assert not {name for name in constant if name.endswith(("_margin", "_weight"))}


def test_a_constant_schedule_is_the_number(train, trained, tmp_path):
    folder = train(tmp_path / "run", margin=[[0.3, 1.2], [0.6, 1.2]], identity_margin=[[0, 0.2]])
    assert weights(folder) == weights(trained)


def test_a_half_written_checkpoint_is_not_loaded(train, tmp_path):
    folder = train(tmp_path / "run", number_of_epochs=1, feature_weight=0)
    before = weights(folder)
    checkpoint = next((folder / "checkpoints").glob("CKPT*"))
    half = checkpoint.with_name("CKPT+2999-01-01+00-00-00+00")
    shutil.copytree(checkpoint, half)
    (half / "COMPLETE").unlink()
    (half / "student.ckpt").write_bytes(b"cut off")
    text = (half / "CKPT.yaml").read_text()
    (half / "CKPT.yaml").write_text(text.replace("unixtime: 1", "unixtime: 9"))
    assert weights(train(folder, number_of_epochs=1, feature_weight=0)) == before


def test_the_cache_does_not_change_a_bit(train, tmp_path):
    with_cache = train(tmp_path / "with", feature_weight=0, number_of_epochs=1)
    without = train(tmp_path / "without", feature_weight=0, number_of_epochs=1, cache_folder="")
    assert list((with_cache / "cache").glob("*.f32"))
    assert not list(without.rglob("*.f32"))
    assert weights(with_cache) == weights(without)


def test_workers_do_not_change_a_bit(train, tmp_path):
    alone = train(tmp_path / "alone", feature_weight=0, number_of_epochs=1)
    helped = train(tmp_path / "helped", feature_weight=0, number_of_epochs=1, num_workers=2)
    assert weights(alone) == weights(helped)


def test_speechbrain_front_end(train, tmp_path):
    folder = train(tmp_path / "run", feature_weight=0, number_of_epochs=1, features="speechbrain_fbank")
    description = SpeakerModel.load(folder / "model").description
    assert description["front_end"]["name"] == "speechbrain_fbank"


def random_targets():
    """Four rows of four identities in a space of 12."""
    each = torch.arange(4)
    return TeacherTargets(
        torch.randn(4, 12), each, torch.randn(4, 12), {"norm": torch.rand(4)}, each, torch.zeros(4), each
    )


def test_one_step_by_hand(tiny_speechocean, tmp_path):
    """Labels, learning rate, crops and the sum of the losses, each computed a second time from its parts."""
    hparams = text_and_face(tmp_path / "text_and_face.yaml")
    options = arguments(
        tiny_speechocean(), tmp_path / "run", hparams, classifier_weight=0.5, feature_weight=2, margin=0.3,
        face_weight=3, spec_augment=False,
    )  # fmt: skip
    recipe = open_recipe(options, OWN_KEYS)
    corpus = prepare(recipe.hparams["data_folder"], tmp_path / "manifests", 2)
    train_set = load_manifest(corpus.train, recipe.hparams["data_folder"])
    rows, face_rows = np.arange(16) % 4, np.arange(16) % 5 - 1
    t, face = random_targets(), random_targets()
    teachers = [
        PreparedTeacher("text", t, match_of(rows), {}), PreparedTeacher("face", face, match_of(face_rows), {})
    ]  # fmt: skip
    brain, loader = build_brain(recipe, train_set, None, teachers)
    brain.on_fit_start()
    seen = []
    for epoch in (1, 2):
        brain.on_stage_start(sb.Stage.TRAIN, epoch)
        brain.modules.train()
        batch = next(iter(loader))
        seen.append(batch.waveforms)
        brain.on_fit_batch_start(batch, True)
        assert brain.optimizer.param_groups[0]["lr"] == OneCycle(0.002)(0, 8)
        heard = brain.compute_forward(batch, sb.Stage.TRAIN)
        assert heard.origin.tolist() == [0, 1, 2, 3]
        loss = brain.compute_objectives(heard, batch, sb.Stage.TRAIN)
        s, text_rows = normalize(heard.embeddings), batch.rows[:, 0]
        feature = ((s - normalize(t.embedding[text_rows])).norm(dim=1) - 0.3).clamp_min(0).mean()
        classifier = cross_entropy(10 * s @ normalize(t.classifier).T, t.label[text_rows])
        seen_faces = [k for k in range(4) if batch.rows[k, 1] >= 0]
        distances = [(s[k] - normalize(face.embedding[batch.rows[k, 1]], dim=0)).norm() for k in seen_faces]
        from_face = sum((distance - 0.8).clamp_min(0) for distance in distances) / 4
        identity = brain.modules.identity(heard.embeddings, batch.labels).mean()
        torch.testing.assert_close(loss, identity + 2 * feature + 0.5 * classifier + 3 * from_face)
    assert brain.total_steps == 8
    assert not torch.equal(*seen), "another epoch, other crops"
    speakers = sorted({u.spk_id for u in train_set})
    dataset = loader.dataset
    assert [speakers[dataset[i][1]] for i in range(16)] == [u.spk_id for u in train_set]
    assert [dataset[i][2].tolist() for i in range(16)] == np.stack([rows, face_rows], 1).tolist()


def test_gradient_accumulation_resumes_to_the_same_bits(train, tmp_path, monkeypatch):
    options = {"grad_accumulation_factor": 2, "ckpt_interval_minutes": 0, "ckpt_interval_steps": 1}
    unbroken = train(tmp_path / "unbroken", **options)
    with broken_after(3, monkeypatch):
        train(tmp_path / "broken", **options)
    assert weights(train(tmp_path / "broken", **options)) == weights(unbroken)


def test_run_options_are_part_of_the_run(train, trained):
    with pytest.raises(DataError, match="begun with another max_grad_norm"):
        train(trained, max_grad_norm=0.1)


@pytest.mark.parametrize("batch_size", [4, 2])
def test_divergence_is_said(train, tmp_path, batch_size):
    """At the end of an epoch of four steps, and within one of eight, where SpeechBrain's patience ends."""
    with pytest.raises(DataError, match=r"(?s)training diverged in epoch 1.*--peak_lr"):
        train(tmp_path / "run", peak_lr=1e30, feature_weight=0, batch_size=batch_size)


def test_half_precision_leaves_features_and_losses_alone(train, tmp_path, monkeypatch):
    from cmd_speaker.features import KaldiFbank
    from cmd_speaker.losses.aam import AamSoftmax

    seen = []
    for kind in (KaldiFbank, AamSoftmax):
        original = kind.forward

        def forward(self, *inputs, original=original):
            out = original(self, *inputs)
            seen.append((type(self).__name__, torch.is_autocast_enabled("cpu"), inputs[0].dtype, out.dtype))
            return out

        monkeypatch.setattr(kind, "forward", forward)
    augmentation = {"speed": True, "noise": True, "reverberation": True}
    train(tmp_path / "run", precision="bf16", number_of_epochs=4, feature_weight=0, **augmentation)
    assert {name for name, *_ in seen} == {"KaldiFbank", "AamSoftmax"}
    assert {tuple(rest) for _, *rest in seen} == {(False, torch.float32, torch.float32)}


def test_other_hyperparameters_do_not_resume(train, trained):
    with pytest.raises(
        DataError, match=r"(?s)begun with another margin.*1\.2.*0\.5.*another --output_folder"
    ):
        train(trained, margin=0.5)


def test_another_corpus_does_not_resume(train, trained, tiny_speechocean, tmp_path):
    changed = tmp_path / "corpus"
    shutil.copytree(tiny_speechocean(), changed)
    text = changed / "train" / "text"
    text.write_text(text.read_text().replace("BEAR", "BEARS"))
    with pytest.raises(DataError, match="begun with another version of this file"):
        train(trained, corpus=changed)


def test_a_bad_file_stops_training_and_is_named(train, tiny_speechocean, tmp_path):
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny_speechocean(), corpus)
    wav = next((corpus / "WAVE" / "SPEAKER9001").glob("*.WAV"))
    wav.write_bytes(wav.read_bytes()[: wav.stat().st_size // 2])
    with pytest.raises(Exception, match=wav.name) as error:
        train(tmp_path / "run", corpus=corpus)
    assert error.value.exit_code == 3


def test_a_bad_file_that_a_worker_meets_is_named(train, trained, speechocean_copy, tmp_path):
    run, options = (
        tmp_path / "run",
        {"prepared": trained / "manifests", "cache_folder": "", "feature_weight": 0},
    )
    wav = load_manifest(trained / "manifests" / "train.csv", speechocean_copy).utterances[3].wav
    wav.write_bytes(wav.read_bytes()[:-100])
    error = refused(
        lambda: train(run, speechocean_copy, num_workers=1, **options), "train.csv, row 5: ", "is truncated"
    )
    assert "Traceback" not in str(error)


def test_a_misspelled_option(train, tmp_path):
    with pytest.raises(UsageError, match=r"no such option: --margni; did you mean 'margin'\?"):
        train(tmp_path / "run", margni=1)


def test_waiting_for_data_is_said_once(train, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(DataWait, "share", 0.5)
    train(tmp_path / "run", feature_weight=0, batch_size=2)
    printed = capsys.readouterr().out
    assert printed.count(" s, 50% of them waiting for data\n") == 2
    assert printed.count("50% of the epoch was waiting for data: ") == 1


def test_a_limit_of_steps(train, tmp_path):
    """Of eight steps, three."""
    folder = train(tmp_path / "run", feature_weight=0, optimizer_step_limit=3)
    assert "optimizer_step: 3\n" in next(folder.glob("checkpoints/CKPT*/brain.ckpt")).read_text()
