"""The teacher of the controlled benchmark: what it knows, what of that speech shares, what of it is corrupted."""

from __future__ import annotations

import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.files import file_checksum, json_checksum
from cmd_speaker.hearing import read_utterance
from cmd_speaker.manifest import DATA_ROOT, Manifest, load_manifest
from cmd_speaker.model import SpeakerModel
from cmd_speaker.progress import track
from cmd_speaker.quality.damage import add_noise
from cmd_speaker.quality.speech import snr
from cmd_speaker.results import evaluate_student, listed_and_all_pairs
from cmd_speaker.training.fit import train_student
from cmd_speaker.training.pipeline import PIPELINE_KEYS
from cmd_speaker.training.recipe import open_recipe
from cmd_speaker.training.subset import training_subset

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RECIPE = ROOT / "recipes" / "SpeechOcean762" / "hparams" / "text_teacher.yaml"
OWN_KEYS = PIPELINE_KEYS | {"validation_speakers"}
HELD_BACK = 5
"""Utterances of each training speaker that no oracle ever hears: the student's."""
COLUMNS = ("ID", "duration", "wav", "start", "stop", "spk_id")
NOISE_DB = 0.0
ATTRIBUTE = 0.3
"""Length of gender and of age (in standard deviations) beside the oracle's embedding, which has length 1."""
SEED = 0


@dataclass(frozen=True)
class Recordings:
    """What an oracle makes of a manifest's recordings, clean and damaged: vectors [n, D], measured SNRs [n]."""

    manifest: Manifest
    clean: np.ndarray
    damaged: np.ndarray
    clean_snr: np.ndarray
    damaged_snr: np.ndarray


def make_recordings(corpus: Path, librispeech: Path, out: Path) -> dict[str, Recordings]:
    """The recordings that the student never hears, as two oracles embed them; made once in `out`.

    "narrow" was trained on these recordings alone, "wide" on the readers of librispeech_mini too. Prints what they
    are worth on the test list themselves.
    """
    from data_prep.librispeech_mini import prepare as prepare_librispeech
    from data_prep.speechocean762 import prepare

    lists = out / "manifests"
    prepared = prepare(corpus, lists)
    students = training_subset(prepared.train, lists / "held_back.csv", utterances_per_speaker=HELD_BACK)
    known = {row["ID"] for row in _rows(students)}
    others = [row for row in _rows(prepared.train) if row["ID"] not in known]
    readers = _rows(prepare_librispeech(librispeech, out / "librispeech_mini").test)
    for row in readers:  # of another root than the rest
        row["wav"] = row["wav"].replace(DATA_ROOT, str(librispeech))
    heard = {
        "narrow": _write(lists / "narrow.csv", others),
        "wide": _write(lists / "wide.csv", others + readers),
    }
    test, embedded = load_manifest(prepared.test, corpus), load_manifest(heard["narrow"], corpus)
    found = {}
    for name, path in heard.items():
        folder = out / f"oracle_{name}"
        model = _train(corpus, folder, load_manifest(path, corpus))
        if not (folder / "results.json").is_file():
            trials = listed_and_all_pairs(prepared.test_trials)
            print(f"Oracle '{name}':", evaluate_student(model, test, trials, folder), sep="\n")
        found[name] = _recordings(model, embedded, folder)
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: list[dict[str, str]]) -> Path:
    """A manifest of the columns that all corpora have."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _train(corpus: Path, folder: Path, manifest: Manifest) -> SpeakerModel:
    """An encoder trained on the manifest, audio only; made once, refused if the recipe or the manifest changed."""
    values = {"data_folder": corpus, "output_folder": folder, "text_teacher": 0, "seed": 11, "width": 96}
    argv = [str(RECIPE), *(part for key, value in values.items() for part in (f"--{key}", str(value)))]
    recipe = open_recipe(argv, OWN_KEYS)
    recipe.run.add_checksums(manifest.path)
    if not (folder / "model" / "model.json").is_file():
        SpeakerModel(train_student(recipe, manifest)).save(folder / "model", recipe.run.provenance())
    return SpeakerModel.load(folder / "model")


def _recordings(model: SpeakerModel, manifest: Manifest, folder: Path) -> Recordings:
    made_from = json_checksum([model.checksum, file_checksum(manifest.path), NOISE_DB, SEED])
    stored = folder / f"recordings_{made_from[:12]}.safetensors"
    if not stored.is_file():
        save_file(_embed(model, manifest), stored)
    return Recordings(manifest, **load_file(stored))


def _embed(model: SpeakerModel, manifest: Manifest) -> dict[str, np.ndarray]:
    found: dict[str, list[Any]] = {"clean": [], "damaged": [], "clean_snr": [], "damaged_snr": []}
    for place, utterance in enumerate(track(manifest, "Oracle", len(manifest))):
        clean = read_utterance(utterance)
        damaged = add_noise(clean, NOISE_DB, np.random.default_rng((SEED, place)))
        for name, samples in (("clean", clean), ("damaged", damaged)):
            found[name].append(model.embed(samples))
            found[f"{name}_snr"].append(float(snr(torch.from_numpy(samples)[None])))
    return {name: np.array(values, dtype=np.float32) for name, values in found.items()}


class Inputs:
    """Writes a teacher's inputs, one a recording, below `folder`; `attributes` is the corpus's `speakers.csv`."""

    def __init__(self, recordings: Recordings, attributes: Path, folder: Path) -> None:
        self.recordings, self.folder = recordings, folder
        self.ids = [each.id for each in recordings.manifest]
        self.speakers = [each.spk_id for each in recordings.manifest]
        self.names = sorted(set(self.speakers))
        self.row_of = [self.names.index(speaker) for speaker in self.speakers]
        known = {row["spk_id"]: row for row in _rows(attributes)}
        self.genders = [known[name]["gender"] for name in self.names]
        self.ages = np.array([float(known[name]["age"]) for name in self.names])

    def keys(self, shared: float, corrupted: float = 0.0) -> dict[str, str]:
        """The recipe keys of a teacher, whose files are written.

        `shared` is the share, in the squared length, of what speech shares with the teacher; the rest is a random
        direction of each speaker. `corrupted` is the share of inputs whose recording was damaged.
        """
        name = f"shared_{shared:g}_corrupted_{corrupted:g}"
        vectors_file, table = self.folder / f"{name}.npz", self.folder / f"{name}.csv"
        rng = np.random.default_rng((SEED, 1))
        bad = rng.permutation(len(self.ids)) < round(corrupted * len(self.ids))
        seen = self.recordings
        vectors = np.where(bad[:, None], seen.damaged, seen.clean)
        measured = np.where(bad, seen.damaged_snr, seen.clean_snr)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        mixed = math.sqrt(shared) * _unit(_unit(vectors) + self._attributes(vectors.shape[1]))
        mixed += math.sqrt(1 - shared) * self._private(vectors.shape[1])
        self.folder.mkdir(parents=True, exist_ok=True)
        save_embeddings(vectors_file, Embeddings(self.ids, (length * mixed).astype(np.float32)))
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["ID", "spk_id", "snr", "intact"])
            writer.writerows(zip(self.ids, self.speakers, measured, 1 - bad, strict=True))
        return {"vectors": str(vectors_file), "vectors_table": str(table)}

    def _attributes(self, size: int) -> np.ndarray:
        """Gender and age of each recording's speaker, each along a direction of its own [n, size]."""
        gender = np.where(np.array(self.genders) == self.genders[0], 1.0, -1.0)
        age = (self.ages - self.ages.mean()) / self.ages.std()
        directions = _unit(np.random.default_rng((SEED, 2)).normal(size=(2, size)))
        return ATTRIBUTE * (np.stack([gender, age], 1) @ directions)[self.row_of]

    def _private(self, size: int) -> np.ndarray:
        """A random direction of each recording's speaker, of length 1 [n, size]."""
        return _unit(np.random.default_rng((SEED, 3)).normal(size=(len(self.names), size)))[self.row_of]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
