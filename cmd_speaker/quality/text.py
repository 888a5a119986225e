"""Measures of a teacher's text."""

from __future__ import annotations

from collections.abc import Callable


def words(text: str) -> float:
    """How many words a text has, as white space separates them; 0 for an empty one."""
    return float(len(text.split()))


MEASURES: dict[str, Callable[[str], float]] = {"text_words": words}
"""A text -> its value, by the name of the column."""
