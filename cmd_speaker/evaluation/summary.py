"""The figures of one system on one trial list, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from cmd_speaker.evaluation.bootstrap import speaker_interval, trial_speakers
from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.evaluation.scores import Scores

FEW_SPEAKERS = 40
"""Below this number an interval over speakers is itself uncertain."""


@dataclass(frozen=True)
class Summary:
    """EER and normalised minDCF (unit costs), all as fractions; bounds are 95 % over speakers, or None."""

    targets: int
    nontargets: int
    eer: float
    eer_threshold: float
    min_dcf_001: float
    """P_target 0.01."""
    min_dcf_005: float
    """P_target 0.05."""
    speakers: int | None = None
    eer_low: float | None = None
    eer_high: float | None = None
    min_dcf_001_low: float | None = None
    min_dcf_001_high: float | None = None

    def as_dict(self) -> dict[str, float | int | None]:
        return asdict(self)

    @property
    def warning(self) -> str | None:
        """What a reader of the interval must know."""
        if self.speakers is not None and self.speakers < FEW_SPEAKERS:
            return f"only {self.speakers} speakers: an interval over fewer than {FEW_SPEAKERS} is too narrow"
        return None

    def __str__(self) -> str:
        eer = f"EER {self.eer:6.2%}"
        dcf = f"minDCF(0.01) {self.min_dcf_001:.3f}"
        if self.eer_low is not None and self.eer_high is not None:
            eer += f" [{self.eer_low:.2%}, {self.eer_high:.2%}]"
            dcf += f" [{self.min_dcf_001_low:.3f}, {self.min_dcf_001_high:.3f}]"
        counts = f"{self.targets:,} targets, {self.nontargets:,} nontargets"
        return f"{eer}  {dcf}  minDCF(0.05) {self.min_dcf_005:.3f}  ({counts})"


def summarise(
    scores: Scores, utt2spk: Mapping[str, str] | None = None, *, seed: int = 0, replicates: int = 1000
) -> Summary:
    """EER and minDCF of labelled scores, with intervals where `utt2spk` (utterance -> speaker) is given.

    Raises `DataError` without labels or without one of the classes, and as `trial_speakers` does.
    """
    labels = scores.known_labels()
    ordered = SortedScores(scores.scores, labels)
    curve = ordered.curve()
    eer, threshold = curve.eer()
    targets = int(labels.sum())
    figures = (targets, len(scores) - targets, eer, threshold, curve.min_dcf(0.01), curve.min_dcf(0.05))
    if utt2spk is None or not replicates:
        return Summary(*figures)
    enrol, test, names = trial_speakers(scores.trials, utt2spk)
    interval = speaker_interval(ordered, enrol, test, seed, replicates, (0.01,))
    bounds = interval.min_dcf[0.01]
    return Summary(
        *figures, len(names), interval.eer.low, interval.eer.high, bounds.low, bounds.high
    )  # fmt: skip
