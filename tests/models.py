"""Small models that were not trained, and sounds for them."""

import numpy as np
import soundfile
import torch

from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.features import KaldiFbank
from cmd_speaker.model import SpeakerModel
from cmd_speaker.students import build_student

RATE = 16000


def small_model(seed=0, name="xvector", size=24):
    """A student with running statistics that are not those it began with."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = SpeakerEncoder(KaldiFbank(), build_student(name, width=16, embedding_size=size))
        with torch.no_grad():
            encoder.train().student(encoder.features(0.1 * torch.randn(8, 8000)))
    return SpeakerModel(encoder)


def noise(seconds, seed=0, rate=RATE):
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return samples.astype(np.float32)


def write_noise(path, seconds, seed=0, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(seconds, seed, rate), rate)
    return path
