"""Opening a recipe: its YAML, checked, and the folder of one run."""

from __future__ import annotations

import difflib
import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import speechbrain as sb
import yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from speechbrain.utils.run_opts import RunOptions

from cmd_speaker.audio import MIN_SECONDS
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.files import file_checksum, write_json

REQUIRED_KEYS = {
    "seed", "data_folder", "output_folder", "number_of_epochs", "batch_size", "crop_seconds", "front_end",
    "student", "identity", "optimizer", "lr_schedule", "epoch_counter", "train_logger", "validation_interval",
}  # fmt: skip
OPTIONAL_KEYS = {
    "cache_folder", "num_workers", "validation_speakers", "wav_augment", "feature_augment", "teacher",
    "distillation", "permute_teacher", "rebuild_bank",
}  # fmt: skip
NOT_DECISIVE = {
    "data_folder", "output_folder", "cache_folder", "num_workers", "rebuild_bank", "train_logger",
    "ckpt_interval_minutes", "ckpt_interval_steps", "noprogressbar",
}  # fmt: skip
"""Keys that may differ when a run is resumed, because they do not change its result."""
LEAST: dict[str, tuple[Any, float]] = {
    "seed": (int, 0), "number_of_epochs": (int, 1), "batch_size": (int, 2), "validation_interval": (int, 1),
    "crop_seconds": ((int, float), MIN_SECONDS), "num_workers": (int, 0),
}  # fmt: skip
"""Kind and least value of the numbers that recipes read."""
RUN_OPTIONS = set(RunOptions().as_dict())
"""SpeechBrain's own options of a run, which a YAML may set too."""
PACKAGES = ("cmd-speaker", "torch", "torchaudio", "speechbrain", "numpy", "sentencepiece", "soundfile")


@dataclass
class Recipe:
    """A recipe that was opened: `hparams` are the YAML's objects, `folder` is the run's folder."""

    yaml_path: Path
    hparams: dict[str, Any]
    run_opts: RunOptions
    folder: Path

    @property
    def command(self) -> str:
        """The command of this run, for messages that say how to repeat it."""
        return " ".join(["cmd-speaker train", str(self.yaml_path), "--output_folder", str(self.folder)])

    def provenance(self) -> dict[str, Any]:
        """What a model of this run was made from: no path of this machine, no name of a person."""
        run = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return {name: run[name] for name in ("recipe", "hyperparameters", "versions", "commit", "checksums")}

    def add_checksums(self, *paths: Path) -> None:
        """Note the SHA-256 of manifests and lists; refuse to resume when one has changed."""
        run = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        for path in paths:
            name, found = str(path.relative_to(self.folder)), file_checksum(path)
            known = run["checksums"].setdefault(name, found)
            if known != found:
                raise DataError(
                    "the run was begun with another version of this file", file=path,
                    expected=f"SHA-256 {known[:12]}...", found=f"{found[:12]}...",
                    fix="Choose another --output_folder, or delete this run",
                )  # fmt: skip
        write_json(self.folder / "run.json", run)


def open_recipe(argv: Sequence[str]) -> Recipe:
    """Open `HPARAMS.yaml [--key value ...]` as SpeechBrain's recipes do, and make the run's folder.

    Raises `UsageError` for a wrong override and `DataError` for a wrong YAML, naming its line.
    """
    file, run_opts, overrides = sb.parse_arguments(list(argv))
    path = Path(file)
    if not path.is_file():
        raise DataError("no such recipe", file=path, expected="a hyperparameter YAML", found="nothing")
    _check_overrides(path, overrides)
    _check_keys(path)
    try:
        hparams = load_hyperpyyaml(path.read_text(encoding="utf-8"), overrides)
    except (TypeError, ValueError, ImportError, AttributeError, KeyError, yaml.YAMLError) as error:
        raise DataError(
            "the recipe cannot be built", file=path, found=_reason(error), fix=_hint(error)
        ) from error
    missing = sorted(REQUIRED_KEYS - hparams.keys())
    if missing:
        raise DataError("the recipe lacks keys", file=path, expected=", ".join(missing), found="none of them")
    _check_values(path, hparams)
    folder = Path(hparams["output_folder"])
    folder.mkdir(parents=True, exist_ok=True)
    resolved = resolve_references(StringIO(path.read_text(encoding="utf-8")), overrides).getvalue()
    _begin_run(folder, path, resolved, argv, hparams["seed"])
    return Recipe(path, hparams, run_opts, folder)


def _check_overrides(path: Path, overrides: str) -> None:
    known = _key_lines(path)
    root = yaml.compose(overrides)
    for key in [] if root is None else [key.value for key, _ in root.value]:
        if key not in known:
            raise UsageError(f"no such option: --{key}{_suggest(key, [*known, *RUN_OPTIONS])}")


def _check_keys(path: Path) -> None:
    """Every key must be one that recipes read, or be used by another key of the file."""
    text = path.read_text(encoding="utf-8")
    read = REQUIRED_KEYS | OPTIONAL_KEYS | RUN_OPTIONS
    for key, row in _key_lines(path).items():
        if key not in read and f"<{key}" not in text and not key.startswith("__"):
            raise DataError(
                f"unknown key '{key}'{_suggest(key, read)}", file=path, row=row,
                expected="a key that recipes read or another key refers to", found=key,
                fix="Correct its spelling or remove it",
            )  # fmt: skip


def _check_values(path: Path, hparams: dict[str, Any]) -> None:
    for key, (kind, least) in LEAST.items():
        value = hparams.get(key, least)
        number = isinstance(value, kind) and not isinstance(value, bool)
        if not number or not least <= value < float("inf"):
            raise DataError(
                f"bad value of '{key}'", file=path, row=_key_lines(path).get(key),
                expected=f"{'a whole number' if kind is int else 'a number'}, at least {least}", found=repr(value),
                fix=f"Correct it there or give --{key}",
            )  # fmt: skip


def _key_lines(path: Path) -> dict[str, int]:
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        row = error.problem_mark.line + 1 if error.problem_mark else None
        raise DataError("not readable as YAML", file=path, row=row, found=error.problem) from error
    if not isinstance(root, yaml.MappingNode):
        raise DataError("not a recipe", file=path, expected="keys and values", found="another kind of YAML")
    return {key.value: key.start_mark.line + 1 for key, _ in root.value}


def _suggest(key: str, known: Sequence[str] | set[str]) -> str:
    close = difflib.get_close_matches(key, list(known), 1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _reason(error: Exception) -> str:
    return " ".join(str(part) for part in error.args).strip().split("\n")[0].rstrip(".")


def _hint(error: Exception) -> str:
    placeholder = re.search(r"'(\w+)' is a !PLACEHOLDER", str(error))
    return f"Give --{placeholder[1]} VALUE" if placeholder else "Correct the value or the argument's name"


def _begin_run(folder: Path, path: Path, resolved: str, argv: Sequence[str], seed: int) -> None:
    """Write the resolved YAML and run.json; refuse to resume a run under other hyperparameters."""
    lines = [line for line in resolved.split("\n") if not line.startswith("#")]
    decisive = _decisive("\n".join(lines), folder)
    fingerprint = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    record = folder / "run.json"
    if record.is_file():
        before = json.loads(record.read_text(encoding="utf-8"))
        if before["fingerprint"] != fingerprint:
            old = before["hyperparameters"]
            changed = [k for k in sorted(old.keys() | decisive.keys()) if old.get(k) != decisive.get(k)]
            # An object that differs because of a value that has a key of its own is no news.
            changed = [k for k in changed if not decisive.get(k, "").startswith("!")] or changed
            raise DataError(
                f"the run in this folder was begun with another {', '.join(changed)}", file=record,
                expected=", ".join(f"{k}: {old.get(k)}" for k in changed),
                found=", ".join(f"{k}: {decisive.get(k)}" for k in changed),
                fix="Choose another --output_folder, or delete this one",
            )  # fmt: skip
        return
    (folder / "hyperparams.yaml").write_text(resolved, encoding="utf-8")
    run = {
        "recipe": path.name,
        "arguments": list(argv),
        "seed": seed,
        "fingerprint": fingerprint,
        "hyperparameters": decisive,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "commit": _commit(path),
        "machine": f"{platform.machine()}, {platform.system()}",
        "checksums": {},
    }
    write_json(record, run)


def _decisive(resolved: str, folder: Path) -> dict[str, str]:
    """Top-level key -> canonical text of its value, for the keys that decide the result."""
    root = yaml.compose(resolved)
    assert root is not None  # it was read already
    texts = {}
    for key, value in root.value:
        if key.value not in NOT_DECISIVE:
            texts[key.value] = re.sub(r"\s+", " ", yaml.serialize(value)).strip().removesuffix(" ...")
    return {key: text.replace(str(folder), "<output_folder>") for key, text in texts.items()}


def _commit(path: Path) -> str | None:
    """The checkout's commit, marked where files differ from it; None outside a checkout."""
    git = ["git", "-C", str(path.resolve().parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + (" with changes" if dirty.stdout.strip() else "")
