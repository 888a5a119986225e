"""A YAML file of plain values that knows the row of each of them, so that an error can name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cmd_speaker.errors import DataError
from cmd_speaker.training.options import compose_mapping, plain_value, suggest

PLAIN = "tag:yaml.org,2002:"
Where = tuple[str | int, ...]
"""The keys and places that lead to a value."""


class Source:
    """`value` is what the file holds: mappings, lists, text, numbers, truth values and null.

    Raises `DataError` for a file that cannot be read, is no mapping, holds a tag or a key twice.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.rows = path, dict[Where, int]()
        if not path.is_file():
            raise DataError(f"no such {what}", file=path, fix="Give the path of its YAML")
        self.value: dict[str, Any] = self._plain(compose_mapping(path, what), ())

    def wrong(self, where: Where, problem: str, expected: object, found: object, fix: str = "") -> DataError:
        """The error for the value to which `where` leads, or for the nearest that holds it."""
        place = where
        while place not in self.rows:
            place = place[:-1]
        named = ".".join(str(part) for part in where)
        return DataError(
            f"{named}: {problem}" if named else problem, file=self.path, row=self.rows[place],
            expected=expected, found=found, fix=fix or "Correct it there",
        )  # fmt: skip

    def unknown(self, where: Where, known: list[str], expected: str = "") -> DataError:
        """The error for a key that must not be there."""
        key = str(where[-1])
        problem = f"unknown key{suggest(key, known)}"
        return self.wrong(where, problem, expected or f"one of {', '.join(sorted(known))}", f"'{key}'")

    def _plain(self, node: yaml.Node, where: Where) -> Any:
        self.rows[where] = node.start_mark.line + 1
        if not node.tag.startswith(PLAIN):
            raise self.wrong(where, "not a plain value", "text, a number, true, false or null", node.tag)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(each, (*where, place)) for place, each in enumerate(node.value)]
        return plain_value(node)

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            name, row = str(key.value), key.start_mark.line + 1
            if name in values:
                first = self.rows[(*where, name)]
                raise DataError(
                    f"the key '{name}' stands twice", file=self.path, row=row, expected="each key once",
                    found=f"it in row {first} too", fix="Remove one of them",
                )  # fmt: skip
            values[name] = self._plain(value, (*where, name))
            self.rows[(*where, name)] = row
        return values
