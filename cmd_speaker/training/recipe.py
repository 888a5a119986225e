"""Opening a recipe: its YAML, checked, and the folder of one run."""

from __future__ import annotations

import functools
import inspect
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.error import YAMLError as RuamelError
from speechbrain.utils.distributed import infer_device
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.seed import seed_everything
from speechbrain.utils.train_logger import TrainLogger
from torch import nn

from cmd_speaker.audio import MIN_SECONDS
from cmd_speaker.encoder import check_device
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.features import FRONT_ENDS
from cmd_speaker.students import STUDENTS
from cmd_speaker.teachers.head import HEAD_KINDS
from cmd_speaker.teachers.modalities import MODALITIES
from cmd_speaker.training.initialise import initialise_student
from cmd_speaker.training.objective import Distillation
from cmd_speaker.training.options import RUN_OPTIONS, plain_value, read_options, suggest, top_level
from cmd_speaker.training.processes import join_processes, processes
from cmd_speaker.training.run import Run, open_run
from cmd_speaker.training.schedule import SCHEDULE, is_schedule

REQUIRED_KEYS = {
    "seed", "output_folder", "number_of_epochs", "batch_size", "crop_seconds", "front_end", "student",
    "identity", "optimizer", "lr_schedule", "epoch_counter", "train_logger", "validation_interval",
}  # fmt: skip
SHARED_KEYS = {"data_folder", "cache_folder", "shards", "teacher_folder"}
"""Folders that the variants of one recipe have in common."""
OPTIONAL_KEYS = {
    "cache_folder", "teacher_folder", "num_workers", "wav_augment", "feature_augment", "identity_margin",
    "sample_inputs", "joint_teachers", "teacher_head", "init_from", "shards",
}  # fmt: skip
TEACHER_KEYS = {"teachers", "distillation", "permute_teacher", "rebuild_bank"}
"""Required where one of them is there."""
LEAST: dict[str, tuple[Any, float]] = {
    "seed": (int, 0), "number_of_epochs": (int, 1), "batch_size": (int, 2), "validation_interval": (int, 1),
    "crop_seconds": ((int, float), MIN_SECONDS), "num_workers": (int, 0), "validation_speakers": (int, 0),
    "training_speakers": (int, 0), "utterances_per_speaker": (int, 0), "test_speakers": (int, 0),
    "corpus_seed": (int, 0),
    "embedding_size": (int, 2), "width": (int, 8), "n_mels": (int, 8), "peak_lr": ((int, float), 0),
    "weight_decay": ((int, float), 0),
}  # fmt: skip
"""Kind and least value of the numbers that recipes have, where they have them."""
SCHEDULES = {
    "identity_margin", "margin", "feature_weight", "classifier_weight", "text_teacher", "face_teacher",
    "vector_teacher",
}  # fmt: skip
"""Numbers that may also change with the step, where recipes have them."""
OBJECTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "front_end": (lambda value: type(value) in FRONT_ENDS.values(), "one of cmd_speaker.features.FRONT_ENDS"),
    "student": (lambda value: type(value) in STUDENTS.values(), "one of cmd_speaker.students.STUDENTS"),
    "teachers": (
        lambda value: _are(value, lambda each: getattr(each, "modality", None) in MODALITIES),
        "a teacher for each name",
    ),
    "distillation": (
        lambda value: _are(value, lambda each: isinstance(each, Distillation)),
        "a Distillation for each teacher",
    ),
    "identity": (callable, "!name: of a classifier"),
    "optimizer": (callable, "!name: of an optimizer"),
    "lr_schedule": (callable, "a schedule"),
    "epoch_counter": (lambda value: isinstance(value, EpochCounter), "an EpochCounter"),
    "train_logger": (lambda value: isinstance(value, TrainLogger), "a TrainLogger"),
    "sample_inputs": (lambda value: isinstance(value, bool), "True or False"),
    "teacher_head": (lambda value: value in HEAD_KINDS, f"one of {', '.join(HEAD_KINDS)}"),
    "joint_teachers": (lambda value: isinstance(value, list), "a list of teachers' names"),
    "wav_augment": (lambda value: value is None or callable(value), "an augmenter or null"),
    "feature_augment": (lambda value: value is None or callable(value), "an augmenter or null"),
}
"""What a key must hold, and its name in words."""


@dataclass
class Recipe:
    """A recipe that was opened: `hparams` are the YAML's objects, `run` is the record of this run."""

    hparams: dict[str, Any]
    run_opts: RunOptions
    run: Run
    argv: Sequence[str]
    own_keys: Collection[str]
    command: str
    """The command that was given, for messages that say how to repeat it."""

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def batches_at_once(self) -> int:
        """The batches of one step of the optimiser: of every process, times those accumulated."""
        return processes() * _option("grad_accumulation_factor", self.run_opts, self.hparams)

    def variant(self, name: str, values: Mapping[str, Any]) -> Recipe:
        """The same recipe with other `values`: a run in `RUN/NAME` that shares the folders `SHARED_KEYS`."""
        shared = {key: self.hparams[key] for key in SHARED_KEYS if key in self.hparams}
        changed = {**shared, **values, "output_folder": self.folder / name}
        texts = {key: "" if value is None else str(value) for key, value in changed.items()}
        more = [part for key, text in texts.items() for part in (f"--{key}", text)]
        return replace(open_recipe([*self.argv, *more], self.own_keys), command=self.command)


def open_recipe(argv: Sequence[str], own_keys: Collection[str] = ()) -> Recipe:
    """Open `HPARAMS.yaml [--key value ...]` as SpeechBrain's recipes do, and make the run's folder.

    `own_keys` are the keys that the recipe's `train.py` reads itself; all of them must be there. The random
    state is seeded before anything is built. Raises `UsageError` for a wrong option and `DataError` for a
    wrong YAML, naming its line.
    """
    if not argv or not Path(argv[0]).is_file():
        raise DataError(
            "no such recipe", file=argv[0] if argv else None, expected="a hyperparameter YAML first"
        )
    path = Path(argv[0])
    run_opts, overrides = read_options(path, argv[1:])
    _check_keys(path, set(own_keys))
    run_opts = join_processes(run_opts)
    hparams, resolved = _build(path, overrides)
    _check_run_options(run_opts, hparams)
    folder = Path(str(hparams["output_folder"]))
    folder.mkdir(parents=True, exist_ok=True)
    run = open_run(folder, path, resolved, argv, run_opts)
    return Recipe(hparams, run_opts, run, argv, own_keys, f"cmd-speaker train {shlex.join(argv)}")


def check_recipe(argv: Sequence[str]) -> None:
    """Build what `HPARAMS.yaml [--key value ...]` describes, as `open_recipe` would, and leave nothing behind.

    For those who start runs that may last for hours: raises as `open_recipe`, and seeds the random state too.
    """
    path = Path(argv[0])
    run_opts, overrides = read_options(path, argv[1:])
    hparams, _ = _build(path, overrides)
    _check_run_options(run_opts, hparams)


def _check_run_options(run_opts: RunOptions, hparams: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a device that is not there, and for what would end or mislead the training later."""

    def option(name: str) -> Any:
        return _option(name, run_opts, hparams)

    device, precisions = option("device") or infer_device(), {option("precision"), option("eval_precision")}
    check_device(device)
    if unknown := precisions - {"fp32", "bf16", "fp16"}:
        raise UsageError(f"precision {unknown.pop()}: expected fp32, bf16 or fp16")
    if "fp16" in precisions and device == "cpu":
        raise UsageError("--precision fp16 needs a GPU; on a CPU give bf16 or fp32")
    if (accumulated := option("grad_accumulation_factor")) < 1:
        raise UsageError(f"--grad_accumulation_factor {accumulated}: expected at least 1")
    if option("ckpt_interval_minutes") > 0 and option("ckpt_interval_steps") > 0:
        raise UsageError("--ckpt_interval_minutes and --ckpt_interval_steps: give 0 for one of them")
    if option("test_only"):
        raise UsageError("--test_only: recipes train; cmd-speaker embed, score and evaluate test a model")


def _option(name: str, run_opts: RunOptions, hparams: Mapping[str, Any]) -> Any:
    """The value of a run option, which the YAML may have too; the command line comes first."""
    value = getattr(run_opts, name)
    return value if name in run_opts.overridden_args else hparams.get(name, value)


def _build(path: Path, overrides: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The recipe's objects, checked, and its YAML with all references resolved."""
    text = path.read_text(encoding="utf-8")
    try:
        resolved = resolve_references(StringIO(text), overrides).getvalue()
        _check_values(path, resolved)
        seed_everything(int(top_level(path, resolved)["seed"][1].value))
        hparams = load_hyperpyyaml(StringIO(text), overrides)
        _check_objects(hparams)
        if folder := hparams.get("init_from"):
            initialise_student(hparams["student"], hparams["front_end"], folder)
    except (TypeError, ValueError, ImportError, AttributeError, KeyError, AssertionError, ZeroDivisionError,
            RuntimeError, yaml.YAMLError, RuamelError) as error:  # fmt: skip
        raise DataError(
            "the recipe cannot be built", file=path, found=_reason(error), fix=_hint(error)
        ) from error
    return hparams, resolved


def _check_keys(path: Path, own_keys: set[str]) -> None:
    """Every key must be one that recipes read, or be used by another key of the file; none may be missing."""
    nodes = top_level(path)
    lines = [line.partition(" #")[0] for line in path.read_text(encoding="utf-8").split("\n")]
    used = set(re.findall(r"<(\w+)", "\n".join(line for line in lines if not line.startswith("#"))))
    required = REQUIRED_KEYS | own_keys | (TEACHER_KEYS if TEACHER_KEYS & nodes.keys() else set())
    read = required | OPTIONAL_KEYS | TEACHER_KEYS | RUN_OPTIONS
    for key, (row, _) in nodes.items():
        if key not in read | used and not key.startswith("__"):
            raise DataError(
                f"unknown key '{key}'{suggest(key, read | used)}", file=path, row=row,
                expected="a key that recipes read or another key refers to", found=key,
                fix="Correct its spelling or remove it",
            )  # fmt: skip
    if missing := sorted(required - nodes.keys()):
        raise DataError("the recipe lacks keys", file=path, expected=", ".join(missing), found="none of them")


def _check_values(path: Path, resolved: str) -> None:
    """Numbers within their bounds, before anything is built from them; null only where the file has it."""
    nodes, own = top_level(path, resolved), top_level(path)
    for key in sorted((LEAST.keys() | SCHEDULES) & nodes.keys()):
        value = plain_value(nodes[key][1])
        if value is None and plain_value(own[key][1]) is None:
            continue
        if expected := _expected(key, value):
            raise DataError(
                f"bad value of '{key}'", file=path, row=own[key][0],
                expected=expected, found=repr(value), fix=f"Correct it there or give --{key}",
            )  # fmt: skip


def _expected(key: str, value: Any) -> str:
    """What the value should be in words; empty where it is that."""
    if key in SCHEDULES:
        return "" if is_schedule(value) or (key, value) == ("margin", "auto") else SCHEDULE
    kind, least = LEAST[key]
    number = isinstance(value, kind) and not isinstance(value, bool)
    if number and least <= value < float("inf"):
        return ""
    return f"{'a whole number' if kind is int else 'a number'}, at least {least}"


def _check_objects(hparams: dict[str, Any]) -> None:
    """What the training calls must be there now, not after an hour: raises `TypeError` naming the key."""
    for key, (is_right, expected) in OBJECTS.items():
        if key in hparams and not is_right(hparams[key]):
            raise TypeError(f"{key}: expected {expected}, found {hparams[key]!r}")
    _check_names(
        hparams.get("teachers", {}), hparams.get("distillation", {}), hparams.get("joint_teachers", [])
    )
    for key, value in hparams.items():
        if isinstance(value, functools.partial):  # `!name:` only notes its arguments
            try:
                inspect.signature(value.func).bind_partial(**value.keywords)
            except TypeError as error:
                raise TypeError(f"{key}: {error}") from error


def _are(value: Any, is_right: Callable[[Any], bool]) -> bool:
    """Whether `value` is a mapping with right values only."""
    return isinstance(value, dict) and all(is_right(each) for each in value.values())


def _check_names(teachers: Mapping[str, Any], distillation: Mapping[str, Any], joint: Sequence[str]) -> None:
    """Each teacher needs its terms; its name becomes a folder, a module and part of what is logged."""
    if teachers.keys() != distillation.keys():
        raise TypeError(f"distillation: expected {', '.join(teachers)}, found {', '.join(distillation)}")
    for name in teachers:
        if not str(name).isidentifier() or hasattr(nn.ModuleDict, str(name)):
            raise TypeError(f"teachers: expected names like 'text' or 'face', found '{name}'")
    if unknown := [name for name in joint if name not in teachers]:
        raise TypeError(f"joint_teachers: expected some of {', '.join(teachers)}, found {unknown[0]}")


def _reason(error: Exception) -> str:
    return " ".join(str(part) for part in error.args).strip().split("\n")[0].rstrip(".")


def _hint(error: Exception) -> str:
    placeholder = re.search(r"'(\w+)' is a !PLACEHOLDER", str(error))
    return f"Give --{placeholder[1]} VALUE" if placeholder else "Correct the value or the argument's name"
