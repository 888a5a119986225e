"""How students bear noise: the same trials, the test speech with noise added, measured from models on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.embeddings import save_embeddings
from cmd_speaker.errors import DataErrors
from cmd_speaker.evaluation.comparison import Row, compare
from cmd_speaker.lists.scores import Scores, load_scores
from cmd_speaker.lists.speakers import load_utt2spk
from cmd_speaker.manifest import Utterance, load_manifest
from cmd_speaker.model import SpeakerModel
from cmd_speaker.progress import track
from cmd_speaker.quality.damage import add_noise
from cmd_speaker.results import embed_utterances
from cmd_speaker.scoring.job import ScoringJob
from cmd_speaker.scoring.record import load_record
from cmd_speaker.study.analysis import REPLICATES, Compared, Line, by_validation_eer
from cmd_speaker.study.collection import Result
from cmd_speaker.study.spec import Study

SEED = 0
"""Of the noise: not that of a run, so that every system hears the same."""


@dataclass(frozen=True)
class AddedNoise:
    """White noise at `snr_db`, drawn from `SEED` and the utterance's id: the same noise at every level."""

    snr_db: float

    def __call__(self, utterance: Utterance, samples: np.ndarray) -> np.ndarray:
        digest = hashlib.sha256(f"{SEED} {utterance.id}".encode()).digest()
        return add_noise(samples, self.snr_db, np.random.default_rng(int.from_bytes(digest[:8])))


def measure_noise(
    study: Study, compared: Sequence[Compared], folder: Path
) -> dict[str, dict[str, list[Row]]]:
    """Condition -> level of noise -> baseline and the best configuration, compared at each level.

    The best has the lowest validation EER of the final runs. Raises as `noisy_scores`.
    """
    found = {}
    for part in compared:
        lines = [*part.lines[:1], *by_validation_eer(part.lines[1:])[:1]]
        if lines:
            found[part.condition] = _at_levels(study, lines, folder)
    return found


def _at_levels(study: Study, lines: Sequence[Line], folder: Path) -> dict[str, list[Row]]:
    device = str(study.values.get("device") or "cpu")
    speakers = load_utt2spk(lines[0].results[0].listed("test.csv"))
    noisy = {
        line.name: [
            noisy_scores(result, study.noise, folder / result.run.name, device)
            for result in track(line.results, f"Noise: {line.name}")
        ]
        for line in lines
    }
    levels = {"clean": [line.row for line in lines]}
    for snr in study.noise:
        scores = {name: [run[snr] for run in runs] for name, runs in noisy.items()}
        levels[f"{snr:g} dB"] = compare(scores, speakers, replicates=REPLICATES)
    return levels


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
