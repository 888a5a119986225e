"""The distillation losses by the names that recipes give them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from cmd_speaker.losses import Relation
from cmd_speaker.losses.angle import angle_loss
from cmd_speaker.losses.contrast import contrast_loss
from cmd_speaker.losses.feature import feature_loss
from cmd_speaker.losses.pair_distance import pair_distance_loss
from cmd_speaker.losses.prototype import prototype_loss
from cmd_speaker.losses.response import response_loss
from cmd_speaker.losses.teacher_classifier import teacher_classifier_loss

LOSSES: dict[str, Callable[..., Tensor | Relation]] = {
    "feature": feature_loss,
    "angle": angle_loss,
    "pair_distance": pair_distance_loss,
    "teacher_classifier": teacher_classifier_loss,
    "response": response_loss,
    "prototype": prototype_loss,
    "contrast": contrast_loss,
}
AUTO_MARGIN = {"feature"}
"""Those whose margin may be "auto"."""
