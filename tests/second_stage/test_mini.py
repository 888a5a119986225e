"""Mini as the README runs it: hard enough, and the same figures for the same seed."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.second_stage


def train(folder, *arguments):
    """The recipe in a process of its own."""
    command = [sys.executable, "recipes/Mini/train.py", "recipes/Mini/hparams/mini.yaml"]
    done = subprocess.run([*command, "--output_folder", str(folder), *arguments], capture_output=True, text=True)
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
    for name in ("text_and_face/model/model.safetensors", "text_and_face/scores.txt", "results.png", "corpus.png"):
        first, second = ((tmp_path / run / name).read_bytes() for run in ("first", "second"))
        assert first == second, name
