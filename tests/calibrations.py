"""What tests of calibrations need: scores whose LLR is known, and the record of a plain cosine."""

import numpy as np

from cmd_speaker.calibration.calibration import Origin

BACKEND = {
    "scorer": "cosine",
    "enrolment": "average",
    "mean": None,
    "norm": "none",
    "top": None,
    "cohort": None,
}
ORIGIN = Origin({"name": "dev.txt", "sha256": "d" * 64}, backend=BACKEND, model="m" * 64)


def gaussian(targets, nontargets, seed=0, mean=3.0):
    """Scores ~ N(mean, 1) of targets and N(0, 1) of nontargets."""
    labels = np.arange(targets + nontargets) < targets
    return np.random.default_rng(seed).standard_normal(len(labels)) + mean * labels, labels
