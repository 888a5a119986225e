"""Small runs of the recipe, for tests."""

import importlib.util
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cmd_speaker.brain import SpeakerBrain
from cmd_speaker.training.pipeline import PIPELINE_KEYS
from cmd_speaker.training.preparation import RECORD, record_preparation
from data_prep.speechocean762 import NAME
from tests.teachers import draw_face

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "SpeechOcean762"
HPARAMS = RECIPE / "hparams" / "text_teacher.yaml"
OWN_KEYS = PIPELINE_KEYS | {"validation_speakers"}
"""Those that the recipe's train.py reads itself."""
SMALL = {
    "width": 8, "embedding_size": 12, "batch_size": 4, "crop_seconds": 0.5, "number_of_epochs": 2,
    "validation_speakers": 2, "validation_interval": 1, "device": "cpu",
    "teachers": "{text: {steps: 30, size: 16, layers: 1}}",
}  # fmt: skip
FACE_TEACHER = """
    face: !new:cmd_speaker.teachers.face.SmallFaceTeacher
        pixels: 16
        size: 8
        steps: 10
        batch_size: 8
        seed: !ref <seed>
"""
FACE_TERMS = """
    face: !apply:cmd_speaker.training.objective.distillation
        terms:
            feature: {weight: !ref <face_weight>, margin: 0.8}
        quality: !ref <quality>
"""


def text_and_face(path):
    """The recipe's YAML with a face teacher beside the text teacher, written to `path`."""
    text = HPARAMS.read_text().replace("\nteachers:", "\nface_weight: 1.0\nteachers:")
    for key, added in (("teachers", FACE_TEACHER), ("distillation", FACE_TERMS)):
        text, count = re.subn(rf"(?m)^{key}:.*$", lambda line, added=added: line[0] + added.rstrip(), text)
        assert count == 1, key
    path.write_text(text)
    return path


def with_faces(prepare, pictures):
    """The recipe's `prepare`, whose training and validation manifests have pictures but for one training speaker.

    A speaker's first utterance has two pictures of its own, the others share two.
    """

    def prepared(data_folder, manifests, validation_speakers):
        corpus = prepare(data_folder, manifests, validation_speakers)
        rng = np.random.default_rng(0)
        for path in (corpus.train, corpus.valid):
            header, *rows = path.read_text().splitlines()
            for index, row in enumerate(rows):
                speaker = row.split(",")[5]
                folder = pictures / speaker / ("shared" if index % 4 else "own")
                for name in ("1.png", "2.png") if not folder.exists() else ():
                    draw_face(folder / name, rng.uniform(0, 255, 3), rng)
                rows[index] = f"{row}," if speaker == "2034" else f"{row},{folder}"
            path.write_text("\n".join([f"{header},face", *rows]) + "\n")
        names = [path.name for path in Path(manifests).iterdir() if path.name != RECORD]
        record_preparation(
            Path(manifests), NAME, data_folder, {"validation_speakers": validation_speakers}, {}, [], names
        )
        return corpus

    return prepared


def arguments(corpus, folder, hparams=HPARAMS, **changes):
    """The command line of a small run, without the command."""
    return command_line(hparams, {**SMALL, "data_folder": corpus, "output_folder": folder, **changes})


def command_line(hparams, options):
    """What follows `cmd-speaker train`."""
    return [str(hparams), *(str(part) for key, value in options.items() for part in (f"--{key}", value))]


def load_recipe(folder):
    """A recipe's train.py, as a module."""
    spec = importlib.util.spec_from_file_location("recipe_under_test", folder / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weights(folder):
    """The bytes of a finished run's student."""
    return (folder / "model" / "model.safetensors").read_bytes()


class Killed(Exception):
    pass


@contextmanager
def broken_after(batches, monkeypatch):
    """Training inside breaks off when the next batch but `batches` begins."""
    original, begun = SpeakerBrain.on_fit_batch_start, []

    def break_off(self, batch, should_step):
        begun.append(self.step)
        if len(begun) == batches + 1:
            raise Killed
        original(self, batch, should_step)

    with monkeypatch.context() as patch:
        patch.setattr(SpeakerBrain, "on_fit_batch_start", break_off)
        with pytest.raises(Killed):
            yield
