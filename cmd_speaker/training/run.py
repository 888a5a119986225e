"""The record of one run, in its folder: what decided it, so that it can be resumed and traced."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.run_opts import RunOptions

from cmd_speaker.errors import DataError
from cmd_speaker.files import file_checksum, write_json
from cmd_speaker.training.options import top_level
from cmd_speaker.training.processes import processes

NOT_DECISIVE = {
    "data_folder", "output_folder", "cache_folder", "teacher_folder", "students", "train", "num_workers",
    "rebuild_bank", "train_logger", "ckpt_interval_minutes", "ckpt_interval_steps", "noprogressbar", "device",
    "distributed_backend", "param_file", "log_config", "tqdm_colored_bar", "tqdm_barcolor",
}  # fmt: skip
"""Keys that may differ when a run is resumed, because they do not change its result."""
PACKAGES = (
    "cmd-speaker",
    "torch",
    "torchaudio",
    "speechbrain",
    "numpy",
    "sentencepiece",
    "soundfile",
    "pillow",
)
FOLDERS = re.compile(r"(?<![\w.<>])/(?:[^/\s'\",{}\[\]]+/)+")
"""The folders of an absolute path."""


@dataclass
class Run:
    """`record` is what `run.json` in `folder` holds, or will hold; `resolved` is the recipe's YAML."""

    folder: Path
    record: dict[str, Any]
    resolved: str

    def begin(self) -> None:
        """Write the record: from here on, other hyperparameters and other data are refused in this folder.

        Called when everything was found right, so that a mistake can be corrected and the call repeated. Of
        several processes the main one writes.
        """
        if not if_main_process():
            return
        (self.folder / "hyperparams.yaml").write_text(self.resolved, encoding="utf-8")
        write_json(self.folder / "run.json", self.record)

    def add_checksums(self, *paths: Path) -> None:
        """Note the SHA-256 of manifests and lists; raise `DataError` when one has changed since the run began."""
        for path in paths:
            # Of files that runs share, no path of this machine.
            own = path.is_relative_to(self.folder)
            name = str(path.relative_to(self.folder)) if own else "/".join(path.parts[-2:])
            found = file_checksum(path)
            known = self.record["checksums"].setdefault(name, found)
            if known != found:
                raise DataError(
                    "the run was begun with another version of this file", file=path,
                    expected=f"SHA-256 {known[:12]}...", found=f"{found[:12]}...",
                    fix="Choose another --output_folder, or delete this run",
                )  # fmt: skip

    def provenance(self) -> dict[str, Any]:
        """What a model of this run was made from: no folder of this machine, no name of a person."""
        names = ("recipe", "hyperparameters", "versions", "commit", "checksums")
        found = {name: self.record[name] for name in names}
        values = {key: FOLDERS.sub("", text) for key, text in found["hyperparameters"].items()}
        return found | {"hyperparameters": values}


def open_run(folder: Path, path: Path, resolved: str, argv: Sequence[str], run_opts: RunOptions) -> Run:
    """The run in `folder`, new or to be resumed, of the recipe `path`, whose text is `resolved`.

    Raises `DataError` where it was begun under other hyperparameters.
    """
    decisive = _decisive(path, resolved, folder)
    given = sorted(run_opts.overridden_args - NOT_DECISIVE)
    decisive |= {name: str(getattr(run_opts, name)) for name in given}
    if processes() > 1:
        decisive["processes"] = str(processes())
    fingerprint = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    record = folder / "run.json"
    if record.is_file():
        before = _read_record(record)
        if before["fingerprint"] != fingerprint:
            old = before["hyperparameters"]
            changed = [k for k in sorted(old.keys() | decisive.keys()) if old.get(k) != decisive.get(k)]
            # An object that differs because of a value that has a key of its own is no news.
            changed = [k for k in changed if not re.search(r"(^|\s)!", decisive.get(k, ""))] or changed
            raise DataError(
                f"the run in this folder was begun with another {', '.join(changed)}", file=record,
                expected=", ".join(f"{k}: {old.get(k)}" for k in changed),
                found=", ".join(f"{k}: {decisive.get(k)}" for k in changed),
                fix="Choose another --output_folder, or delete this one",
            )  # fmt: skip
        return Run(folder, before, resolved)
    run = {
        "recipe": path.name,
        "arguments": list(argv),
        "seed": int(top_level(path, resolved)["seed"][1].value),
        "fingerprint": fingerprint,
        "hyperparameters": decisive,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "commit": _commit(path),
        "machine": f"{platform.machine()}, {platform.system()}",
        "checksums": {},
    }
    return Run(folder, run, resolved)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["fingerprint"], record["hyperparameters"], record["checksums"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            "the record of this run is damaged", file=path, expected="what an earlier call wrote",
            found=str(error), fix="Choose another --output_folder, or delete this one",
        ) from error  # fmt: skip
    return record


def _decisive(path: Path, resolved: str, folder: Path) -> dict[str, str]:
    """Top-level key -> canonical text of its value, for the keys that decide the result."""
    texts = {}
    for key, (_, value) in top_level(path, resolved).items():
        if key not in NOT_DECISIVE:
            texts[key] = re.sub(r"\s+", " ", yaml.serialize(value)).strip().removesuffix(" ...")
    # Only as the beginning of a path: a folder may be called as any value is.
    own = re.compile(rf"(?<![\w./-]){re.escape(str(folder))}(?=/)")
    return {key: own.sub("<output_folder>", text) for key, text in texts.items()}


def _commit(path: Path) -> str | None:
    """The checkout's commit, marked where files differ from it; None outside a checkout."""
    git = ["git", "-C", str(path.resolve().parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + (" with changes" if dirty.stdout.strip() else "")
