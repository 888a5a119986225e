"""The runs of a study: what each is called with, and what of it decides its result."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from cmd_speaker.files import json_checksum
from cmd_speaker.study.spec import CHOSEN, CONTROL, Configuration, Phase, Study, folder_name, slug
from cmd_speaker.study.values import merge, text_of
from cmd_speaker.training.options import top_level
from cmd_speaker.training.recipe import SHARED_KEYS

Stage = Literal["screening", "runs"]
"""Also the folder in which the runs of that stage lie."""
PLACES = {*SHARED_KEYS, "output_folder", "device", "num_workers", "noprogressbar"}
"""Keys that say where and how a run is done, and do not change its result."""
TEACHER_PARTS = ("teachers", "student")
"""Keys of a recipe whose values, with all that they refer to, decide stage 1."""
AFTER_TEACHERS = {CONTROL, "test", "number_of_epochs", "validation_interval"}
"""Keys that stage 1 does not know, beside those of the distillation."""


@dataclass(frozen=True)
class Run:
    """One training run; `values` are all its recipe keys."""

    stage: Stage
    configuration: Configuration
    condition: str
    seed: int
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its folder's name."""
        return f"{folder_name(self.configuration.name, self.condition)}_{self.seed}"

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.configuration.name}, {self.condition}, seed {self.seed}"

    @property
    def decisive(self) -> dict[str, Any]:
        """The values that decide its result."""
        return {key: value for key, value in self.values.items() if key not in PLACES}

    def fingerprint(self, recipe: Path) -> str:
        """The checksum of what decides its result: the recipe's name and the values."""
        return json_checksum({"recipe": recipe.name, "values": self.decisive})


def screening_runs(study: Study) -> list[Run]:
    """Every configuration in every condition, without the test list; empty where nothing is screened."""
    if study.screen is None:
        return []
    return _runs(
        study, "screening", study.screen, {name: study.configurations.values() for name in study.conditions}
    )


def final_runs(study: Study, chosen: Mapping[str, Sequence[str]]) -> list[Run]:
    """The runs that meet the test list; `chosen` names the configurations that were chosen in each condition.

    First the baseline, then what is always final, then the chosen ones, each followed by its control.
    """
    names: dict[str, list[Configuration]] = {}
    for condition in study.conditions:
        found: list[Configuration] = []
        for name in dict.fromkeys([study.baseline, *study.always, *chosen[condition]]):
            configuration = study.configurations[name]
            found.append(configuration)
            if _has_control(study, configuration, chosen[condition]):
                found.append(configuration.control())
        names[condition] = found
    return _runs(study, "runs", study.final, names)


def _has_control(study: Study, configuration: Configuration, chosen: Sequence[str]) -> bool:
    if configuration.name == study.baseline:
        return False
    if study.controls == [CHOSEN]:
        return configuration.name in chosen
    return bool({configuration.name, configuration.family} & set(study.controls))


def _runs(
    study: Study, stage: Stage, phase: Phase, configurations: Mapping[str, Iterable[Configuration]]
) -> list[Run]:
    runs = []
    for seed in phase.seeds:
        for condition, found in configurations.items():
            for configuration in found:
                own = {"seed": seed} | ({"test": False} if stage == "screening" else {})
                layers = (study.values, phase.values, study.conditions[condition], configuration.values, own)
                runs.append(Run(stage, configuration, condition, seed, merge(*layers)))
    return runs


def recipe_name(path: Path) -> str:
    """A recipe's path from the folder `recipes` of a checkout on, or else its last three parts."""
    parts = path.resolve().parts
    return "/".join(parts[-4:] if parts[-4:-3] == ("recipes",) else parts[-3:])


class Command:
    """The command line of a study's runs, whose folders lie in `out`."""

    def __init__(self, study: Study, out: Path) -> None:
        self.recipe, self.out, self.study = study.recipe, out, study
        self.nodes = {key: node for key, (_, node) in top_level(study.recipe).items()}

    def arguments(self, run: Run) -> list[str]:
        """What `train.py` is called with."""
        values = {**self._shared(run), **run.values, "output_folder": str(self.out / run.stage / run.name)}
        more = [part for key, value in values.items() for part in (f"--{key}", text_of(value))]
        return [str(self.recipe), *more]

    def line(self, run: Run) -> list[str]:
        """The whole command."""
        return [sys.executable, str(self.recipe.parent.parent / "train.py"), *self.arguments(run)]

    def _shared(self, run: Run) -> dict[str, str]:
        """Folders that the recipe would make in every run's own folder, and that several runs can share.

        A corpus that a recipe makes belongs to a condition, decoded audio to all, and a teacher to the runs that
        differ only in what comes after it.
        """
        after = self._refers_to("distillation") - set().union(
            *(self._refers_to(key) for key in TEACHER_PARTS)
        )
        made_of = {key: value for key, value in run.decisive.items() if key not in after | AFTER_TEACHERS}
        places = {
            "data_folder": f"corpora/{slug(run.condition)}",
            "cache_folder": "cache",
            "teacher_folder": f"teachers/{slug(run.condition)}_{run.seed}_{json_checksum(made_of)[:8]}",
        }
        return {
            key: str(self.out / place)
            for key, place in places.items()
            if key in self.nodes and "output_folder" in self._refers_to(key)
        }

    def _refers_to(self, key: str) -> set[str]:
        """The key and all that its value in the recipe refers to, directly or not."""
        found, left = set[str](), [key]
        while left:
            name = left.pop()
            if name not in found and name in self.nodes:
                found.add(name)
                left += re.findall(r"<(\w+)", yaml.serialize(self.nodes[name]))
        return found
