"""Embeddings of a long list: in parts that survive a kill, by one process or several, joined into one file.

While `OUT` is not finished, `OUT.parts` holds `settings.json`, which says of what the parts are, and a file for
each part. Whoever finds all parts there joins them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from cmd_speaker.embeddings import Embeddings, check_savable, save_embeddings
from cmd_speaker.encoder import READ_AHEAD
from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.extraction_parts import Part, is_done, load_part, save_part
from cmd_speaker.files import json_checksum, load_stamped, locked, save_stamped, write_mistakes
from cmd_speaker.hearing import Hearing
from cmd_speaker.inputs import Inputs
from cmd_speaker.manifest import Utterance
from cmd_speaker.model import SpeakerModel
from cmd_speaker.progress import track

VERSION = 1
PART = READ_AHEAD
"""Utterances of a part: what a kill can cost. As many as are held at once: a part's end costs nothing."""
LONG_PART = 8
"""Of recordings in windows: each is embedded alone, and may last hours."""
SETTINGS = "settings.json"
LEFT_OUT = "left_out.txt"
"""What could not be embedded, a line each, once all is done."""


@dataclass(frozen=True)
class Shard:
    """Which parts are this process's: every `count`-th, from the `number`-th on; the first is 1."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(f"--shard: expected I/N with I from 1 to N, found {self}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`I/N`; raises `UsageError` for anything else."""
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise UsageError(f"--shard: expected I/N, such as 1/4, found '{text}'")
        return cls(int(number), int(count))

    @classmethod
    def of_process(cls, environment: Mapping[str, str]) -> Shard:
        """That of a process which `torchrun` started; all of the list for any other."""
        if "RANK" not in environment or "WORLD_SIZE" not in environment:
            return cls()
        rank, count = environment["RANK"], environment["WORLD_SIZE"]
        if not (rank.isdecimal() and count.isdecimal() and int(rank) < int(count)):
            raise UsageError(f"RANK and WORLD_SIZE are set, but not as torchrun does: '{rank}' and '{count}'")
        return cls(int(rank) + 1, int(count))


@dataclass
class Extracted:
    """What an extraction came to: `embeddings` is None where this call did not join the parts.

    `missing` parts are still to be done, perhaps by others; None where there are fewer parts than shares, and none
    for this one.

    `files` and `seconds` of audio are what this call embedded, in `wall` seconds; `kept` and `length` are of all:
    the seconds that were embedded, and how long those recordings are.
    """

    embeddings: Embeddings | None = None
    errors: list[DataError] = field(default_factory=list)
    missing: int | None = 0
    files: int = 0
    seconds: float = 0.0
    wall: float = 0.0
    kept: float = 0.0
    length: float = 0.0

    @property
    def speed(self) -> str:
        wall = max(self.wall, 1e-3)
        return f"{self.files / wall:.1f} files/s, {self.seconds / wall:.0f} x real time"


def extract(
    model: SpeakerModel, inputs: Inputs, out: Path, hearing: Hearing | None = None, shard: Shard | None = None
) -> Extracted:
    """Do what is not done yet of this process's share, and write `out` once all is done.

    The same list and model give the same bytes, however often it was killed and by however many processes it was
    done. Where something was left out the parts stay: only those with a file that was changed are done again.
    Raises what `check_savable` does before anything is embedded, `DataError` where `OUT.parts` was begun for
    something else, and `DataErrors` where nothing can be embedded.
    """
    check_savable(out, [each.id for each in inputs.utterances], [inputs.list_path])
    folder = parts_folder(out)
    hearing, shard = hearing or Hearing(), shard or Shard()
    hearing.check()
    parts = _parts(folder, inputs.utterances, PART if hearing.window is None else LONG_PART)
    own = dict(list(parts.items())[shard.number - 1 :: shard.count])
    if not own:
        return Extracted(missing=None)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        made_of = _check_settings(folder, model, inputs.utterances, hearing)
    found = _fill(own, folder, made_of, model, inputs, hearing)
    with locked(folder):
        if folder.is_dir():
            _join(found, folder, parts, made_of, out, model)
    return found


def local_device(device: str, environment: Mapping[str, str]) -> str:
    """Of several processes that `torchrun` started on a machine, each takes a GPU of its own."""
    return f"cuda:{environment['LOCAL_RANK']}" if device == "cuda" and "LOCAL_RANK" in environment else device


def parts_folder(out: Path) -> Path:
    """Where the parts of an embeddings file lie until it is finished."""
    return out.with_name(f"{out.name}.parts")


def _check_settings(
    folder: Path, model: SpeakerModel, utterances: Sequence[Utterance], hearing: Hearing
) -> str:
    """Write down of what `folder` holds parts, or raise `DataError` where it is something else; its checksum."""
    # Where the files lie may differ from machine to machine.
    rows = [[each.id, each.wav.name, each.duration, each.start, each.stop] for each in utterances]
    known = f"{len(rows)} utterances of SHA-256 {json_checksum(rows)}"
    settings = {"model": model.checksum, "engine": model.engine, "list": known, **asdict(hearing)}
    path, fix = (
        folder / SETTINGS,
        f"Delete {folder}, choose another name for the embeddings, or call as before",
    )
    if not path.exists():
        save_stamped(path, VERSION, {"settings": settings})
        return json_checksum(settings)
    stored = load_stamped(path, VERSION, "record of an extraction", lambda content: content["settings"], fix)
    different = [name for name in settings if stored.get(name) != settings[name]]
    if different:
        raise DataError(
            f"the parts are of another {' and another '.join(different)}", file=folder,
            expected=", ".join(f"{name} {settings[name]}" for name in different),
            found=", ".join(f"{name} {stored.get(name)}" for name in different), fix=fix,
        )  # fmt: skip
    return json_checksum(settings)


def _parts(folder: Path, utterances: Sequence[Utterance], size: int) -> dict[Path, Sequence[Utterance]]:
    starts = range(0, len(utterances), size)
    return {folder / f"{start:09}.npz": utterances[start : start + size] for start in starts}


def _fill(
    own: Mapping[Path, Sequence[Utterance]],
    folder: Path,
    made_of: str,
    model: SpeakerModel,
    inputs: Inputs,
    hearing: Hearing,
) -> Extracted:
    """Write the parts that are not there yet or whose files were changed, each whole or not at all."""
    pending = []
    for path, utterances in track(own.items(), "Looking at what is done", len(own)):
        with locked(folder):
            if not is_done(path, utterances, made_of):
                pending.append((path, utterances))
    found, began = Extracted(), time.perf_counter()

    def done() -> Iterator[None]:
        for path, utterances in pending:
            part = Part.of(utterances, made_of)
            made = model.embed_utterances(
                utterances, part.errors.append, hearing=hearing, list_path=inputs.list_path
            )
            for name, recording in made:
                part.recordings[name] = recording
                found.files += 1
                found.seconds += recording.length or recording.seconds
                found.wall = time.perf_counter() - began
                yield
            with locked(folder):
                if not folder.is_dir():
                    return  # Another call has done the same, and joined all.
                save_part(path, part)

    total = sum(len(utterances) for _, utterances in pending)
    for _ in track(done(), "Embedding", total, lambda: found.speed):
        pass
    return found


def _join(
    found: Extracted,
    folder: Path,
    parts: Mapping[Path, Sequence[Utterance]],
    made_of: str,
    out: Path,
    model: SpeakerModel,
) -> None:
    """Write `out` where all parts are there; else count those that are missing."""
    found.missing = sum(not path.is_file() for path in parts)
    if found.missing:
        return
    recordings: dict[str, np.ndarray] = {}
    for path, utterances in parts.items():
        part = load_part(path, utterances, made_of)
        recordings |= {name: each.embedding for name, each in part.recordings.items()}
        found.errors += part.errors
        found.kept += sum(each.seconds for each in part.recordings.values())
        found.length += sum(each.length or each.seconds for each in part.recordings.values())
    write_mistakes(folder / LEFT_OUT, found.errors)
    if not recordings:
        shutil.rmtree(folder)
        raise DataErrors("no utterance could be embedded", found.errors)
    found.embeddings = Embeddings(list(recordings), np.stack(list(recordings.values())), model=model.checksum)
    save_embeddings(out, found.embeddings)
    if not found.errors:
        shutil.rmtree(folder)
