"""How students bear noise: the same trials, the test speech with noise added, measured from models on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.embeddings import save_embeddings
from cmd_speaker.errors import DataErrors
from cmd_speaker.lists.scores import Scores, load_scores
from cmd_speaker.manifest import Utterance, load_manifest
from cmd_speaker.model import SpeakerModel
from cmd_speaker.quality.damage import add_noise
from cmd_speaker.results import embed_utterances
from cmd_speaker.scoring.job import ScoringJob
from cmd_speaker.scoring.record import load_record
from cmd_speaker.study.collection import Result

SEED = 0
"""Of the noise: not that of a run, so that every system hears the same."""


@dataclass(frozen=True)
class AddedNoise:
    """White noise at `snr_db`, drawn from `SEED` and the utterance's id: the same noise at every level."""

    snr_db: float

    def __call__(self, utterance: Utterance, samples: np.ndarray) -> np.ndarray:
        digest = hashlib.sha256(f"{SEED} {utterance.id}".encode()).digest()
        return add_noise(samples, self.snr_db, np.random.default_rng(int.from_bytes(digest[:8])))


def noisy_scores(result: Result, snrs: Sequence[float], folder: Path, device: str) -> dict[float, Scores]:
    """SNR -> scores of a run's trial list; embeddings and scores are kept in `folder` and not made again.

    Raises `DataErrors` for utterances to which no noise can be added.
    """
    model = SpeakerModel.load(result.student / "model", device)
    found = {}
    for snr in snrs:
        out = folder / f"{snr:g}dB.txt"
        if not _is_there(out, model):
            _measure(result, model, snr, out)
        found[snr] = load_scores(out)
    return found


def _is_there(path: Path, model: SpeakerModel) -> bool:
    """Whether the scores are those of this model: a run may have been done again."""
    record = load_record(path) if path.is_file() else None
    return record is not None and record["embeddings"].get("model") == model.checksum


def _measure(result: Result, model: SpeakerModel, snr: float, out: Path) -> None:
    test = load_manifest(result.listed("test.csv"), result.data_folder)
    embeddings, errors = embed_utterances(model, test.utterances, list_path=test.path, damage=AddedNoise(snr))
    if errors:
        raise DataErrors(f"{test.path}: no noise can be added to {len(errors)} utterances", errors)
    save_embeddings(out.with_suffix(".npz"), embeddings)
    ScoringJob(out.with_suffix(".npz"), result.listed("test_trials.txt"), out).run()
