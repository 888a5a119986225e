"""What the commands that decide share: operating points, warnings, and what a comparison looks like."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmd_speaker.errors import UsageError

if TYPE_CHECKING:
    from cmd_speaker.calibration.calibration import Calibration
    from cmd_speaker.evaluation.operating_point import OperatingPoint

Point = Annotated[
    str | None,
    typer.Option(
        metavar="P[,CMISS,CFA]",
        help="Decide for a prior P of the same speaker, and costs of both errors; "
        "the calibration's own prior unless given.",
    ),
]


@dataclass(frozen=True)
class Rule:
    """From what value on the answer is yes: an LLR, where there is a `point`, or a raw score."""

    threshold: float
    point: OperatingPoint | None = None

    def __str__(self) -> str:
        return f"threshold {self.threshold:.4g}{'' if self.point is None else f' at {self.point}'}"

    def as_dict(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "point": self.point and asdict(self.point)}


def parse_point(text: str) -> OperatingPoint:
    """The operating point `P` or `P,CMISS,CFA`; raises `UsageError` for anything else."""
    from cmd_speaker.evaluation.operating_point import OperatingPoint

    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3):
        raise UsageError(f"--point: expected P or P,CMISS,CFA, found '{text}'")
    return OperatingPoint(*numbers)


def find_rule(calibration: Calibration | None, point: str | None, threshold: float | None) -> Rule | None:
    """The rule of `--point` or `--threshold`, else that of the calibration; None where nothing decides.

    Raises `UsageError` for both options, and for a point without calibration.
    """
    from cmd_speaker.evaluation.operating_point import OperatingPoint

    if threshold is not None:
        if point is not None:
            raise UsageError("--point says what decides, and so does --threshold: give one of them")
        if not math.isfinite(threshold):
            raise UsageError(
                f"--threshold is compared with a score: expected a finite number, found {threshold}"
            )
        return Rule(threshold)
    if calibration is None:
        if point is not None:
            raise UsageError("--point needs a calibration: make one with cmd-speaker calibrate --into")
        return None
    found = parse_point(point) if point else OperatingPoint(calibration.prior)
    return Rule(calibration.threshold(found), found)


def warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"Warning: {warning}.", file=sys.stderr)


def warn_uncalibrated(folder: object) -> None:
    warn(
        [
            f"uncalibrated: {folder} has no calibration, so no decision follows from a score; "
            "make one with cmd-speaker calibrate SCORES --into"
        ]
    )
