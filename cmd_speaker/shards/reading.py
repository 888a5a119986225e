"""Crops of utterances in shards: read by random access, so order and bits are those of the loose files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tarfile import BLOCKSIZE, HeaderError, TarInfo
from typing import Any, BinaryIO, cast

import numpy as np

from cmd_speaker.audio import DURATION_TOLERANCE, SAMPLE_RATE, Embedded, read_crop
from cmd_speaker.errors import SHOWN_ERRORS, DataError, DataErrors
from cmd_speaker.manifest import Manifest, Utterance
from cmd_speaker.shards.index import INDEX, LEFT_OUT, Index, load_index, sample_name

MOST_OPEN = 256
"""Shards that a process holds open; systems allow 1,024 files and up."""


class Shards:
    """The utterances of a manifest in the shards of `folder`, found by their IDs.

    `places` is [utterances, 3]: shard, offset and size of each.
    """

    faster = "keep decoded audio with --cache_folder DIR in place of --shards"

    def __init__(self, folder: Path, index: Index, manifest: Manifest, places: np.ndarray) -> None:
        self.paths = [folder / name for name in index.shards]
        self.utterances, self.places = manifest.utterances, places
        self.seconds = np.array([each.duration for each in manifest])
        self._process, self._files = 0, dict[int, io.FileIO]()

    @classmethod
    def open(cls, folder: str | Path, manifest: Manifest) -> Shards:
        """Find every utterance of `manifest`, and look whether the shards are those of their index.

        Raises `DataError` for a folder that is no finished packing, `DataErrors` for every utterance that is not
        in it or is another one there, and for every shard that is missing, cut off or of another packing.
        """
        folder = Path(folder)
        index = load_index(folder)
        if not index.complete:
            raise DataError(
                "these shards are not finished", file=folder / INDEX,
                expected=f"{index.packing.utterances} rows of the manifest", found=f"{index.rows_done}",
                fix="Give the command cmd-speaker pack again: it goes on where it was",
            )  # fmt: skip
        samples = _find(index, manifest, folder)
        _check_utterances(index, manifest, folder, samples)
        names = ("shard", "offset", "size")
        found = cls(
            folder, index, manifest, np.stack([index.column(name)[samples] for name in names], axis=1)
        )
        found._check_shards(index.sizes)
        return found

    def crop(self, index: int, length: int, rng: np.random.Generator) -> np.ndarray:
        # Of arrays only: Python's objects, once looked at, are copied into the memory of each worker.
        shard, offset, size = self.places[index].tolist()
        place = Embedded(self.paths[shard], partial(self._part, shard, offset, size))
        try:
            return read_crop(place, length, rng, seconds=float(self.seconds[index]))
        except DataError as error:
            error.file = self.paths[shard] / sample_name(self.utterances[index].id)
            raise

    def __getstate__(self) -> dict[str, Any]:
        # A worker that was not forked opens the shards itself, too.
        return {**self.__dict__, "_files": {}}

    def _part(self, shard: int, offset: int, size: int) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Part(self._file(shard), offset, size), 1 << 16))

    def _file(self, shard: int) -> io.FileIO:
        if self._process != os.getpid():
            # After a fork parent and child would move one another's position in a common file.
            self._process, self._files = os.getpid(), {}
        if shard not in self._files:
            if len(self._files) >= MOST_OPEN:
                self._files.pop(next(iter(self._files))).close()
            self._files[shard] = io.FileIO(self.paths[shard])
        return self._files[shard]

    def _check_shards(self, sizes: Sequence[int]) -> None:
        """Each shard that is needed must have its size, and its first and last sample where the index has them."""
        order = np.lexsort((self.places[:, 1], self.places[:, 0]))
        used, first = np.unique(self.places[order, 0], return_index=True)
        last = np.append(first[1:], len(order)) - 1
        errors = []
        for shard, *ends in zip(used.tolist(), order[first].tolist(), order[last].tolist(), strict=True):
            path = self.paths[shard]
            found = f"{path.stat().st_size:,} bytes" if path.is_file() else "no such file"
            if found == f"{sizes[shard]:,} bytes":
                strangers = [name for name in map(self._misplaced, ends) if name]
                found = f"something else in the place of '{strangers[0]}'" if strangers else ""
            if found:
                errors.append(_wrong_shard(path, sizes[shard], found))
        if errors:
            raise DataErrors(f"{self.paths[0].parent}: {len(errors)} of {len(used)} shards are wrong", errors)

    def _misplaced(self, index: int) -> str:
        """The name of a sample that does not lie where the index has it; empty where it does."""
        shard, offset, size = self.places[index].tolist()
        name = sample_name(self.utterances[index].id)
        file = self._file(shard)
        file.seek(offset - BLOCKSIZE)
        try:
            header = TarInfo.frombuf(file.read(BLOCKSIZE), "utf-8", "replace")
        except HeaderError:
            return name
        return "" if (header.name.partition(".")[0], header.size) == (name, size) else name


def _find(index: Index, manifest: Manifest, folder: Path) -> np.ndarray:
    """For each utterance of `manifest` the number of its sample, int64; raises `DataErrors` where one has none."""
    wanted = {utterance.id: number for number, utterance in enumerate(manifest)}
    samples = np.full(len(manifest), -1)
    for sample, identifier in enumerate(index.each_id()):
        if (number := wanted.get(identifier)) is not None:
            samples[number] = sample
    missing = np.flatnonzero(samples < 0).tolist()
    errors = [_absent(manifest, manifest.utterances[number], folder) for number in missing[:SHOWN_ERRORS]]
    if errors:
        summary = f"{manifest.path}: {len(missing)} of {len(manifest)} utterances are not in {folder}"
        raise DataErrors(summary, errors, len(missing))
    return samples


def _check_utterances(index: Index, manifest: Manifest, folder: Path, samples: np.ndarray) -> None:
    """Raise `DataErrors` where a row of the manifest means other audio than what was packed under its ID."""
    start, length = index.column("start")[samples], index.column("samples")[samples]
    errors = []
    for each, packed_start, packed in zip(manifest, start.tolist(), length.tolist(), strict=True):
        assert each.duration is not None
        same = each.start == packed_start and each.stop in (None, packed_start + packed)
        if same and abs(packed / SAMPLE_RATE - each.duration) <= DURATION_TOLERANCE:
            continue
        found = f"{packed / SAMPLE_RATE:.3f} s from sample {packed_start} in {folder}"
        errors.append(_other(manifest, each, found))
    if errors:
        summary = f"{manifest.path}: {len(errors)} of {len(manifest)} utterances are others in {folder}"
        raise DataErrors(summary, errors)


def _wrong_shard(path: Path, size: int, found: str) -> DataError:
    return DataError(
        "not the shard that the index describes", file=path, expected=f"{size:,} bytes, of {INDEX} beside it",
        found=found, fix="Copy the shards and their index again, together, or pack again",
    )  # fmt: skip


def _absent(manifest: Manifest, utterance: Utterance, folder: Path) -> DataError:
    return DataError(
        f"no utterance '{utterance.id}' in the shards", file=manifest.path, row=utterance.row,
        expected=f"each utterance in {folder}", found="no such ID",
        fix=f"Pack this manifest (was it left out, {LEFT_OUT} there says why), or remove the row",
    )  # fmt: skip


def _other(manifest: Manifest, utterance: Utterance, found: str) -> DataError:
    return DataError(
        f"the shards hold other audio as '{utterance.id}'", file=manifest.path, row=utterance.row,
        expected=f"{utterance.duration:.3f} s from sample {utterance.start}", found=found,
        fix="Pack this manifest into another folder",
    )  # fmt: skip


class _Part(io.RawIOBase):
    """`size` bytes of an open file, from `offset`, as a file of their own."""

    def __init__(self, file: io.FileIO, offset: int, size: int) -> None:
        self.file, self.offset, self.size, self.place = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        self.place = max(0, begin + offset)
        return self.place

    def readinto(self, buffer: Any) -> int:
        self.file.seek(self.offset + self.place)
        wanted = max(0, min(len(buffer), self.size - self.place))
        read = self.file.readinto(memoryview(buffer)[:wanted])
        self.place += read
        return read
