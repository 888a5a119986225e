"""Two processes on a CPU (gloo) beside one process that has the same samples in one batch."""

import os
import shutil

import pytest
import torch
from torch import multiprocessing
from torch.nn.modules.batchnorm import _BatchNorm

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.manifest import load_manifest
from cmd_speaker.training import pipeline
from cmd_speaker.training.fit import build_brain
from cmd_speaker.training.processes import processes
from cmd_speaker.training.recipe import open_recipe
from cmd_speaker.training.teachers import prepare_teachers
from tests.training import HPARAMS, OWN_KEYS, RECIPE, arguments, command_line, load_recipe

TERMS = (
    "{feature: {weight: 2, margin: 0.3}, pair_distance: {weight: 5, margin: 0.1}, "
    "angle: {weight: 5}, teacher_classifier: {weight: 1}, prototype: {weight: 1, margin: 0.1}}"
)


def step(corpus, folder, batches=1, **changes):
    """Gradients and logged figures of the first step, `batches` of it, with BatchNorm frozen."""
    options = {"spec_augment": False, "terms": TERMS, "quality_weights": True, "speech_quality": "norm",
               "joint_teachers": "[text]", "cache_folder": "", **changes}  # fmt: skip
    recipe = open_recipe(arguments(corpus, folder, **options), OWN_KEYS)
    parts = load_recipe(RECIPE).prepare(corpus, folder / f"manifests_{os.getpid()}", 2)
    train = load_manifest(parts.train, corpus)
    brain, loader = build_brain(recipe, train, None, prepare_teachers(recipe, train))
    brain.optimizers_step = lambda: None
    brain.on_fit_start()
    brain.on_stage_start(None)
    draw = loader.dataset.rows[0]
    # Every third utterance without a teacher: processes have different numbers of them.
    loader.dataset.rows = [lambda seed, epoch, index: draw(seed, epoch, index) if index % 3 else -1]
    loader.dataset.set_epoch(1)
    loader.sampler.set_epoch(1)
    brain.modules.train()
    for module in brain.modules.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    source = iter(loader)
    for _ in range(batches):
        brain.step += 1
        brain.fit_batch(next(source))
    gradients = {
        name.replace(".module.", "."): parameter.grad
        for name, parameter in brain.modules.named_parameters()
        if parameter.grad is not None
    }
    return gradients, brain.averages.take(), processes()


def one_of_two(rank, folder, corpus, batches, changes):
    """What `torchrun` does for each of its processes, then a step."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost",
                   "MASTER_PORT": (folder / "port").read_text(), "OMP_NUM_THREADS": "1"}  # fmt: skip
    torch.save(step(corpus, folder / "two", batches, **changes), folder / f"{rank}.pt")


def two_processes(folder, corpus, batches=1, **changes):
    import socket

    with socket.socket() as free:
        free.bind(("localhost", 0))
        (folder / "port").write_text(str(free.getsockname()[1]))
    multiprocessing.spawn(one_of_two, (folder, corpus, batches, changes), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def assert_alike(found, expected):
    """Gradients and figures but for the shares active, which are of a process's matched samples."""
    for name, gradient in expected[0].items():
        torch.testing.assert_close(found[0][name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert found[0].keys() == expected[0].keys()
    figures, others = (
        {name: value for name, value in each[1].items() if not name.endswith("_active")}
        for each in (found, expected)
    )
    assert figures == pytest.approx(others, rel=1e-5, abs=1e-6)


@pytest.fixture(scope="module")
def whole(tiny_speechocean, tmp_path_factory):
    """The step of one process on a batch of 8: every term, quality weights, and a teacher that learns too."""
    return step(tiny_speechocean(), tmp_path_factory.mktemp("one"), batch_size=8)


def test_two_processes_have_the_gradients_of_one(whole, tiny_speechocean, tmp_path):
    both = two_processes(tmp_path, tiny_speechocean(), batch_size=4)
    assert [each[2] for each in both] == [2, 2]
    assert any(name.startswith("joint_text.head") for name in whole[0])
    for each in both:
        assert_alike(each, whole)


def test_accumulated_batches_have_the_gradients_of_one(tiny_speechocean, tmp_path):
    """Of those terms that ask a sample alone; pairs are those of one batch."""
    options = {
        "terms": "{feature: {weight: 2, margin: 0.3}, teacher_classifier: {weight: 1}}",
        "quality_weights": False, "joint_teachers": "[]",
    }  # fmt: skip
    one = step(tiny_speechocean(), tmp_path / "one", batch_size=8, **options)
    two = step(tiny_speechocean(), tmp_path / "two", 2, batch_size=4, grad_accumulation_factor=2, **options)
    assert_alike(two, one)


@pytest.fixture
def as_second_of_two(monkeypatch):
    for name, value in (("RANK", 1), ("LOCAL_RANK", 1), ("LOCAL_WORLD_SIZE", 2)):
        monkeypatch.setenv(name, str(value))


@pytest.mark.usefixtures("as_second_of_two")
def test_more_processes_than_gpus_are_refused(monkeypatch, tiny_speechocean, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=r"2 processes on this machine, and 1 GPUs: .* or give --device cpu"):
        open_recipe(arguments(tiny_speechocean(), tmp_path, device="cuda"), OWN_KEYS)


@pytest.mark.usefixtures("as_second_of_two")
def test_one_gpu_for_all_processes_is_refused(tiny_speechocean, tmp_path):
    with pytest.raises(
        UsageError, match="--device cuda:1: several processes take cuda, a GPU for each, or cpu"
    ):
        open_recipe(arguments(tiny_speechocean(), tmp_path, device="cuda:1"), OWN_KEYS)


def test_a_step_needs_all_its_batches(train, tmp_path):
    """16 training utterances of 4 speakers, and 8 times 4 asked for."""
    with pytest.raises(DataError, match=r"(?s)fewer training .* than the 8 batches of one step.*32.*16"):
        train(tmp_path / "run", grad_accumulation_factor=8, feature_weight=0)
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("precision", "fp16", "needs a GPU; on a CPU give bf16"),
        ("grad_accumulation_factor", 0, "at least 1"),
        ("optimizer_step_limit", "many", "a whole number, at least 1, found 'many'"),
        (
            "ckpt_interval_steps",
            5,
            "--ckpt_interval_minutes and --ckpt_interval_steps: give 0 for one of them",
        ),
        ("test_only", True, "cmd-speaker embed, score and evaluate test a model"),
    ],
)
def test_what_cannot_be_computed_is_refused(train, tmp_path, option, value, message):
    with pytest.raises(UsageError, match=message):
        train(tmp_path / "run", **{option: value})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [("precision: half", "precision half: expected fp32"), ("device: cuda:93", "no device 'cuda:93' here")],
)
def test_what_a_yaml_says_of_the_computation_is_checked_too(tmp_path, line, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{HPARAMS.read_text()}\n{line}\n")
    options = {"data_folder": tmp_path, "output_folder": tmp_path / "run"}
    with pytest.raises(UsageError, match=message):
        open_recipe(command_line(path, options), OWN_KEYS)
    assert not (tmp_path / "run").exists()


def test_files_are_looked_for_by_the_main_process_only(
    train, trained, speechocean_copy, tmp_path, monkeypatch
):
    """The others do not ask a network disk for a million files again: here they get as far as the teachers."""
    shutil.rmtree(speechocean_copy / "WAVE")

    def reached(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "prepare_teachers", reached)
    options = {"prepared": trained / "manifests"}
    with pytest.raises(DataError, match="none of the 16 audio files exists"):
        train(tmp_path / "main", speechocean_copy, **options)
    monkeypatch.setattr(pipeline, "if_main_process", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "other", speechocean_copy, **options)
