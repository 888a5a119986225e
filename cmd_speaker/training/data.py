"""Training data: decoded audio kept on disk, and random crops that depend on seed, epoch and utterance only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmd_speaker.audio import SAMPLE_RATE, random_crop, read_crop
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import locked, write_atomically, write_json
from cmd_speaker.hearing import read_utterance
from cmd_speaker.manifest import Manifest, Utterance
from cmd_speaker.progress import track
from cmd_speaker.shards.reading import Shards

Item = tuple[np.ndarray, int, np.ndarray, np.ndarray]
"""One crop, its class, bank rows and qualities, as in `Batch`."""


class Batch(NamedTuple):
    """Crops of equal length, and what belongs to each."""

    waveforms: Tensor
    """float32 [batch, samples]."""
    labels: Tensor
    """Speaker class, int64 [batch]."""
    rows: Tensor
    """Row of each teacher's bank, -1 where there is none, int64 [batch, teachers]."""
    qualities: Tensor
    """Columns of the manifest that quality weights ask for, float32 [batch, columns]."""


class CropSource(Protocol):
    """Where the crops of a manifest's utterances come from: every source gives the same bits."""

    faster: str
    """What to do, in words, where a training waits for this source although all CPUs read."""

    def crop(self, index: int, length: int, rng: np.random.Generator) -> np.ndarray:
        """`cmd_speaker.audio.random_crop` of the utterance with this number, float32 [length]."""
        ...


class LooseFiles:
    """The files that the manifest names, read when they are needed and only where the crop is."""

    faster = "keep decoded audio with --cache_folder DIR"

    def __init__(self, manifest: Manifest) -> None:
        self.utterances = manifest.utterances

    def crop(self, index: int, length: int, rng: np.random.Generator) -> np.ndarray:
        each = self.utterances[index]
        return read_crop(each.wav, length, rng, start=each.start, stop=each.stop, seconds=each.duration)


class DecodedAudio:
    """A manifest's audio, decoded once into one memory-mapped file, so that the CPU trains rather than decodes.

    Samples stay float32: with and without the cache training sees the same bits. The cache is made again
    when the manifest or a file's size or time changes.
    """

    faster = "put --cache_folder on a faster disk"

    def __init__(self, path: Path, offsets: np.ndarray) -> None:
        self.path, self.offsets = path, offsets
        self.samples = np.memmap(path, dtype=np.float32, mode="r", shape=(int(offsets[-1]),))

    def __reduce__(self) -> tuple[type[DecodedAudio], tuple[Path, np.ndarray]]:
        # A worker that was not forked opens the file itself: pickled, its samples would be sent.
        return DecodedAudio, (self.path, self.offsets)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.samples[self.offsets[index] : self.offsets[index + 1]]

    def crop(self, index: int, length: int, rng: np.random.Generator) -> np.ndarray:
        return random_crop(self[index], length, rng)

    @classmethod
    def open(cls, folder: str | Path, manifest: Manifest) -> DecodedAudio:
        """Open the cache of `manifest` below `folder`, making it first where needed.

        Raises `DataErrors` naming every unreadable file with its row; nothing is left out silently.
        """
        fingerprint = _fingerprint(manifest)
        audio = Path(folder) / f"{manifest.path.stem}-{fingerprint[:16]}.f32"
        index = audio.with_suffix(".json")

        def is_made() -> bool:
            return index.is_file() and audio.is_file()

        if not is_made():
            audio.parent.mkdir(parents=True, exist_ok=True)
            # Other runs, and the processes of a machine with a disk of its own, wait for the first.
            with locked(audio.parent, waiting=f"{audio.parent}: another process decodes, waiting for it"):
                if not is_made():
                    write_json(index, _decode(manifest, audio))
        return cls(audio, np.array(json.loads(index.read_text())))


def _decode(manifest: Manifest, path: Path) -> list[int]:
    offsets, errors = [0], []
    with write_atomically(path) as temporary, temporary.open("wb") as file, ThreadPoolExecutor() as pool:
        decoded = track(pool.map(_read_or_error, manifest), f"Decoding {manifest.path.name}", len(manifest))
        for utterance, samples in zip(manifest, decoded, strict=True):
            if isinstance(samples, DataError):
                errors.append(samples.at(manifest.path, utterance.row))
            else:
                file.write(samples.tobytes())
                offsets.append(offsets[-1] + len(samples))
        if errors:
            summary = f"{manifest.path}: {len(errors)} of {len(manifest)} files cannot be trained on"
            raise DataErrors(summary, errors)
    return offsets


def _read_or_error(utterance: Utterance) -> np.ndarray | DataError:
    try:
        return read_utterance(utterance)
    except DataError as error:
        return error


def _fingerprint(manifest: Manifest) -> str:
    digest = hashlib.sha256(str(SAMPLE_RATE).encode())
    for utterance in manifest:
        if not utterance.wav.is_file():
            raise DataError(
                "no such audio file", file=manifest.path, row=utterance.row, expected=utterance.wav
            )
        stat = utterance.wav.stat()
        parts = (utterance.id, utterance.wav, utterance.start, utterance.stop, stat.st_size, stat.st_mtime_ns)
        digest.update(repr(parts).encode())
    return digest.hexdigest()


class TrainingCrops(Dataset):
    """Random crops of `seconds`, one an utterance and epoch; shorter utterances are repeated.

    A crop's place is drawn from (seed, epoch, index), so neither workers nor a resumed run change it.
    So are the rows of the teachers' banks: each of `rows` is called with these numbers and gives a row, -1 for
    none. `audio` is where the crops come from, the manifest's files unless given. `qualities`, float32 [n,
    columns], belong to the columns `quality_names`.
    """

    def __init__(
        self,
        manifest: Manifest,
        labels: dict[str, int],
        rows: Sequence[Callable[[int, int, int], int]],
        seconds: float,
        seed: int,
        audio: CropSource | None = None,
        quality_names: Sequence[str] = (),
        qualities: np.ndarray | None = None,
    ) -> None:
        self.utterances = manifest.utterances
        self.manifest_path = manifest.path
        self.labels = [labels[utterance.spk_id] for utterance in manifest]
        self.rows = rows
        self.length = round(seconds * SAMPLE_RATE)
        self.seed, self.epoch = seed, 0
        self.audio: CropSource = LooseFiles(manifest) if audio is None else audio
        self.quality_names = list(quality_names)
        self.qualities = np.empty((len(manifest), 0), np.float32) if qualities is None else qualities

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitems__(self, indices: Sequence[int]) -> list[Item] | DataError:
        """The items of a batch, for a DataLoader; or an error, which raised in a worker becomes a traceback."""
        try:
            return [self[index] for index in indices]
        except DataError as error:
            return error

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        try:
            crop = self.audio.crop(index, self.length, rng)
        except DataError as error:
            raise error.at(self.manifest_path, self.utterances[index].row) from error
        rows = np.array([draw(self.seed, self.epoch, index) for draw in self.rows], np.int64)
        return crop, self.labels[index], rows, self.qualities[index]


def open_audio(
    manifest: Manifest, shards: str | Path | None = None, cache: str | Path | None = None
) -> CropSource:
    """The crops of `manifest` from a folder of shards, or from a folder for decoded audio, or from its own files.

    Raises `DataError` or `DataErrors` as opening them does.
    """
    if shards:
        return Shards.open(shards, manifest)
    return DecodedAudio.open(cache, manifest) if cache else LooseFiles(manifest)


def check_batch(train: Manifest, batch_size: int, at_once: int = 1) -> None:
    """Raise `DataError` where there are fewer training utterances than `at_once` batches.

    These are the batches of one step of the optimiser: of all processes, times those accumulated.
    """
    if len(train) < batch_size * at_once:
        step = "one batch" if at_once == 1 else f"the {at_once} batches of one step"
        raise DataError(
            f"fewer training utterances than {step}", file=train.path,
            expected=f"at least {batch_size * at_once}", found=len(train), fix="Choose a smaller batch_size",
        )  # fmt: skip


def collate(items: list[Item] | DataError) -> Batch | DataError:
    """Items of `TrainingCrops` -> `Batch`; an error in their place is passed on."""
    if isinstance(items, DataError):
        return items
    crops, labels, rows, qualities = zip(*items, strict=True)
    waveforms, stacked_rows, columns = (torch.from_numpy(np.stack(part)) for part in (crops, rows, qualities))
    return Batch(waveforms, torch.tensor(labels), stacked_rows, columns)
