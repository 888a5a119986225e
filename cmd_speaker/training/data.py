"""Training data: decoded audio kept on disk, and random crops that depend on seed, epoch and utterance only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmd_speaker.audio import SAMPLE_RATE, random_crop
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import write_atomically, write_json
from cmd_speaker.manifest import Manifest, Utterance
from cmd_speaker.model import read_utterance
from cmd_speaker.progress import track

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


class DecodedAudio:
    """A manifest's audio, decoded once into one memory-mapped file, so that the CPU trains rather than decodes.

    Samples stay float32: with and without the cache training sees the same bits. The cache is made again
    when the manifest or a file's size or time changes.
    """

    def __init__(self, samples: np.ndarray, offsets: Sequence[int]) -> None:
        self.samples, self.offsets = samples, offsets

    def __getitem__(self, index: int) -> np.ndarray:
        return self.samples[self.offsets[index] : self.offsets[index + 1]]

    @classmethod
    def open(cls, folder: str | Path, manifest: Manifest) -> DecodedAudio:
        """Open the cache of `manifest` below `folder`, making it first where needed.

        Raises `DataErrors` naming every unreadable file with its row; nothing is left out silently.
        """
        fingerprint = _fingerprint(manifest)
        audio = Path(folder) / f"{manifest.path.stem}-{fingerprint[:16]}.f32"
        index = audio.with_suffix(".json")
        if not index.is_file():
            audio.parent.mkdir(parents=True, exist_ok=True)
            offsets = _decode(manifest, audio)
            write_json(index, offsets)
        offsets = json.loads(index.read_text())
        return cls(np.memmap(audio, dtype=np.float32, mode="r", shape=(offsets[-1],)), offsets)


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
    none. `audio` is a `DecodedAudio`, or None to read each file when it is needed. `qualities`, float32 [n,
    columns], belong to the columns `quality_names`.
    """

    def __init__(
        self,
        manifest: Manifest,
        labels: dict[str, int],
        rows: Sequence[Callable[[int, int, int], int]],
        seconds: float,
        seed: int,
        audio: DecodedAudio | None = None,
        quality_names: Sequence[str] = (),
        qualities: np.ndarray | None = None,
    ) -> None:
        self.utterances = manifest.utterances
        self.manifest_path = manifest.path
        self.labels = [labels[utterance.spk_id] for utterance in manifest]
        self.rows = rows
        self.length = round(seconds * SAMPLE_RATE)
        self.seed, self.epoch, self.audio = seed, 0, audio
        self.quality_names = list(quality_names)
        self.qualities = np.empty((len(manifest), 0), np.float32) if qualities is None else qualities

    def __len__(self) -> int:
        return len(self.utterances)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> Item:
        if self.audio is not None:
            samples = self.audio[index]
        else:
            utterance = self.utterances[index]
            try:
                samples = read_utterance(utterance)
            except DataError as error:
                raise error.at(self.manifest_path, utterance.row) from error
        rng = np.random.default_rng((self.seed, self.epoch, index))
        rows = np.array([draw(self.seed, self.epoch, index) for draw in self.rows], np.int64)
        crop = random_crop(samples, self.length, rng)
        return crop, self.labels[index], rows, self.qualities[index]


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


def collate(items: list[Item]) -> Batch:
    """Items of `TrainingCrops` -> `Batch`."""
    crops, labels, rows, qualities = zip(*items, strict=True)
    waveforms, stacked_rows, columns = (torch.from_numpy(np.stack(part)) for part in (crops, rows, qualities))
    return Batch(waveforms, torch.tensor(labels), stacked_rows, columns)
