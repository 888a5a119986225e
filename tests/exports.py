"""What tests of exports share: small models that were saved, and speech-like recordings."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.features import build_front_end
from cmd_speaker.model import SpeakerModel
from cmd_speaker.students import build_student
from tests.conftest import voice

PROVENANCE = {
    "recipe": "text_teacher.yaml",
    "hyperparameters": {"seed": "1", "noise_folder": "...", "student": "!new:torch.nn.Linear", "width": "16"},
    "versions": {"torch": "2.11.0"},
    "commit": "0f3a",
    "checksums": {"manifests/train.csv": "ab" * 32, "teachers/text/targets.safetensors": "cd" * 32},
}

FIGURES = {
    "targets": 15000, "nontargets": 30000, "speakers": 96, "eer": 0.0707, "eer_low": 0.0608, "eer_high": 0.0806,
    "min_dcf_001": 0.729, "min_dcf_001_low": 0.622, "min_dcf_001_high": 0.8167,
}  # fmt: skip


def small_model(folder, student, front_end="kaldi_fbank", n_mels=80):
    """A model of random weights whose running statistics have moved, saved in `folder`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_student(student, n_mels=n_mels, width=16, embedding_size=24)
        encoder = SpeakerEncoder(build_front_end(front_end, n_mels=n_mels), network)
        with torch.no_grad():
            for _ in range(3):
                encoder.train().student(encoder.features(0.1 * torch.randn(8, 8000)))
    model = SpeakerModel(encoder)
    model.save(folder, PROVENANCE)
    return model


def recording(pitch, seconds):
    """Float32 samples [n] at 16 kHz of somebody with this pitch in Hz."""
    return voice(pitch, 1.0, seconds, np.random.default_rng(pitch))


def difference(found, model, samples):
    """The largest difference of a component from the model's own embedding, relative to its norm."""
    expected = model.embed(samples)
    return np.abs(np.asarray(found) - expected).max() / np.linalg.norm(expected)


def in_a_process(folder, *arguments):
    """Python with these arguments in `folder`, with this package; what it did, if it ended well."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done
