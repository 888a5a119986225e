"""A small CN-Celeb in the form of the distribution, for the tests of its preparation."""

import csv
import hashlib
from functools import partial

import numpy as np
import soundfile

from cmd_speaker.corpora.cnceleb_lists import Recording
from data_prep.cnceleb import prepare
from data_prep.joining import Piece
from tests import refusals

RATE = 16000
FIRST, SECOND = "CN-Celeb_flac", "CN-Celeb2_flac"
TRAINING = {
    FIRST: ("id00000", "id00001", "id00002", "id00003", "id00010"),
    SECOND: ("id10000", "id10001"),
}
BY_HASH = sorted(TRAINING[FIRST], key=lambda name: hashlib.sha256(name.encode()).hexdigest())
EVALUATED = ("id00800", "id00801", "id00802")
UTTERANCES = {"speech-01-001": 0.6, "speech-01-002": 0.2, "singing-01-001": 0.2, "live_broadcast-02-001": 0.5}
"""Seconds of each utterance of a training speaker."""


def write_flac(path, seconds, pitch=9.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(round(seconds * RATE)) / pitch), RATE)


def write_lines(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def prepare_small(root, output, **options):
    return prepare(root, output, **{"validation_speakers": 2, "min_seconds": 0, **options})


refused = partial(refusals.nothing_written, prepare_small)


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {row["ID"]: row for row in csv.DictReader(file)}


def lists(root):
    return root / FIRST / "eval" / "lists"


def replace_line(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def build_corpus(root):
    """CN-Celeb1 with five training and three evaluation speakers, CN-Celeb2 with two."""
    for folder, speakers in TRAINING.items():
        for k, speaker in enumerate(speakers):
            for name, seconds in UTTERANCES.items():
                write_flac(root / folder / "data" / speaker / f"{name}.flac", seconds, 9 + k)
    for speaker in EVALUATED:
        for name in ("speech-01-001", "speech-01-002", "singing-01-005"):
            write_flac(root / FIRST / "data" / speaker / f"{name}.flac", 0.3)
        write_flac(root / FIRST / "eval" / "enroll" / f"{speaker}-enroll.flac", 0.6)
        write_flac(root / FIRST / "eval" / "test" / f"{speaker}-singing-01-005.flac", 0.3)
    tests = [f"test/{speaker}-singing-01-005.wav" for speaker in EVALUATED]
    lists = root / FIRST / "eval" / "lists"
    write_lines(root / FIRST / "dev" / "dev.lst", *TRAINING[FIRST])
    write_lines(root / SECOND / "spk.lst", *TRAINING[SECOND])
    write_lines(lists / "enroll.lst", *(f"{s}-enroll enroll/{s}-enroll.wav" for s in EVALUATED))
    write_lines(
        lists / "enroll.map", *(f"{s}-enroll {s}/speech-01-001.wav {s}/speech-01-002.wav" for s in EVALUATED)
    )
    write_lines(lists / "test.lst", *tests)
    trials = [f"{s}-enroll {test} {int(s in test)}" for s in EVALUATED for test in tests]
    write_lines(lists / "trials.lst", *trials)
    return root


def pieces(**seconds):
    """Recordings of one speaker, by genre and session (`speech_01`), with the lengths of each."""
    return [
        Piece(Recording(f"id1/{name}-{k}", f"{name}-{k}.flac", "id1", name, "g"), round(s * RATE))
        for name, lengths in seconds.items()
        for k, s in enumerate(lengths)
    ]
