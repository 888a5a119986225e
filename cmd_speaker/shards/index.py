"""What lies where in a folder of shards: one file that a million utterances do not make slow to load."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically

INDEX = "index.npz"
LEFT_OUT = "left_out.txt"
VERSION = 1
COLUMNS = ("row", "shard", "offset", "size", "start", "samples")
NAME_LENGTH = 60
"""Of a sample's name; with its hash and an extension it fits into the 100 bytes of a plain tar header."""


class Sample(NamedTuple):
    """An utterance in its shard."""

    id: str
    row: int
    """Its place among the utterances of the manifest, from 0."""
    shard: int
    offset: int
    """Where the bytes of the audio file begin in the shard, and how many there are."""
    size: int
    start: int
    """Where the utterance began in the manifest's file, and how long it is, in samples."""
    samples: int


@dataclass(frozen=True)
class Packing:
    """What was asked for: two packings that are equal give the same bytes."""

    manifest: str
    """SHA-256 of the manifest."""
    utterances: int
    shard_size: int
    full: bool = False
    """Whether everything was decoded: then other utterances may have been left out."""

    def __str__(self) -> str:
        looked_at = "decoded" if self.full else "headers read"
        rows = f"{self.utterances} rows of SHA-256 {self.manifest[:12]}..., {looked_at}"
        return f"{rows}, {self.shard_size:,} bytes a shard"


@dataclass(frozen=True)
class Index:
    """Samples in the order of the manifest, a row of `table` each, its columns being `COLUMNS`.

    `ids` is all identifiers in UTF-8, one after the other, and `ends` where each ends. Of each shard there is the
    file's name, its bytes and the row of the manifest `until` which it goes, itself not in it.
    """

    packing: Packing
    shards: Sequence[str]
    sizes: Sequence[int]
    until: Sequence[int]
    table: np.ndarray
    ids: bytes
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.table)

    @property
    def rows_done(self) -> int:
        """How many rows of the manifest the shards are made of, those that were left out included."""
        return self.until[-1] if self.until else 0

    @property
    def complete(self) -> bool:
        return self.rows_done == self.packing.utterances

    @classmethod
    def empty(cls, packing: Packing) -> Index:
        nothing = np.empty((0, len(COLUMNS)), np.int64)
        return cls(packing, [], [], [], nothing, b"", np.empty(0, np.int64))

    def with_shard(self, name: str, size: int, until: int, samples: Sequence[Sample]) -> Index:
        """The index with one more shard."""
        encoded = [sample.id.encode() for sample in samples]
        ends = len(self.ids) + np.cumsum([len(each) for each in encoded], dtype=np.int64)
        table = np.array([sample[1:] for sample in samples], np.int64)
        return replace(
            self,
            shards=[*self.shards, name],
            sizes=[*self.sizes, size],
            until=[*self.until, until],
            table=np.concatenate([self.table, table]),
            ids=b"".join([self.ids, *encoded]),
            ends=np.concatenate([self.ends, ends]),
        )

    def first_shards(self, number: int) -> Index:
        """The index of the first shards only."""
        kept = int(np.searchsorted(self.column("shard"), number))
        ends = self.ends[:kept]
        return replace(
            self,
            shards=self.shards[:number],
            sizes=self.sizes[:number],
            until=self.until[:number],
            table=self.table[:kept],
            ids=self.ids[: int(ends[-1]) if kept else 0],
            ends=ends,
        )

    def column(self, name: str) -> np.ndarray:
        """One of `COLUMNS`, int64 [samples]."""
        return self.table[:, COLUMNS.index(name)]

    def each_id(self) -> Iterator[str]:
        begin = 0
        for end in self.ends.tolist():
            yield self.ids[begin:end].decode()
            begin = end


def save_index(index: Index, folder: Path) -> None:
    """Write `index` into the folder of its shards; raises as `write_atomically` does."""
    names = ("shards", "sizes", "until")
    told = {"format_version": VERSION, "packing": asdict(index.packing)}
    told |= {name: list(getattr(index, name)) for name in names}
    with write_atomically(folder / INDEX) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            about=np.frombuffer(json.dumps(told).encode(), np.uint8),
            table=index.table,
            ids=np.frombuffer(index.ids, np.uint8),
            ends=index.ends,
        )


def load_index(folder: Path) -> Index:
    """The index that `cmd-speaker pack` wrote into `folder`; raises `DataError` where none can be read."""
    path = folder / INDEX
    if not path.is_file():
        raise DataError(
            "no index of shards", file=path, expected="a folder that cmd-speaker pack wrote",
            found="no such file" if folder.is_dir() else "no such folder",
            fix="Check the path, or pack the training manifest: cmd-speaker pack MANIFEST --out DIR",
        )  # fmt: skip
    try:
        with np.load(path, allow_pickle=False) as stored:
            told = json.loads(stored["about"].tobytes())
            if told["format_version"] == VERSION:
                return Index(
                    Packing(**told["packing"]), told["shards"], told["sizes"], told["until"],
                    stored["table"], stored["ids"].tobytes(), stored["ends"],
                )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise DataError(
            "not an index of shards", file=path, expected="what cmd-speaker pack writes",
            found=f"{type(error).__name__}: {error}"[:100], fix="Copy it again, or pack into another folder",
        ) from error  # fmt: skip
    raise DataError(
        "an index of another version", file=path, expected=f"format {VERSION}", found=told["format_version"],
        fix="Pack again with this version of cmd-speaker",
    )  # fmt: skip


def sample_name(identifier: str) -> str:
    """The name, WebDataset's key, of an utterance's files in a shard: its ID where that can be one.

    A key has no dot and no slash, and here 60 plain characters at most; of any other ID it is what is left, and
    16 hexadecimal digits of the ID's SHA-256. The ID itself is in the sample's json.
    """
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", identifier)
    if plain == identifier and len(plain) <= NAME_LENGTH:
        return plain
    return f"{plain[:NAME_LENGTH]}-{hashlib.sha256(identifier.encode()).hexdigest()[:16]}"
