"""A training manifest's audio, packed into WebDataset shards."""

from __future__ import annotations

import json
import math
import re
import tarfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import escape
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmd_speaker.ahead import ahead
from cmd_speaker.audio import (
    SAMPLE_RATE,
    AudioPlace,
    Embedded,
    check_length,
    check_segment,
    probe,
    read_audio,
)
from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.files import file_checksum, locked, write_atomically, write_mistakes
from cmd_speaker.headers import probe_fit
from cmd_speaker.manifest import Manifest, Utterance
from cmd_speaker.progress import track
from cmd_speaker.shards.index import (
    INDEX,
    LEFT_OUT,
    Index,
    Packing,
    Sample,
    load_index,
    sample_name,
    save_index,
)

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Packed:
    """What a folder of shards holds, and what is wrong with the rest of the manifest."""

    index: Index
    left_out: Sequence[DataError]


class _Entry(NamedTuple):
    """An utterance that is ready to be packed."""

    row: int
    utterance: Utterance
    audio: bytes
    samples: int

    @property
    def extension(self) -> str:
        """Of the audio file, in the form that WebDataset knows; a segment is a wav."""
        if self.audio[:4] == b"RIFF":
            return "wav"
        return re.sub(r"[^a-z0-9]", "", self.utterance.wav.suffix.lower()) or "audio"

    @property
    def about(self) -> bytes:
        """The sample's json: the manifest's columns but for where the audio lay."""
        each = self.utterance
        told = {"ID": each.id, "spk_id": each.spk_id, "duration": each.duration, **each.fields}
        return json.dumps(told).encode()


Read = Callable[[int], _Entry | DataError]
"""Reads a row of the manifest."""


def pack(manifest: Manifest, out: str | Path, *, shard_size: float = 1000, full: bool = False) -> Packed:
    """Fill the folder `out` with shards of at most `shard_size` MB, the manifest's order kept, and their index.

    A sample is KEY.EXT, the audio file byte for byte, and KEY.json (see `cmd_speaker.shards.index.sample_name`). A
    segment of a longer file becomes a wav of its own that gives the same samples. The same manifest and files
    give the same bytes. A folder that an earlier call left unfinished is gone on with, its finished shards as they
    are. Headers are read, and with `full` everything is decoded: what cannot be trained on is left out and listed,
    in `left_out.txt` too; given again, the call looks at it again.

    Raises `UsageError` for a size that cannot be, `DataError` for a folder that holds another packing and where
    the system refuses to write, `DataErrors` where nothing at all can be packed.
    """
    if not 0 < shard_size < math.inf:
        raise UsageError(f"shard size {shard_size}: expected a number of MB above 0")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    read = partial(_read, manifest, full)
    with locked(folder, waiting=f"{folder}: another call packs here, waiting for it"):
        size = round(shard_size * MEGABYTE)
        index = _begun(folder, Packing(file_checksum(manifest.path), len(manifest), size, full))
        for name in (f"{escape(manifest.path.stem)}-*.tar", INDEX, LEFT_OUT):
            # Of a call that was killed; nobody else writes here now.
            for temporary in folder.glob(f".{name}.*.tmp"):
                temporary.unlink()
        index, left_out = _look_again(index, read)
        rows = range(index.rows_done, len(manifest))
        entries = track(ahead(read, rows), f"Packing {manifest.path.name}", len(rows))
        index = _write_shards(index, folder, manifest, _good(entries, left_out))
        write_mistakes(folder / LEFT_OUT, left_out)
    if not len(index):
        raise DataErrors(f"{manifest.path}: none of {len(manifest)} utterances can be packed", left_out)
    return Packed(index, left_out)


def _begun(folder: Path, packing: Packing) -> Index:
    """What an earlier call finished: the first shards that still have their size."""
    if not (folder / INDEX).is_file():
        index = Index.empty(packing)
        save_index(index, folder)
        return index
    index = load_index(folder)
    if index.packing != packing:
        raise DataError(
            "this folder holds another packing", file=folder / INDEX, expected=packing, found=index.packing,
            fix="Choose another folder, or delete this one",
        )  # fmt: skip
    paths = [folder / name for name in index.shards]
    whole = [
        path.is_file() and path.stat().st_size == size for path, size in zip(paths, index.sizes, strict=True)
    ]
    return index.first_shards([*whole, False].index(False))


def _look_again(index: Index, read: Read) -> tuple[Index, list[DataError]]:
    """What was left out may be there now: then its shard, and those after it, are made again."""
    left_out = []
    absent = np.setdiff1d(np.arange(index.rows_done), index.column("row")).tolist()
    again = track(ahead(read, absent), "Looking again at what was left out", len(absent))
    for row, found in zip(absent, again, strict=True):
        if isinstance(found, _Entry):
            index = index.first_shards(bisect_right(index.until, row))
            break
        left_out.append((row, found))
    return index, [error for row, error in left_out if row < index.rows_done]


def _write_shards(index: Index, folder: Path, manifest: Manifest, entries: Iterator[_Entry]) -> Index:
    """Write what is left of the manifest, and the index after each shard."""
    entry = next(entries, None)
    while entry is not None:
        number = len(index.shards)
        path = folder / f"{manifest.path.stem}-{number:06}.tar"
        samples: list[Sample] = []
        with (
            write_atomically(path) as temporary,
            tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            while entry and (not samples or tar.offset + _size(entry) <= index.packing.shard_size):
                samples.append(_add(tar, entry, number))
                entry = next(entries, None)
        until = len(manifest) if entry is None else entry.row
        index = index.with_shard(path.name, path.stat().st_size, until, samples)
        save_index(index, folder)
    return index


def _add(tar: tarfile.TarFile, entry: _Entry, shard: int) -> Sample:
    name = sample_name(entry.utterance.id)
    # The header of a plain name is one block.
    offset = tar.offset + tarfile.BLOCKSIZE
    for extension, content in ((entry.extension, entry.audio), ("json", entry.about)):
        # By default the time, the user and the group are 0.
        member = tarfile.TarInfo(f"{name}.{extension}")
        member.size = len(content)
        tar.addfile(member, BytesIO(content))
    each = entry.utterance
    return Sample(each.id, entry.row, shard, offset, len(entry.audio), each.start, entry.samples)


def _size(entry: _Entry) -> int:
    """Bytes that an entry takes in a shard."""
    blocks = [1 - len(content) // -tarfile.BLOCKSIZE for content in (entry.audio, entry.about)]
    return sum(blocks) * tarfile.BLOCKSIZE


def _good(found: Iterable[_Entry | DataError], left_out: list[DataError]) -> Iterator[_Entry]:
    """The entries; errors are appended to `left_out`."""
    for each in found:
        if isinstance(each, DataError):
            left_out.append(each)
        else:
            yield each


def _read(manifest: Manifest, full: bool, row: int) -> _Entry | DataError:
    """An error is returned, so that the other utterances are still looked at."""
    utterance = manifest.utterances[row]
    try:
        audio, samples = _audio(utterance, full)
    except DataError as error:
        return error.at(manifest.path, utterance.row)
    return _Entry(row, utterance, audio, samples)


def _audio(utterance: Utterance, full: bool) -> tuple[bytes, int]:
    """The bytes that are packed for an utterance, and its length in samples.

    Raises `DataError` where it cannot be trained on.
    """
    path, start = utterance.wav, utterance.start
    place: AudioPlace = path
    content = b""
    if start == 0:
        try:
            content = path.read_bytes()
        except OSError:
            probe(path)  # says what is wrong
            raise
        place = Embedded(path, partial(BytesIO, content))
    info = probe_fit(place)
    end = check_segment(info.samples, start, utterance.stop, path)
    check_length(end - start, end - start, SAMPLE_RATE, utterance.duration, path)
    segment = (start, end) != (0, info.samples)
    if full or segment:
        samples = read_audio(place, start=start, stop=end, seconds=utterance.duration)
        content = _as_wav(samples) if segment else content
    return content, end - start


def _as_wav(samples: np.ndarray) -> bytes:
    """A wav that gives these samples back: in 16 bits where they came from 16, else in floating point."""
    from scipy.io import wavfile

    scaled = samples * 32768
    exact = bool((scaled == np.rint(scaled)).all()) and scaled.min() >= -32768 and scaled.max() <= 32767
    file = BytesIO()
    # soundfile would write the time into a wav of floating point.
    wavfile.write(file, SAMPLE_RATE, scaled.astype(np.int16) if exact else samples)
    return file.getvalue()
