"""What the demo's page does, without the page: take clips, compare, enrol, identify, forget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.audio import SAMPLE_RATE, probe, read_audio
from cmd_speaker.decision import Comparison, Decider, Recording
from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.files import file_checksum
from cmd_speaker.model import SpeakerModel
from cmd_speaker.registry import FILE_NAME, Enrolled, Registry, load_registry, relative_to

MAX_SECONDS = 60
MAX_MEGABYTES = 20


@dataclass(frozen=True, eq=False)
class Clip:
    """One recording that was given to the page; `samples` are what the model heard, float32 [n] at 16 kHz."""

    name: str
    sha256: str
    samples: np.ndarray
    recording: Recording


@dataclass(frozen=True)
class Rule:
    """From which log-likelihood ratio on the answer is yes, and for which prior and costs."""

    threshold: float
    point: OperatingPoint


@dataclass(frozen=True)
class Answer:
    """One comparison: score, and what follows from it where there is a calibration; `yes` is None without."""

    name: str
    score: float
    llr: float | None
    rule: Rule | None

    @property
    def yes(self) -> bool | None:
        return None if self.rule is None or self.llr is None else self.llr >= self.rule.threshold


@dataclass(frozen=True)
class Answers:
    """One answer a speaker, the likeliest first, with what must be known of them."""

    answers: Sequence[Answer]
    warnings: Sequence[str]


class Desk:
    """A model with its calibration and a registry.

    `point` is the operating point of decisions; None: that of the calibration. Raises as `SpeakerModel.load`,
    `Decider.load` and `load_registry`, and `DataError` for a registry of another model.
    """

    def __init__(
        self, folder: Path, registry: Path, point: OperatingPoint | None = None, device: str = "cpu"
    ) -> None:
        self.folder, self.registry_folder, self.point = folder, registry, point
        self.model = SpeakerModel.load(folder, device)
        self.decider = Decider.load(folder, self.model.checksum)
        self.registry()

    def take(self, path: str | Path) -> Clip:
        """Read and embed a clip, at any sample rate and with any number of channels.

        Raises `DataError` for what is longer than `MAX_SECONDS`, and for audio that gives no trustworthy
        embedding; it names the file without its folder, which is none that the person at the page knows.
        """
        path = Path(path)
        try:
            _check_seconds(probe(path).seconds)
            samples = read_audio(path, convert=True)
            _check_seconds(len(samples) / SAMPLE_RATE)
        except DataError as error:
            raise DataError(
                error.problem, file=path.name, expected=error.expected, found=error.found, fix=error.fix
            ) from error
        recording = Recording(self.model.embed(samples), len(samples) / SAMPLE_RATE)
        return Clip(path.name, file_checksum(path), samples, recording)

    def compare(self, first: Clip, second: Clip) -> Answers:
        """Do two clips have the same speaker?"""
        compared = self.decider.compare([[first.recording]], second.recording)
        return _answers(["the same speaker"], compared, self.decider, self.point, prior_of_each=1)

    def registry(self) -> Registry:
        """The registry as it is on disk now, or a new one where there is none."""
        if not (self.registry_folder / FILE_NAME).is_file():
            place = relative_to(self.registry_folder, self.folder)
            return Registry(self.registry_folder, self.model.checksum, place)
        registry = load_registry(self.registry_folder)
        registry.check_model(self.model.checksum, self.folder)
        return registry

    def enrol(self, name: str, clip: Clip) -> None:
        """Keep a clip's embedding under a name; raises `DataError` as `Registry.enrol`."""
        enrolled = Enrolled(clip.name, clip.sha256, clip.recording)
        self.registry().enrol(name.strip(), [enrolled]).save()

    def forget(self, name: str) -> None:
        """Delete a speaker, embeddings included; raises `DataError` as `Registry.forget`."""
        self.registry().forget(name).save()

    def identify(self, clip: Clip) -> Answers:
        """Who is it, of those enrolled? The prior is that it is any of them; each of N has an N-th of it.

        Decided by the calibration of the registry, else by that of the model. Raises `DataError` where nobody
        is enrolled.
        """
        speakers = self.registry().speakers
        if not speakers:
            raise DataError("nobody is enrolled", fix="Enrol somebody first")
        own = Decider.load(self.registry_folder, self.model.checksum)
        decider = self.decider if own.calibration is None else own
        compared = decider.compare(
            [[each.recording for each in recordings] for recordings in speakers.values()], clip.recording
        )
        return _answers(list(speakers), compared, decider, self.point, prior_of_each=1 / len(speakers))


def _check_seconds(seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise DataError(
            "too long for this page", expected=f"at most {MAX_SECONDS} s", found=f"{seconds:.1f} s",
            fix="Cut it, or use the command line: cmd-speaker verify",
        )  # fmt: skip


def _answers(
    names: Sequence[str],
    compared: Comparison,
    decider: Decider,
    point: OperatingPoint | None,
    prior_of_each: float,
) -> Answers:
    rule = None
    if decider.calibration is not None:
        point = point or OperatingPoint(decider.calibration.prior)
        rule = Rule(decider.calibration.threshold(point) - math.log(prior_of_each), point)
    ratios = [None] * len(names) if compared.llrs is None else compared.llrs.tolist()
    answers = [
        Answer(name, score, llr, rule)
        for name, score, llr in zip(names, compared.scores.tolist(), ratios, strict=True)
    ]
    answers.sort(key=lambda answer: answer.score if answer.llr is None else answer.llr, reverse=True)
    return Answers(answers, [*decider.warnings, *compared.warnings])
