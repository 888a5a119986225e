"""Quality computed once: a manifest's measures, as columns of it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.files import write_atomically
from cmd_speaker.hearing import read_utterance
from cmd_speaker.manifest import Manifest, Utterance, read_rows, resolve
from cmd_speaker.progress import track
from cmd_speaker.quality import image, speech, text
from cmd_speaker.teachers.pictures import pictures_at, read_picture

MEASURED_IN = {
    **dict.fromkeys(speech.MEASURES, "wav"),
    **dict.fromkeys(image.MEASURES, "face"),
    **dict.fromkeys(text.MEASURES, "text"),
}
"""The manifest's column that each measure looks at."""
Values = dict[str, float]
Item = TypeVar("Item")


def choose(manifest: Manifest, names: Sequence[str]) -> list[str]:
    """The measures asked for, or without any all that the manifest has the inputs of.

    Raises `UsageError` for a name that is no measure, `DataError` where the manifest lacks the column it looks at.
    """
    if unknown := [name for name in names if name not in MEASURED_IN]:
        raise UsageError(f"--measure: expected {', '.join(MEASURED_IN)}, found '{unknown[0]}'")
    has = {"wav", *manifest.utterances[0].fields}
    chosen = [name for name in MEASURED_IN if (name in names if names else MEASURED_IN[name] in has)]
    for name in chosen:
        if MEASURED_IN[name] != "wav":
            manifest.column(MEASURED_IN[name])
    return chosen


def write_measured(
    manifest: Manifest, names: Sequence[str], out: str | Path, data_root: str | Path | None = None
) -> list[DataError]:
    """Write the manifest to `out` with the columns `names` added; those that it has already are measured anew.

    Paths stay as they are. A row whose recording or picture cannot be read is left out and its error, with
    its row, is in the result; a row without face or text has an empty value there. The face of a row may be a
    folder: then the value is the mean over its pictures. Raises `DataErrors` where no row is left.
    """
    errors: list[DataError] = []
    columns, rows = read_rows(manifest.path)
    columns = [*columns, *(name for name in names if name not in columns)]
    with write_atomically(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for (number, row), found in zip(rows, _measure_all(manifest, names, data_root), strict=True):
            if isinstance(found, DataError):
                errors.append(found.at(manifest.path, number))
            else:
                writer.writerow(row | {name: f"{value:.6g}" for name, value in found.items()})
        if len(errors) == len(rows):
            raise DataErrors(f"{manifest.path}: none of {len(rows)} rows can be measured", errors)
    return errors


def measure_speech(samples: np.ndarray, names: Sequence[str]) -> Values:
    """The measures `names` of one recording [samples] at 16 kHz."""
    waveform = torch.from_numpy(samples)[None]
    return {name: float(speech.MEASURES[name](waveform)) for name in names}


def measure_face(place: Path, names: Sequence[str]) -> Values:
    """The measures `names` of a picture, or the mean of those in a folder; raises `DataError` as reading does."""
    pictures = [read_picture(path) for path in pictures_at(place)]
    return {name: float(np.mean([image.MEASURES[name](each) for each in pictures])) for name in names}


def _measure_all(
    manifest: Manifest, names: Sequence[str], data_root: str | Path | None
) -> Iterator[Values | DataError]:
    """One result an utterance, in order."""
    of_speech, of_faces, of_texts = (
        [name for name in names if MEASURED_IN[name] == column] for column in ("wav", "face", "text")
    )
    faces = _measure_faces(manifest, of_faces, data_root) if of_faces else {}

    def measure(utterance: Utterance) -> Values:
        values = measure_speech(read_utterance(utterance), of_speech) if of_speech else {}
        if of_faces and utterance.fields["face"]:
            found = faces[utterance.fields["face"]]
            if isinstance(found, DataError):
                raise found
            values |= found
        if of_texts and utterance.fields["text"]:
            values |= {name: text.MEASURES[name](utterance.fields["text"]) for name in of_texts}
        return values

    yield from _track(measure, manifest.utterances, f"Measuring {manifest.path.name}")


def _measure_faces(
    manifest: Manifest, names: Sequence[str], data_root: str | Path | None
) -> dict[str, Values | DataError]:
    """By the value of the column `face`: each picture is looked at once, however many utterances name it."""
    users: Mapping[str, Utterance] = {u.fields["face"]: u for u in reversed(manifest.utterances)}
    named = [value for value in users if value]

    def measure(value: str) -> Values:
        return measure_face(resolve(value, data_root, manifest.path, users[value].row), names)

    return dict(zip(named, _track(measure, named, "Measuring pictures"), strict=True))


def _track(
    measure: Callable[[Item], Values], items: Sequence[Item], description: str
) -> Iterator[Values | DataError]:
    with ThreadPoolExecutor() as pool:
        yield from track(pool.map(partial(_or_error, measure), items), description, len(items))


def _or_error(measure: Callable[[Item], Values], item: Item) -> Values | DataError:
    try:
        return measure(item)
    except DataError as error:
        return error
