"""VoxCeleb2's m4a files to 16 kHz mono flac, through ffmpeg: side by side, resumable, whole files only."""

from __future__ import annotations

import csv
import os
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import soundfile

from cmd_speaker import ffmpeg
from cmd_speaker.ahead import ahead
from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.corpora.voxceleb import PARTS, part_of
from cmd_speaker.corpora.voxceleb_tree import packed_files
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import refuse_unwritable, write_atomically
from cmd_speaker.headers import read_header
from cmd_speaker.progress import track

FAILED = "failed.csv"
LENGTH_TOLERANCE = 0.25
"""Seconds. An AAC encoder's delay, up to 2,112 samples, is part of the stated length or is not."""


@dataclass(frozen=True)
class Converted:
    """How many files were converted now or by an earlier run, and how many there are of each part."""

    now: int
    earlier: int
    parts: Mapping[str, int]


def convert(source: str | Path, output: str | Path, workers: int | None = None) -> Converted:
    """Write each `SPEAKER/VIDEO/UTTERANCE.m4a` under `source` as flac, at the same place under `output`.

    A folder called aac becomes flac. `output` may be `source`. A file takes its name when it decodes and is as
    long as its source's header says; one that an earlier run left is kept where its header says the same. So a
    run that was killed is started again. `workers` files are converted at a time; None: one a core.

    Raises `DataError` where ffmpeg is missing or there is nothing to convert, and at the end, with everything
    else done, `DataErrors` with the files that failed; all of them are in `failed.csv` under `output`.
    """
    source, output = Path(source), Path(output)
    ffmpeg.refuse_missing(["ffmpeg"], "m4a files")
    refuse_unwritable(output)
    files = list(track(packed_files(source), "Looking for m4a files"))
    if not files:
        raise DataError(
            "no m4a files", file=source, expected="dev/aac/id00012/VIDEO/00001.m4a ...", found="none",
            fix="Give the folder that VoxCeleb2's archives were unpacked to; wav and flac need no conversion",
        )  # fmt: skip
    workers = workers or os.cpu_count() or 1
    results = ahead(partial(_convert, source, output), files, workers, 4 * workers)
    outcomes: Counter[bool] = Counter()
    parts = {part: 0 for part in PARTS}
    errors = []
    for file, outcome in zip(files, track(results, "Converting", len(files)), strict=True):
        if isinstance(outcome, DataError):
            errors.append(outcome)
            continue
        outcomes[outcome] += 1
        parts[part_of(file.parent.parent.name)] += 1
    _write_failed(output / FAILED, errors)
    if errors:
        done = f"{outcomes.total():,} are done"
        raise DataErrors(f"{len(errors):,} of {len(files):,} files were not converted ({done})", errors)
    return Converted(outcomes[True], outcomes[False], parts)


def m4a_seconds(path: str | Path) -> float:
    """The length that an m4a file states: `moov/trak/mdia/mdhd` (ISO/IEC 14496-12, section 8.4.2).

    Raises `DataError` where there is none.
    """
    with open(path, "rb") as file:
        found = _find_box(file, os.fstat(file.fileno()).st_size, [b"moov", b"trak", b"mdia", b"mdhd"])
        header = file.read(32) if found else b""
    # Version 1 has dates and length in 64 bits.
    form, place = (">IQ", 20) if header[:1] == b"\1" else (">II", 12)
    if len(header) >= place + struct.calcsize(form):
        scale, length = struct.unpack_from(form, header, place)
        if scale and length:
            return length / scale
    raise DataError(
        "not an m4a file", file=path, expected="a header that states the length",
        found=f"none in {os.path.getsize(path):,} bytes", fix="Unpack the archive again",
    )  # fmt: skip


def _find_box(file: BinaryIO, end: int, names: list[bytes]) -> bool:
    """Go to the content of the box at a path of names, the first at each step; False where there is none."""
    while file.tell() + 8 <= end:
        start = file.tell()
        size, name = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
        stop = start + size if size else end
        if name == names[0]:
            return len(names) == 1 or _find_box(file, min(stop, end), names[1:])
        if stop < start + 8:
            return False
        file.seek(stop)
    return False


def _convert(source: Path, output: Path, file: Path) -> bool | DataError:
    """Whether the file was converted now; or what is wrong with it, which does not stop the others."""
    place = file.relative_to(source).with_suffix(".flac")
    target = output.joinpath(*("flac" if name == "aac" else name for name in place.parts))
    try:
        seconds = m4a_seconds(file)
        if target.is_file() and _is_whole(target, seconds):
            return False
        with write_atomically(target) as temporary:
            arguments = ["-nostdin", "-y", "-i", str(file), "-map_metadata", "-1", "-ac", "1"]
            arguments += ["-ar", str(SAMPLE_RATE), "-sample_fmt", "s16", "-fflags", "+bitexact"]
            arguments += ["-flags:a", "+bitexact", "-threads", "1", "-f", "flac", str(temporary)]
            _, problem = ffmpeg.run("ffmpeg", *arguments)
            if problem or not (_is_whole(temporary, seconds) and _decodes(temporary)):
                raise DataError(
                    "not converted", file=file, expected=f"{seconds:.2f} s of flac",
                    found=problem or "a file that is not whole", fix="Unpack the archive again",
                )  # fmt: skip
    except DataError as error:
        return error
    return True


def _is_whole(flac: Path, seconds: float) -> bool:
    try:
        info = read_header(flac)
    except DataError:
        return False
    fits = (info.sample_rate, info.channels) == (SAMPLE_RATE, 1)
    return fits and abs(info.seconds - seconds) <= LENGTH_TOLERANCE


def _decodes(flac: Path) -> bool:
    """Whether a flac file has what its header states, to its end."""
    try:
        return len(soundfile.read(str(flac), dtype="int16")[0]) == read_header(flac).samples
    except soundfile.LibsndfileError:
        return False


def _write_failed(path: Path, errors: list[DataError]) -> None:
    if not errors:
        path.unlink(missing_ok=True)
        return
    with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = [("file", "reason"), *((error.file, str(error)) for error in errors)]
        csv.writer(file, lineterminator="\n").writerows(rows)
