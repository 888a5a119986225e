"""Nested recipe keys: `terms.feature.margin` and `{terms: {feature: {margin: ...}}}`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any


def nested(dotted: str, value: Any) -> dict[str, Any]:
    """`a.b` and 1 -> {a: {b: 1}}."""
    for part in reversed(dotted.split(".")):
        value = {part: value}
    found: dict[str, Any] = value
    return found


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """The layers laid over each other: mappings are merged, other values replaced by the later ones."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            before = merged.get(key)
            if isinstance(before, Mapping) and isinstance(value, Mapping):
                merged[key] = merge(before, value)
            else:
                merged[key] = value
    return merged


def short(dotted: str, others: Collection[str]) -> str:
    """The last part of a key, or all of it where another key of `others` ends in the same."""
    last = dotted.rpartition(".")[2]
    alone = sum(other.rpartition(".")[2] == last for other in others) == 1
    return last if alone else dotted


def text_of(value: Any) -> str:
    """A value as a recipe's command line takes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, Mapping | list) else str(value)
