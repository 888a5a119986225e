"""What tests of registries need: recordings of two dimensions, and every byte of a folder."""

import hashlib

import numpy as np

from cmd_speaker.calibration.calibration import Calibration
from cmd_speaker.decision import Decider
from cmd_speaker.recording import Recording
from cmd_speaker.registry import Enrolled
from cmd_speaker.scoring.backend import Backend
from tests.calibrations import ORIGIN

MODEL = "a" * 64
KEY = bytes(range(32))
COSINE = Decider(Backend())


def recording(*vector, seconds=2.0, model=MODEL):
    return Recording(np.array(vector, dtype=np.float32), seconds, model=model)


def enrolled(*vector, file="x.wav", **more):
    """A recording whose checksum follows from its embedding."""
    made = recording(*vector, **more)
    return Enrolled(file, hashlib.sha256(made.embedding.tobytes()).hexdigest(), made)


def calibrated(slope=10.0, offset=0.0, prior=0.5):
    """LLR = 10 * cosine."""
    return Decider(Backend(), Calibration(slope, offset, prior, ORIGIN))


def folder_bytes(folder):
    """All that lies in a folder, names of files included."""
    paths = sorted(folder.rglob("*"))
    return b"\n".join(str(path.relative_to(folder)).encode() for path in paths) + b"".join(
        path.read_bytes() for path in paths if path.is_file()
    )


def counts(registry):
    return {speaker.name: speaker.recordings for speaker in registry.speakers()}
