"""`cmd-speaker enroll`, `identify`, `list` and `forget`: a registry of speakers."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmd_speaker.cli.app import Convert, Device, Json, Vad, app
from cmd_speaker.cli.decide import Point, Rule, find_rule, warn, warn_uncalibrated
from cmd_speaker.errors import DataError, DataErrors, UsageError

if TYPE_CHECKING:
    from cmd_speaker.model import SpeakerModel
    from cmd_speaker.registry import Identification, Registry

Folder = Annotated[Path, typer.Argument(metavar="REGISTRY", help="A registry's folder.")]
Model = Annotated[
    Path | None,
    typer.Option(help="The model folder; not needed while it lies where the registry saw it last."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File with the key of an encrypted registry, 64 hexadecimal digits; else it is taken from "
        "CMD_SPEAKER_REGISTRY_KEY. A registry begun with a key is encrypted."
    ),
]


@app.command()
def enroll(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="Whose voice it is.")],
    files: Annotated[list[Path], typer.Argument(help="Recordings of that speaker alone.")],
    model: Model = None,
    key_file: KeyFile = None,
    convert: Convert = False,
    vad: Vad = False,
    device: Device = "cpu",
) -> None:
    """Enrol a speaker, or more recordings of one; what cannot be read is listed and the rest is enrolled.

    Each recording is on disk before the next is read: after a crash, or where the registry itself could not be
    written, the same command does the rest.
    """
    from cmd_speaker.files import file_checksum
    from cmd_speaker.progress import track
    from cmd_speaker.registry import Enrolled
    from cmd_speaker.registry.enrolled import clean_name
    from cmd_speaker.registry.store import RegistryUnusable

    name = clean_name(name)
    registry, loaded, _ = _open(folder, model, key_file, device, new=True)
    with closing(registry):
        errors: list[DataError] = []
        known = 0
        for done, file in enumerate(track(files, "Enrolling", len(files))):
            try:
                checksum = file_checksum(file) if file.is_file() else ""
                if registry.holder(checksum) == name:
                    known += 1
                    continue
                recording = loaded.recording(file, convert=convert, vad=vad)
                registry.enrol(name, [Enrolled(file.name, checksum, recording)])
            except RegistryUnusable as error:
                raise DataErrors(
                    f"{done} of {len(files)} recordings were looked at", [*errors, error]
                ) from error
            except DataError as error:
                errors.append(error)
        own, (speakers, _) = registry.recordings(name), registry.counts()
        before = f" ({known} given were enrolled already)" if known else ""
        print(f"{name}: {own} recordings{before}; {speakers} speakers in {folder}", file=sys.stderr)
    if errors:
        raise DataErrors(f"{len(errors)} of {len(files)} recordings left out", errors)


@app.command()
def identify(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="An audio file.")],
    model: Model = None,
    key_file: KeyFile = None,
    point: Point = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the likeliest are shown.")] = 10,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Search by an index, made for this; its recall is said.")
    ] = False,
    convert: Convert = False,
    vad: Vad = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Who is it, of those enrolled, or nobody? Exit code 0: somebody, or nothing to decide by; 1: nobody.

    The prior of --point is that the speaker is enrolled at all; each of N names has an N-th of it. Decided
    by the calibration of the registry, else by that of the model.
    """

    registry, loaded, place = _open(folder, model, key_file, device)
    with closing(registry):
        decider = registry.decider(place)
        rule = find_rule(decider.calibration, point, None)
        recording = loaded.recording(file, convert=convert, vad=vad)
        decided = rule.point if rule else None
        found = registry.identify(recording, decider, decided, top=top, approximate=approximate)
    warn(found.warnings)
    if rule is None:
        warn_uncalibrated(place)
    _report(found, as_json)
    if found.known is False:
        raise typer.Exit(1)


@app.command(name="list")
def list_speakers(folder: Folder, key_file: KeyFile = None, as_json: Json = False) -> None:
    """Who is enrolled, with how many recordings and how many seconds of them."""
    from cmd_speaker.registry import Registry, read_key

    with Registry.open(folder, read_key(key_file, folder)) as registry:
        speakers = registry.speakers()
        model = registry.model
    if as_json:
        print(json.dumps({"model": model, "speakers": [asdict(speaker) for speaker in speakers]}))
        return
    for speaker in speakers:
        print(f"{speaker.name}  {speaker.recordings} recordings, {speaker.seconds:.1f} s")
    print(f"{len(speakers)} speakers in {folder}, of the model {model[:12]}", file=sys.stderr)


@app.command()
def forget(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="Whose recordings are deleted.")],
    key_file: KeyFile = None,
) -> None:
    """Delete a speaker from a registry: no byte of the name or the voice stays in its folder."""
    from cmd_speaker.registry import Registry, read_key

    with Registry.open(folder, read_key(key_file, folder)) as registry:
        removed = registry.forget(name)
        speakers, _ = registry.counts()
    print(f"{name} is forgotten, {removed} recordings; {speakers} speakers in {folder}", file=sys.stderr)


def _report(found: Identification, as_json: bool) -> None:
    """Print who it is, and the likeliest first."""
    rule = None if found.threshold is None else Rule(found.threshold, found.point)
    if as_json:
        decided = rule.as_dict() if rule else {"threshold": None, "point": None}
        candidates = [asdict(candidate) for candidate in found.candidates]
        answer = {"known": found.known, "name": found.name, "speakers": found.speakers}
        print(json.dumps({**answer, **decided, "candidates": candidates}))
        return
    if rule is not None:
        print(f"{found.name if found.known else 'nobody who is enrolled'}  ({rule})")
    words = {None: "", True: "  yes", False: "  no"}
    for each in found.candidates:
        ratio = "" if each.llr is None else f"  LLR {each.llr:+.2f}"
        print(f"  {each.rank}  {each.name}  score {each.score:.4f}{ratio}{words[each.accepted]}")


def _open(
    folder: Path, model: Path | None, key_file: Path | None, device: str, *, new: bool = False
) -> tuple[Registry, SpeakerModel, Path]:
    """The registry with its model, from `model` or from where it was last seen; `new`: one may be begun."""
    from cmd_speaker.model import SpeakerModel
    from cmd_speaker.registry import Registry, read_key

    key = read_key(key_file, folder)
    if new and model is not None:
        loaded = SpeakerModel.load(model, device)
        return Registry.begin(folder, loaded.checksum, model, key), loaded, model
    if new and not Registry.exists(folder):
        raise UsageError(f"{folder} is a new registry: say with --model which model it is for")
    registry = Registry.open(folder, key)
    try:
        place = model or registry.model_folder()
        if model is None and not place.is_dir():
            raise DataError(
                "the registry's model is not where it was", file=folder, expected=place, found="nothing",
                fix="Say with --model where it is now",
            )  # fmt: skip
        loaded = SpeakerModel.load(place, device)
        registry.check_model(loaded.checksum, place)
    except BaseException:
        registry.close()
        raise
    return registry, loaded, place
