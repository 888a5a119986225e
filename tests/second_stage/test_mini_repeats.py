"""Mini as the README runs it: hard enough, and the same figures for the same seed."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest

from cmd_speaker.files import file_checksum

pytestmark = pytest.mark.second_stage


def train(folder, *arguments):
    """The recipe in a process of its own."""
    command = [sys.executable, "recipes/Mini/train.py", "recipes/Mini/hparams/mini.yaml"]
    done = subprocess.run(
        [*command, "--output_folder", str(folder), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "results.json").read_text())


def test_the_audio_only_student_is_neither_perfect_nor_hopeless(tmp_path):
    results = train(tmp_path, "--train", "audio_only")
    assert 0.03 <= results["audio_only"]["eer"] <= 0.15


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    sizes = ["--training_speakers", "8", "--validation_speakers", "4", "--test_speakers", "6"]
    sizes += ["--number_of_epochs", "2", "--batch_size", "16", "--train", "audio_only text_and_face"]
    results = [train(tmp_path / name, *sizes) for name in ("first", "second")]
    assert results[0] == results[1]
    assert len(results[0]) == 2
    for name in (
        "text_and_face/model/model.safetensors",
        "text_and_face/scores.txt",
        "results.png",
        "corpus.png",
    ):
        first, second = ((tmp_path / run / name).read_bytes() for run in ("first", "second"))
        assert first == second, name


def test_a_corpus_whose_making_was_killed_is_made_anew_and_nothing_is_left_behind(tmp_path):
    def start(name):
        sizes = ["--train", "12", "--valid", "4", "--test", "4"]
        return subprocess.Popen([sys.executable, "-m", "data_prep.mini.corpus", str(tmp_path / name), *sizes])

    def checksums(name):
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / name)): file_checksum(path) for path in files}

    assert start("unbroken").wait() == 0
    rng = random.Random(0)
    killed = 0
    for _ in range(3):
        process = start("killed")
        while process.poll() is None and not list(tmp_path.glob(".killed.*.partial/wav/*/*/*")):
            time.sleep(0.01)
        time.sleep(rng.random() / 2)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed > 0
    time.sleep(2)
    assert "spawn_main" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert start("killed").wait() == 0
    assert checksums("killed") == checksums("unbroken")
    assert {path.name for path in tmp_path.iterdir()} == {"unbroken", "killed"}
