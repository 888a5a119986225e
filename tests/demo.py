"""What tests of the demo need: a small model with a calibration whose LLR is known."""

from dataclasses import replace

from cmd_speaker.calibration.calibration import Calibration
from cmd_speaker.decision import Decider
from cmd_speaker.model import SpeakerModel
from cmd_speaker.scoring.backend import Backend
from tests.calibrations import ORIGIN

SLOPE, OFFSET, PRIOR = 20.0, -16.0, 0.2
"""LLR = 20 score - 16; the threshold at prior 0.2 is log 4 = 1.386."""


def calibrate(folder):
    """Give a model folder this calibration."""
    model = SpeakerModel.load(folder).checksum
    origin = replace(ORIGIN, backend=Backend().description(), model=model, targets=1000, nontargets=1000)
    Decider(Backend(), Calibration(SLOPE, OFFSET, PRIOR, origin)).save(folder)
