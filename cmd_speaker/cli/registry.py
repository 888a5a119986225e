"""`cmd-speaker enroll`, `identify` and `forget`: a registry of speakers."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmd_speaker.cli.app import Convert, Device, Json, app
from cmd_speaker.cli.decide import Point, Rule, find_rule, warn, warn_uncalibrated
from cmd_speaker.errors import DataError, DataErrors, UsageError

if TYPE_CHECKING:
    from cmd_speaker.decision import Decider
    from cmd_speaker.model import SpeakerModel
    from cmd_speaker.registry import Registry

Folder = Annotated[Path, typer.Argument(metavar="REGISTRY", help="A registry's folder.")]
Model = Annotated[
    Path | None,
    typer.Option(help="The model folder; not needed while it lies where the registry saw it last."),
]


@app.command()
def enroll(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="Whose voice it is.")],
    files: Annotated[list[Path], typer.Argument(help="Recordings of that speaker alone.")],
    model: Model = None,
    convert: Convert = False,
    device: Device = "cpu",
) -> None:
    """Enrol a speaker, or more recordings of one; what cannot be read is listed and the rest is enrolled."""
    from cmd_speaker.decision import embed_recording
    from cmd_speaker.files import file_checksum
    from cmd_speaker.progress import track
    from cmd_speaker.registry import Enrolled, check_name

    registry, loaded = _open(folder, model, device, new=True)
    check_name(name)
    errors = []
    for file in track(files, "Enrolling", len(files)):
        try:
            recording = embed_recording(loaded, file, convert=convert)
            registry = registry.enrol(name, [Enrolled(file.name, file_checksum(file), recording)])
        except DataError as error:
            errors.append(error)
    if len(errors) < len(files):
        registry.save()
        own = len(registry.speakers[name])
        print(f"{name}: {own} recordings; {len(registry.speakers)} speakers in {folder}", file=sys.stderr)
    if errors:
        raise DataErrors(f"{len(errors)} of {len(files)} recordings left out", errors)


@app.command()
def identify(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="An audio file.")],
    model: Model = None,
    point: Point = None,
    convert: Convert = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Who is it, of those enrolled, or nobody? Exit code 0: somebody, or nothing to decide by; 1: nobody.

    The prior of --point is that the speaker is enrolled at all; each of N names has an N-th of it. Decided
    by the calibration of the registry, else by that of the model.
    """
    from cmd_speaker.decision import embed_recording

    registry, loaded = _open(folder, model, device)
    if not registry.speakers:
        raise DataError("nobody is enrolled", file=folder, fix="Begin with cmd-speaker enroll")
    decider, place = _decider(folder, model or registry.model_folder(), loaded.checksum)
    rule = find_rule(decider.calibration, point, None)
    if rule is not None:
        rule = replace(rule, threshold=rule.threshold + math.log(len(registry.speakers)))
    speakers = [[each.recording for each in own] for own in registry.speakers.values()]
    compared = decider.compare(speakers, embed_recording(loaded, file, convert=convert))
    warn([*decider.warnings, *compared.warnings])
    if rule is None:
        warn_uncalibrated(place)
    ratios = [None] * len(speakers) if compared.llrs is None else compared.llrs.tolist()
    candidates = zip(registry.speakers, compared.scores.tolist(), ratios, strict=True)
    found = sorted(candidates, key=_rank, reverse=True)
    known = _report(found, rule, as_json)
    if known is False:
        raise typer.Exit(1)


@app.command()
def forget(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="Whose recordings are deleted.")],
) -> None:
    """Delete a speaker from a registry, embeddings included."""
    from cmd_speaker.registry import load_registry

    registry = load_registry(folder).forget(name)
    registry.save()
    print(f"{name} is forgotten; {len(registry.speakers)} speakers in {folder}", file=sys.stderr)


Candidate = tuple[str, float, float | None]
"""A name, its score, and its log-likelihood ratio where there is a calibration."""


def _rank(candidate: Candidate) -> float:
    _, score, llr = candidate
    return score if llr is None else llr


def _report(found: list[Candidate], rule: Rule | None, as_json: bool) -> bool | None:
    """Print who it is, the likeliest first; whether it is anybody, None where nothing decides."""
    known = None if rule is None else _rank(found[0]) >= rule.threshold
    if as_json:
        decided = rule.as_dict() if rule else {"threshold": None, "point": None}
        candidates = [{"name": name, "score": score, "llr": llr} for name, score, llr in found]
        name = found[0][0] if known else None
        print(json.dumps({"known": known, "name": name, **decided, "candidates": candidates}))
        return known
    if rule is not None:
        print(f"{found[0][0] if known else 'nobody who is enrolled'}  ({rule})")
    for name, score, llr in found:
        print(f"  {name}  score {score:.4f}{'' if llr is None else f'  LLR {llr:+.2f}'}")
    return known


def _open(
    folder: Path, model: Path | None, device: str, *, new: bool = False
) -> tuple[Registry, SpeakerModel]:
    """The registry with its model, from `model` or from where it was last seen; `new`: one may be begun."""
    from cmd_speaker.model import SpeakerModel
    from cmd_speaker.registry import FILE_NAME, Registry, load_registry, relative_to

    begins = new and not (folder / FILE_NAME).exists()
    if begins and model is None:
        raise UsageError(f"{folder} is a new registry: say with --model which model it is for")
    registry = None if begins else load_registry(folder)
    place = model or (registry.model_folder() if registry else folder)
    if model is None and not place.is_dir():
        raise DataError(
            "the registry's model is not where it was", file=folder, expected=place, found="nothing",
            fix="Say with --model where it is now",
        )  # fmt: skip
    loaded = SpeakerModel.load(place, device)
    if registry is None:
        return Registry(folder, loaded.checksum, relative_to(folder, place)), loaded
    registry.check_model(loaded.checksum, place)
    return replace(registry, model_path=relative_to(folder, place)), loaded


def _decider(folder: Path, model: Path, checksum: str) -> tuple[Decider, Path]:
    """The registry's own calibration with its back-end, else the model's; and where it lies."""
    from cmd_speaker.decision import Decider

    own = Decider.load(folder, checksum)
    return (own, folder) if own.calibration is not None else (Decider.load(model, checksum), model)
