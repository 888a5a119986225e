"""What a study is: configurations, data conditions, seeds and phases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHOSEN = "chosen"
"""In `controls`: whatever the screening chooses gets its control."""
CONTROL = "permute_teacher"
"""The recipe's key that makes a control of a configuration."""
EVERYTHING = "all data"
"""The condition of a study that names none."""


@dataclass(frozen=True)
class Configuration:
    """Recipe keys under a name.

    `family` is its name in the file, and `varied` what the grid gave it (dotted key -> value). `is_control`: made
    by `control`, to stand beside another one.
    """

    name: str
    values: Mapping[str, Any]
    family: str
    varied: Mapping[str, Any] = field(default_factory=dict)
    is_control: bool = False

    def control(self) -> Configuration:
        """The same under the teachers of other speakers."""
        values = {**self.values, CONTROL: True}
        return Configuration(control_name(self.name), values, self.family, self.varied, is_control=True)


def control_name(name: str) -> str:
    """What the control of a configuration is called."""
    return f"{name} (control)"


@dataclass(frozen=True)
class Phase:
    """Runs of one kind: their seeds, and recipe keys that only they have."""

    seeds: Sequence[int]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A study. Without `screen` every configuration is final.

    `best` of the screened configurations are chosen in each condition; `always` are final in any case, as is the
    baseline. `pairs` are compared with each other too. `controls` names those that get one, or `CHOSEN` for all
    that were chosen. `noise` are SNRs in dB.
    """

    path: Path
    title: str
    recipe: Path
    values: Mapping[str, Any]
    configurations: Mapping[str, Configuration]
    baseline: str
    controls: Sequence[str]
    conditions: Mapping[str, Mapping[str, Any]]
    screen: Phase | None
    final: Phase
    best: int
    always: Sequence[str]
    pairs: Sequence[tuple[str, str]]
    noise: Sequence[float]


def slug(name: str) -> str:
    """A name as that of a folder."""
    return re.sub(r"[^\w.=+-]+", "_", name).strip("_")


def folder_name(configuration: str, condition: str) -> str:
    """The name of the folders of a configuration's runs in a condition, but for their seed."""
    return f"{slug(configuration)}_{slug(condition)}"
