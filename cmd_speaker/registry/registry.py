"""A registry: a folder with enrolled speakers, their voices as embeddings, and perhaps a calibration of its own.

It belongs to one model, by its checksum: embeddings of different models cannot be compared. What is on disk is
described in `cmd_speaker.registry.store`, what protects it in `cmd_speaker.registry.seal`. Nothing in the folder
is ever run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from types import TracebackType

import numpy as np

from cmd_speaker.decision import Decider
from cmd_speaker.embeddings import Embeddings
from cmd_speaker.errors import DataError
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.gallery import Gallery
from cmd_speaker.recording import Recording
from cmd_speaker.registry.enrolled import Enrolled, clean_name
from cmd_speaker.registry.identification import Identification, identification
from cmd_speaker.registry.migration import is_former, load_former
from cmd_speaker.registry.rows import Rows, open_rows
from cmd_speaker.registry.shortlist import Shortlist
from cmd_speaker.registry.snapshot import Snapshot
from cmd_speaker.registry.store import FILE_NAME, REMAKE, Identity, Store


@dataclass(frozen=True)
class Speaker:
    """Who is enrolled: with how many recordings, of how many seconds together."""

    name: str
    recordings: int
    seconds: float


class Registry:
    """Enrolled speakers. Several threads may share one object, and several processes one folder.

    ```python
    model = SpeakerModel.load("model")
    with Registry.begin("people", model.checksum, "model") as registry:
        registry.enrol("Ada", [Enrolled.of_file(model, "a1.wav")])
        found = registry.identify(model.recording("unknown.wav"))
        found.name  # "Ada", or None: nobody who is enrolled
    ```
    """

    def __init__(self, folder: Path, opened: tuple[Identity, Rows]) -> None:
        """Use `open` or `begin`."""
        self.folder, (identity, self._rows) = folder, opened
        self.model, self.model_path = identity.model, identity.model_path
        self._lock, self._snapshot = RLock(), Snapshot()
        self._decider: Decider | None = None
        self._gallery: tuple[Snapshot, Decider, Gallery] | None = None
        self._shortlist: tuple[Gallery, Shortlist] | None = None

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether `folder` holds a registry, of this format or of format 1."""
        return (folder / FILE_NAME).is_file() or is_former(folder)

    @classmethod
    def model_of(cls, folder: Path) -> str:
        """The checksum of a registry's model, which needs no key; raises as `open` does."""
        if not (folder / FILE_NAME).is_file():
            return load_former(folder).model
        with closing(Store(folder)) as store:
            identity = store.identity()
        if identity is None:
            raise DataError("no such registry", file=folder, fix=REMAKE)
        return identity.model

    @classmethod
    def open(cls, folder: str | Path, key: bytes | None = None) -> Registry:
        """Open a registry; `key` (32 bytes, see `read_key`) is for one that is encrypted.

        One of format 1 is rewritten in today's, encrypted where a key is given. Raises `DataError` where it is
        missing, was changed or is of another version, and for a wrong key; `UsageError` for a key too many or
        too few.
        """
        folder = Path(folder)
        if not cls.exists(folder):
            raise DataError("no such registry", file=folder, fix=REMAKE)
        return cls(folder, open_rows(folder, key))

    @classmethod
    def begin(
        cls, folder: str | Path, model: str, model_folder: str | Path, key: bytes | None = None
    ) -> Registry:
        """Open a registry, or begin one for the model with the checksum `model`; encrypted where a key is given.

        Raises as `open` does, and `DataError` for a registry of another model.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        way = relative_to(folder, Path(model_folder))
        registry = cls(folder, open_rows(folder, key, (model, way)))
        try:
            registry.check_model(model, model_folder)
        except DataError:
            registry.close()
            raise
        registry.model_path = way
        return registry

    def close(self) -> None:
        """Let go of the file; nothing waits to be written."""
        self._rows.store.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def model_folder(self) -> Path:
        """Where the model was last seen; not necessarily still there."""
        return self.folder / self.model_path

    def check_model(self, checksum: str | None, origin: str | Path) -> None:
        """Raise `DataError` unless the model with this checksum, seen in `origin`, is the registry's."""
        if checksum != self.model:
            raise DataError(
                "the registry belongs to another model", file=self.folder,
                expected=f"the model {self.model[:12]}...",
                found=f"{f'{checksum[:12]}...' if checksum else 'an unknown one'} in {origin}",
                fix="Give the model of the enrolment with --model, or enrol again under this one",
            )  # fmt: skip

    def holder(self, sha256: str) -> str | None:
        """The name under which the recording with this checksum is enrolled."""
        with self._lock:
            return self._rows.holder(sha256)

    def enrol(self, name: str, recordings: Sequence[Enrolled]) -> int:
        """Add recordings to `name`, who may be new; returns how many, less those that `name` has already.

        When it returns they are on disk; where it raises or is killed, none of them is. Raises `DataError` as
        `clean_name` does, for embeddings of another model, and for a recording that stands under another name.
        """
        return self.enrol_all([(name, recordings)])

    def enrol_all(self, speakers: Iterable[tuple[str, Sequence[Enrolled]]]) -> int:
        """`enrol` for many names at once, all of them or none."""
        store = self._rows.store
        with self._lock, store.writing():
            size, added = store.size(), 0
            for name, recordings in speakers:
                name = clean_name(name)
                for each in recordings:
                    size = self._check(each.recording, size, each.file)
                    added += self._rows.add(name, each)
            if added and size is not None:
                store.note(size, self.model_path)
        return added

    def _check(self, recording: Recording, size: int | None, file: str) -> int:
        """The number of dimensions; raises `DataError` for an embedding of another model, or none at all."""
        self.check_model(recording.model, file)
        found = recording.embedding
        if found.ndim != 1 or found.shape[0] != (size or found.shape[0]) or not np.isfinite(found).all():
            raise DataError(
                "no embedding of the registry's model", file=file, expected=f"{size or 'D'} finite numbers",
                found=f"{list(found.shape)} numbers", fix="Embed the recording again",
            )  # fmt: skip
        return int(found.shape[0])

    def forget(self, name: str) -> int:
        """Delete a speaker, so that no byte of name or voice stays in the folder; returns how many recordings.

        Raises `DataError` where nobody is called so.
        """
        name = clean_name(name)
        with self._lock:
            with self._rows.store.writing():
                removed = self._rows.remove(name)
            if not removed:
                raise DataError(
                    f"nobody called '{name}' is enrolled", file=self.folder,
                    expected="a name of cmd-speaker list",
                )  # fmt: skip
            self._rows.store.finish()
            # Nor in memory.
            self._snapshot, self._gallery, self._shortlist = Snapshot(), None, None
        return removed

    def counts(self) -> tuple[int, int]:
        """How many speakers and recordings there are."""
        with self._lock:
            return self._rows.store.counts()

    def recordings(self, name: str) -> int:
        """How many recordings `name` has."""
        with self._lock:
            return self._rows.own(clean_name(name))

    def speakers(self) -> list[Speaker]:
        """Who is enrolled, in the order of their first enrolment."""
        with self._lock:
            now = self._read()
        counts = np.bincount(now.owners, minlength=len(now.names)).tolist()
        seconds = np.bincount(now.owners, now.seconds, len(now.names)).tolist()
        return [Speaker(*each) for each in zip(now.names, counts, seconds, strict=True)]

    def embeddings(self) -> dict[str, np.ndarray]:
        """Of every speaker, in the order of their first enrolment, the embeddings of the recordings [n, D]."""
        with self._lock:
            now = self._read()
        voices = now.voices()
        return dict(zip(now.names, np.split(voices.vectors, voices.starts[1:]), strict=False))

    def decider(self, model_folder: str | Path | None = None) -> Decider:
        """The registry's own calibration with its back-end, else that of the model; raises as `Decider.load`."""
        own = Decider.load(self.folder, self.model)
        return own if own.calibration else Decider.load(model_folder or self.model_folder(), self.model)

    def identify(
        self,
        test: Recording,
        decider: Decider | None = None,
        point: OperatingPoint | None = None,
        *,
        top: int = 10,
        approximate: bool = False,
    ) -> Identification:
        """Who is it, of those enrolled, or nobody? The `top` likeliest and the decision.

        Decided for `point` (see `identification`), else for the calibration's own prior. `decider` is read from
        the folder once unless it is given. `approximate` compares with the nearest 100 of an index only, which
        pays off where one process identifies many; its recall is among the warnings.

        Raises `DataError` where nobody is enrolled, and for the embedding of another model.
        """
        with self._lock:
            if decider is None:
                decider = self._decider = self._decider or self.decider()
            now = self._read()
            if not now.names:
                raise DataError("nobody is enrolled", file=self.folder, fix="Begin with cmd-speaker enroll")
            self._check(test, now.vectors.shape[1], "the recording")
            gallery = self._prepared(now, decider)
            shortlist = self._indexed(gallery) if approximate else None
        if point is None and decider.calibration is not None:
            point = OperatingPoint(decider.calibration.prior)
        chosen, warnings = np.arange(len(gallery)), list(decider.warnings)
        if shortlist is not None:
            tested = decider.backend.prepare(Embeddings(["test"], test.embedding[np.newaxis]))
            chosen = shortlist.nearest(tested)
            gallery = Gallery(decider.backend, gallery.voices.take(chosen))
            warnings.append(str(shortlist))
        compared = decider.compare_with(gallery, test)
        compared = replace(compared, warnings=[*warnings, *compared.warnings])
        return identification(compared, lambda place: now.names[chosen[place]], len(now.names), point, top)

    def _prepared(self, now: Snapshot, decider: Decider) -> Gallery:
        if self._gallery is None or self._gallery[:2] != (now, decider):
            self._gallery = (now, decider, Gallery(decider.backend, now.voices()))
        return self._gallery[2]

    def _indexed(self, gallery: Gallery) -> Shortlist:
        if self._shortlist is None or self._shortlist[0] is not gallery:
            self._shortlist = (gallery, Shortlist(gallery.averages))
        return self._shortlist[1]

    def _read(self) -> Snapshot:
        self._snapshot = self._rows.read(self._snapshot)
        return self._snapshot


def relative_to(folder: Path, model: Path) -> str:
    """The way from the registry's folder to the model, so that both can be moved together."""
    try:
        return Path(os.path.relpath(model.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on Windows: another drive
        return model.resolve().as_posix()
