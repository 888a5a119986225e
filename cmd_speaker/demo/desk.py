"""What the demo's page does, without the page: take clips, compare, enrol, identify, forget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.audio import AudioInfo, probe, read_audio
from cmd_speaker.decision import Decider, Verification
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.files import file_checksum
from cmd_speaker.model import SpeakerModel
from cmd_speaker.recording import Recording
from cmd_speaker.registry import Enrolled, Identification, Registry

MAX_SECONDS = 60
MAX_MEGABYTES = 20
MAX_CHANNELS, MAX_RATE = 16, 192_000
"""Else a small file could fill the memory: decoded, all channels are there at the rate that its header says."""


@dataclass(frozen=True, eq=False)
class Clip:
    """One recording that was given to the page; `samples` are what the model heard, float32 [n] at 16 kHz."""

    name: str
    sha256: str
    samples: np.ndarray
    recording: Recording


class Desk:
    """A model with its calibration, and a registry, which is begun where there is none.

    `point` is the operating point of decisions; None: that of the calibration. Raises as `SpeakerModel.load`,
    `Decider.load` and `Registry.begin`, and `UsageError` for a point where no calibration is.
    """

    def __init__(
        self,
        folder: Path,
        registry: Path,
        point: OperatingPoint | None = None,
        device: str = "cpu",
        key: bytes | None = None,
    ) -> None:
        self.folder, self.point = folder, point
        self.model = SpeakerModel.load(folder, device)
        self.decider = Decider.load(folder, self.model.checksum)
        self.registry = Registry.begin(registry, self.model.checksum, folder, key)
        if point is not None and self.registry.decider(folder).calibration is None:
            raise UsageError("--point needs a calibration: make one with cmd-speaker calibrate --into")

    def take(self, path: str | Path) -> Clip:
        """Read and embed a clip, at any sample rate and with any number of channels.

        Raises `DataError` for what is longer than `MAX_SECONDS` or beyond `MAX_CHANNELS` and `MAX_RATE`, and for
        audio that gives no trustworthy embedding; it names the file without its folder, which is none that the
        person at the page knows.
        """
        path = Path(path)
        try:
            if not path.is_file():
                raise DataError(
                    "the file is gone", fix="Give it again: somebody gave the same at the same moment"
                )
            _check_size(probe(path))
            samples = read_audio(path, convert=True)
        except DataError as error:
            raise DataError(
                error.problem, file=path.name, expected=error.expected, found=error.found, fix=error.fix
            ) from error
        return Clip(path.name, file_checksum(path), samples, self.model.recording(samples))

    def compare(self, first: Clip, second: Clip) -> Verification:
        """Do two clips have the same speaker?"""
        return self.decider.verify(
            first.recording, second.recording, self.point if self.decider.calibration else None
        )

    def enrol(self, name: str, clip: Clip) -> int:
        """Keep a clip's embedding under a name; returns and raises as `Registry.enrol`."""
        return self.registry.enrol(name, [Enrolled(clip.name, clip.sha256, clip.recording)])

    def identify(self, clip: Clip) -> Identification:
        """Who is it, of those enrolled? Raises as `Registry.identify`.

        Decided by the calibration of the registry, else by that of the model.
        """
        decider = self.registry.decider(self.folder)
        return self.registry.identify(clip.recording, decider, self.point if decider.calibration else None)


def _check_size(info: AudioInfo) -> None:
    if info.seconds > MAX_SECONDS:
        raise DataError(
            "too long for this page", expected=f"at most {MAX_SECONDS} s", found=f"{info.seconds:.1f} s",
            fix="Cut it, or use the command line: cmd-speaker verify",
        )  # fmt: skip
    if info.channels > MAX_CHANNELS or info.sample_rate > MAX_RATE:
        raise DataError(
            "too large for this page", expected=f"at most {MAX_CHANNELS} channels and {MAX_RATE:,} Hz",
            found=f"{info.channels} channels and {info.sample_rate:,} Hz",
            fix="Convert it to 16,000 Hz and one channel",
        )  # fmt: skip
