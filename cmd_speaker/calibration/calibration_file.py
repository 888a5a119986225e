"""The file of a calibration: JSON with a format version and its own checksum, read without running anything."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from cmd_speaker.calibration.calibration import Calibration, Origin
from cmd_speaker.calibration.qualities import Quality
from cmd_speaker.files import load_stamped, save_stamped

FILE_NAME = "calibration.json"
"""Its name in the folder of a model or a registry."""
FORMAT_VERSION = 1
REMAKE = "Make it again with cmd-speaker calibrate"


def save_calibration(path: str | Path, calibration: Calibration) -> None:
    """Write a calibration, whole or not at all; raises `DataError` where the file cannot be written."""
    save_stamped(path, FORMAT_VERSION, describe(calibration))


def describe(calibration: Calibration) -> dict[str, Any]:
    """A calibration as JSON: numbers, measures, and what it was fitted on."""
    description = asdict(calibration)
    del description["path"]
    return {**description, "qualities": [asdict(quality) for quality in calibration.qualities]}


def load_calibration(path: str | Path) -> Calibration:
    """Read what `save_calibration` wrote.

    Raises `DataError` for a missing or changed file, another format version, and values that no
    calibration has.
    """
    path = Path(path)
    return load_stamped(path, FORMAT_VERSION, "calibration", partial(_parse, path), REMAKE)


def _parse(path: Path, content: dict[str, Any]) -> Calibration:
    qualities = tuple(Quality(**measure) for measure in content.pop("qualities"))
    origin = Origin(**content.pop("origin"))
    calibration = Calibration(**content, qualities=qualities, origin=origin, path=path)
    _check_number("slope", calibration.slope, above=0)
    _check_number("offset", calibration.offset)
    _check_number("prior", calibration.prior, above=0, below=1)
    _check_kind("separable", calibration.separable, bool)
    for measure in qualities:
        for name, value in asdict(measure).items():
            if name != "column":
                _check_number(f"{name} of {measure.column}", value, above=0 if name == "scale" else -math.inf)
        _check_kind("column", measure.column, str)
        if measure.low > measure.high:
            raise ValueError(f"low of {measure.column} is above its high")
    _check_kind("sha256 of the scores", origin.scores["sha256"], str)
    for name in ("targets", "nontargets"):
        _check_kind(name, getattr(origin, name), int)
    for name, kind in (("trials", dict), ("speakers", int), ("backend", dict), ("model", str)):
        if getattr(origin, name) is not None:
            _check_kind(name, getattr(origin, name), kind)
    return calibration


def _check_number(name: str, value: Any, above: float = -math.inf, below: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < below:
        raise ValueError(f"{name} is {value!r}, not a number between {above} and {below}")


def _check_kind(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r}, not {kind.__name__}")
