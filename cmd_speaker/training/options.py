"""The command line of a recipe, `--key value ...`, held against its YAML before anything is built."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import speechbrain as sb
import yaml
from speechbrain.utils.run_opts import RunOptions

from cmd_speaker.errors import DataError, UsageError

RUN_OPTIONS = {name for name in RunOptions().as_dict() if name not in ("param_file", "overridden_args")}
"""SpeechBrain's own options of a run, which a YAML may set too."""
ARGUMENTS = RUN_OPTIONS - {"distributed_launch", "data_parallel_count", "tqdm_barcolor"}
"""Those of them that a command line may have: SpeechBrain's parser passes over the others."""
FLAGS = {name for name, value in RunOptions().as_dict().items() if isinstance(value, bool)}
WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "false": False,
    "no": False,
    "off": False,
    "null": None,
    "": None,
}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read_options(path: Path, arguments: Sequence[str]) -> tuple[RunOptions, dict[str, Any]]:
    """SpeechBrain's run options and the overrides of the YAML's keys.

    Names must be exact: SpeechBrain's own parser takes `--optimizer` for an abbreviation of
    `--optimizer_step_limit` and drops it. A key that holds a truth value keeps its kind; in the place of a number
    may stand a number, a list (a schedule) or `auto`.

    Raises `UsageError` naming the option.
    """
    nodes = top_level(path)
    run, overrides = [], {}
    for name, value in _pairs(arguments):
        if name in ARGUMENTS:
            run += _run_option(name, value)
        elif name in nodes:
            overrides[name] = value_of(name, value, nodes[name][1])
        else:
            raise UsageError(f"no such option: --{name}{suggest(name, [*nodes, *ARGUMENTS])}")
    return _with_step_limit(sb.parse_arguments([str(path), *run])[1]), overrides


def _with_step_limit(run_opts: RunOptions) -> RunOptions:
    """SpeechBrain's parser leaves this one number a text, on which the first step would end."""
    limit = run_opts.optimizer_step_limit
    if not isinstance(limit, str):
        return run_opts
    if not limit.isdecimal() or int(limit) < 1:
        raise UsageError(f"--optimizer_step_limit: expected a whole number, at least 1, found '{limit}'")
    return replace(run_opts, optimizer_step_limit=int(limit))


def top_level(path: Path, text: str | None = None) -> dict[str, tuple[int, yaml.Node]]:
    """Key -> (line, value's node) of a recipe, or of `text`, the recipe with its references resolved.

    Raises `DataError` for what is no mapping or has a key twice.
    """
    root = compose_mapping(path, "recipe", text)
    nodes: dict[str, tuple[int, yaml.Node]] = {}
    for key, value in root.value:
        row = key.start_mark.line + 1
        if str(key.value) in nodes:
            raise DataError(
                f"the key '{key.value}' stands twice", file=path, row=row, expected="each key once",
                found=f"it in row {nodes[key.value][0]} too", fix="Remove one of them",
            )  # fmt: skip
        nodes[str(key.value)] = (row, value)
    return nodes


def compose_mapping(path: Path, what: str, text: str | None = None) -> yaml.MappingNode:
    """The nodes of a YAML file, or of `text` in its place; raises `DataError` for what is no mapping."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8") if text is None else text)
    except UnicodeDecodeError as error:
        raise DataError("not readable as text", file=path, expected="UTF-8", found=str(error)) from error
    except yaml.MarkedYAMLError as error:
        row = error.problem_mark.line + 1 if error.problem_mark else None
        raise DataError("not readable as YAML", file=path, row=row, found=error.problem) from error
    if not isinstance(root, yaml.MappingNode):
        raise DataError(f"not a {what}", file=path, expected="keys and values", found="another kind of YAML")
    return root


def scalar(text: str) -> Any:
    """The truth value, null or number that `text` is, or `text` itself."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if NUMBER.fullmatch(text):
        return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    return text


def plain_value(node: yaml.Node) -> Any:
    """The list, mapping or scalar that a node is; what is quoted stays text."""
    if isinstance(node, yaml.SequenceNode):
        return [plain_value(each) for each in node.value]
    if isinstance(node, yaml.MappingNode):
        return {plain_value(key): plain_value(each) for key, each in node.value}
    assert isinstance(node, yaml.ScalarNode)
    return node.value if node.style else scalar(node.value)


def suggest(name: str, known: Collection[str]) -> str:
    """`; did you mean ...?`, or nothing where nothing is close."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str | None]]:
    """(name, value) of `--name value` and `--name=value`; None for a flag without value."""
    pairs: list[tuple[str, str | None]] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if not word.startswith("--") or len(word) == 2:
            raise UsageError(f"'{word}' belongs to no option: options are --key value")
        name, equals, value = word[2:].partition("=")
        if equals:
            pairs.append((name, value))
        elif left and not left[0].startswith("--"):
            pairs.append((name, left.pop(0)))
        else:
            pairs.append((name, None))
    return pairs


def _run_option(name: str, value: str | None) -> list[str]:
    if name not in FLAGS:
        if value is None:
            raise UsageError(f"--{name} needs a value")
        return [f"--{name}", value]
    on = True if value is None else WORDS.get(value.lower())
    if on is None:
        raise UsageError(f"--{name} is a switch: expected True or False, found '{value}'")
    return [f"--{name}"] if on else []


def value_of(name: str, text: str | None, default: yaml.Node) -> Any:
    """The value of an override: a number, a truth value, null, a [list] or {mapping}, or the text itself.

    `default` is what the YAML has. Raises `UsageError` for a value of another kind.
    """
    if text is None:
        raise UsageError(f"--{name} needs a value")
    value = scalar(text)
    if text and text[0] in "[{":
        try:
            node = yaml.compose(text)
        except yaml.YAMLError as error:
            raise UsageError(f"--{name}: '{text}' is not readable as YAML") from error
        assert node is not None  # the text has at least a bracket
        value = plain_value(node)
    kind = default.tag.rpartition(":")[2]
    # A number's place may hold a schedule too, or the word for a number that is found out.
    number = isinstance(value, int | float | list) and not isinstance(value, bool)
    number = number or value == "auto"
    if (kind == "bool" and not isinstance(value, bool)) or (kind in ("int", "float") and not number):
        expected = {"bool": "True or False"}.get(kind, "a number")
        raise UsageError(f"--{name}: expected {expected}, found '{text}'")
    return value
