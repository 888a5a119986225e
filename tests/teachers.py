"""Teachers and their inputs, small enough for tests."""

import numpy as np
from PIL import Image

from cmd_speaker.manifest import load_manifest, write_manifest
from cmd_speaker.teachers.matching import Match
from cmd_speaker.teachers.text import SmallTextTeacher

TEXTS = {
    "s1": "A girl, a child, 9 years old.",
    "s2": "A boy, a child, 9 years old.",
    "s3": "A woman in her twenties, a young adult, 24 years old.",
    "s4": "A girl, a child, 9 years old.",
}


def match_of(rows):
    """The match in which every utterance has one bank row, -1 for none."""
    rows = np.asarray(rows)
    levels = ["none" if row < 0 else "identity" for row in rows]
    return Match(rows, [np.array([row]) for row in range(max(rows) + 1)], np.zeros_like(rows), levels)


def small(**changes):
    return SmallTextTeacher(**{"steps": 40, "size": 16, "layers": 1, "vocabulary": 64, **changes})


def write_texts(path, texts):
    """The manifest of speakers with these texts, three utterances each."""
    rows = [
        (f"{speaker}-{k}", 1.0, "a.wav", 0, 16000, speaker, "", text, f"SENTENCE NUMBER {k}")
        for speaker, text in texts.items()
        for k in range(3)
    ]
    write_manifest(path, ("session", "text", "transcript"), rows)
    return load_manifest(path)


def write_faces(path, rows, data_root=None):
    """The manifest of (ID, speaker, session, face)."""
    table = [(name, 1.0, "a.wav", "", "", speaker, session, face) for name, speaker, session, face in rows]
    write_manifest(path, ("session", "face"), table)
    return load_manifest(path, data_root)


def draw_face(path, colour, rng, pixels=24):
    """A disc of the colour, which is the person's, on a background of any colour."""
    picture = np.empty((pixels, pixels, 3))
    picture[:] = rng.uniform(0, 255, 3)
    y, x = np.mgrid[:pixels, :pixels] - (pixels - 1) / 2 - rng.normal(0, 1, 2)[:, None, None]
    picture[x**2 + y**2 < (pixels / 4) ** 2] = colour
    picture += rng.normal(0, 10, picture.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
    return path
