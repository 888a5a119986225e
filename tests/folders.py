"""Anybody's own recordings, for the tests of their preparation."""

import csv
import hashlib
from functools import partial

import numpy as np
import soundfile

from data_prep.folder import prepare
from tests import refusals

RATE = 16000
NAMES = ("ada", "ben", "cleo", "dora", "emil", "finn", "gero", "hanna")
BY_HASH = sorted(NAMES, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
"""The first two are the test, the next two the validation, in most tests."""


def write_wav(path, seconds=0.2, rate=RATE, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.sin(np.arange(round(seconds * rate)) / 9)
    soundfile.write(path, np.stack([wave] * channels, 1), rate)


def touch(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def prepare_small(root, output, **options):
    return prepare(root, output, **{"validation_speakers": 2, "test_speakers": 2, **options})


refused = partial(refusals.nothing_written, prepare_small)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def build_tree(root):
    """Eight speakers with two utterances in each of two sessions, in ROOT/audio."""
    for name in NAMES:
        for session in ("s1", "s2"):
            for utterance in ("a.wav", "b.flac"):
                write_wav(root / "audio" / name / session / utterance)
    return root
