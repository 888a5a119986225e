"""The keys of the recipe that a study sets, held against the recipe's YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.study.source import Source, Where
from cmd_speaker.study.values import text_of
from cmd_speaker.training.options import RUN_OPTIONS, read_options, suggest, top_level, value_of

RESERVED = {"seed", "test", "output_folder"}
"""Keys that the study itself sets for every run."""
PLAIN_MAPPING = "tag:yaml.org,2002:map"


class RecipeKeys:
    """The keys of the recipe at `path`, for the study in `source`."""

    def __init__(self, source: Source, path: Path) -> None:
        self.source, self.path = source, path
        script = path.parent.parent / "train.py"
        if not path.is_file() or not script.is_file():
            raise source.wrong(
                ("recipe",), "no recipe there", "RECIPE/hparams/NAME.yaml beside RECIPE/train.py",
                f"no file {path if not path.is_file() else script}",
            )  # fmt: skip
        self.nodes = {key: node for key, (_, node) in top_level(path).items()}

    def need(self, key: str, where: Where) -> None:
        """Raise `DataError` where the recipe lacks a key without which `where` cannot be."""
        if key not in self.nodes:
            raise self.source.wrong(
                where, "the recipe cannot do this", f"a key '{key}' in {self.path}", "none"
            )

    def check(self, values: Mapping[str, Any], where: Where) -> None:
        """Raise `DataError` for keys that the recipe lacks, or values of another kind, naming their row."""
        for key, value in values.items():
            if key in RESERVED:
                raise self.source.wrong((*where, key), "set by the study itself", "another key", key)
            if key not in self.nodes and key not in RUN_OPTIONS:
                raise self._unknown((*where, key), key, [*self.nodes, *RUN_OPTIONS])
            try:
                if key in self.nodes:
                    value_of(key, text_of(value), self.nodes[key])
                    self._check_below(value, self.nodes[key], (*where, key))
                else:
                    read_options(self.path, [f"--{key}={text_of(value)}"])
            except UsageError as error:
                raise self.source.wrong(
                    (*where, key), "bad value", "what the recipe takes", str(error)
                ) from error

    def _check_below(self, value: Any, node: yaml.Node, where: Where) -> None:
        """The keys of a plain mapping must be there; an empty one takes any, an object (`!new:`) looks itself."""
        if (
            not isinstance(value, Mapping)
            or not isinstance(node, yaml.MappingNode)
            or node.tag != PLAIN_MAPPING
        ):
            return
        below = {str(key.value): child for key, child in node.value}
        if not below:
            return
        for key, each in value.items():
            if key not in below:
                raise self._unknown((*where, key), key, list(below))
            self._check_below(each, below[key], (*where, key))

    def _unknown(self, where: Where, key: str, known: list[str]) -> DataError:
        return self.source.wrong(
            where,
            f"the recipe has no such key{suggest(key, known)}",
            f"a key of {self.path.name}",
            f"'{key}'",
        )
