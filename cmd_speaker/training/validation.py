"""Validation by EER on held-out training speakers."""

from __future__ import annotations

import numpy as np
import torch

from cmd_speaker.embeddings import Embeddings
from cmd_speaker.encoder import SpeakerEncoder, embed_all
from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.lists.trials import Trials
from cmd_speaker.scoring.scorer import cosine_scores


class Validation:
    """Embeds the validation utterances and scores their trials.

    `audio` holds (id, samples [n]) pairs in memory, as decoded once.
    """

    def __init__(self, audio: list[tuple[str, np.ndarray]], trials: Trials) -> None:
        self.audio, self.trials = audio, trials

    def __call__(self, encoder: SpeakerEncoder, device: torch.device | str) -> dict[str, float]:
        """EER and normalised minDCF (P_target 0.01), both as fractions."""
        vectors = dict(embed_all(encoder.eval(), self.audio, device=device))
        embeddings = Embeddings(list(vectors), np.stack(list(vectors.values())))
        scores, errors = cosine_scores(embeddings, self.trials)
        if errors:
            raise errors[0]
        curve = SortedScores(scores.scores, scores.known_labels()).curve()
        return {"eer": curve.eer()[0], "min_dcf": curve.min_dcf()}
