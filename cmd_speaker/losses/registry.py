"""The distillation losses by the names that recipes give them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from cmd_speaker.losses.feature import feature_loss
from cmd_speaker.losses.prototype import prototype_loss
from cmd_speaker.losses.teacher_classifier import teacher_classifier_loss

LOSSES: dict[str, Callable[..., Tensor]] = {
    "feature": feature_loss,
    "teacher_classifier": teacher_classifier_loss,
    "prototype": prototype_loss,
}
AUTO_MARGIN = {"feature"}
"""Those whose margin may be "auto"."""
