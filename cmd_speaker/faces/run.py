"""A run over all faces of manifests: in parts that survive a kill, merged into what `VectorTeacher` reads.

FOLDER holds `settings.json`, `parts/`, and in the end `faces.safetensors`, `faces.csv`, `left_out.csv`,
`pictures.csv`, `coverage.json`, `coverage.md` and `contact_sheet.jpg`. Only `pictures.csv` has paths, which may
hold people's names; everywhere else a picture is called by whose it is and a number.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cmd_speaker.embeddings import Embeddings, save_embeddings
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.faces.detection import FaceDetector
from cmd_speaker.faces.embedding import USED, FaceEmbedder, Outcome, Rules, read_or_error
from cmd_speaker.faces.encoders import FaceEncoder
from cmd_speaker.faces.parts import is_done, load_part, refuse_other_size, save_part, stamps
from cmd_speaker.faces.report import coverage, write_report
from cmd_speaker.faces.sources import FaceSource, FaceSources, find_sources
from cmd_speaker.files import json_checksum, load_stamped, locked, save_stamped, write_atomically
from cmd_speaker.manifest import Manifest
from cmd_speaker.progress import track

VERSION = 1
PART = 512
"""Pictures of a part: what a kill can cost."""
OTHER_FOLDER = "Choose another folder, or call it as before"


@dataclass(frozen=True)
class Options:
    """What is chosen and accepted; `detect` False: the pictures are crops of faces already."""

    per_key: int = 5
    batch_size: int = 32
    min_probability: float = 0.9
    min_size: float = 40
    detect: bool = True

    def __post_init__(self) -> None:
        in_range = self.min_size >= 0 and 0 <= self.min_probability <= 1  # not so for NaN
        if min(self.per_key, self.batch_size) < 1 or not in_range:
            raise UsageError(
                "expected --per-key and --batch-size of at least 1, --min-size of at least 0 and "
                f"--min-probability from 0 to 1, found {self}"
            )


def embed_faces(
    manifests: Sequence[Manifest],
    folder: Path,
    encoder: FaceEncoder,
    options: Options,
    *,
    data_root: str | Path | None = None,
    device: str = "cpu",
) -> tuple[dict[str, Any], list[DataError]]:
    """Do what is not done yet, and write everything; the coverage, and an error for each face that is not there.

    Raises `DataError` where `folder` was begun with other settings or pictures, where no face can be used (the
    reasons are written before), and as `find_sources` does.
    """
    sources = find_sources(manifests, data_root, options.per_key, crops=not options.detect)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder, wait=False):
            _check_settings(folder, sources.chosen, encoder, options)
            for left in folder.rglob(".*.[0-9]*.tmp"):
                left.unlink()  # What a killed run was writing.
            detector = FaceDetector(device, options.min_probability) if options.detect else None
            rules = Rules(options.min_probability, options.min_size)
            _fill(folder, sources.chosen, FaceEmbedder(encoder, detector, rules), options.batch_size)
            return _merge(folder, manifests, sources, encoder)
    except BlockingIOError as error:
        raise UsageError(f"another run fills {folder}: wait for it, or choose another folder") from error


def _check_settings(
    folder: Path, sources: Sequence[FaceSource], encoder: FaceEncoder, options: Options
) -> None:
    """Write down what `folder` is for, or raise `DataError` where it is for something else."""
    pictures = [[each.id, each.name, each.frame, each.speaker, each.session] for each in sources]
    known = f"{len(pictures)} of SHA-256 {json_checksum(pictures)}"
    settings = {"encoder": encoder.model, **asdict(options), "pictures": known}
    path = folder / "settings.json"
    if not path.exists():
        save_stamped(path, VERSION, {"settings": settings})
        return
    stored = load_stamped(
        path, VERSION, "record of a run over faces", lambda content: content["settings"], OTHER_FOLDER
    )
    different = [name for name in settings if stored.get(name) != settings[name]]
    if different:
        raise DataError(
            "the folder was begun with other settings", file=path,
            expected=", ".join(f"{name} {stored.get(name)}" for name in different),
            found=", ".join(f"{name} {settings[name]}" for name in different), fix=OTHER_FOLDER,
        )  # fmt: skip


def _fill(folder: Path, sources: Sequence[FaceSource], embedder: FaceEmbedder, batch_size: int) -> None:
    """Write every part that is not there yet, or whose files were changed, each whole or not at all."""
    parts = {start: sources[start : start + PART] for start in range(0, len(sources), PART)}
    checking = track(parts.items(), "Looking at what is done", len(parts))
    files = {start: stamps(part) for start, part in checking}
    pending = {
        start: part for start, part in parts.items() if not is_done(_part(folder, start), part, files[start])
    }
    batches = [
        (start, part[k : k + batch_size])
        for start, part in pending.items()
        for k in range(0, len(part), batch_size)
    ]
    done: list[tuple[list[Outcome], np.ndarray]] = []
    with ThreadPoolExecutor() as pool:
        reading = _read_ahead(batches, pool)
        for start, batch, read in track(reading, "Finding and embedding faces", len(batches)):
            done.append(embedder.embed(batch, list(read)))
            if batch[-1] is pending[start][-1]:
                save_part(_part(folder, start), done, files[start])
                done = []


def _read_ahead(
    batches: Sequence[tuple[int, Sequence[FaceSource]]], pool: ThreadPoolExecutor
) -> Iterator[tuple[int, Sequence[FaceSource], Iterator[np.ndarray | DataError]]]:
    """Each batch with what is read of it, while the next one is being read."""
    waiting = None
    for start, batch in batches:
        reading = start, batch, pool.map(read_or_error, batch)
        if waiting is not None:
            yield waiting
        waiting = reading
    if waiting is not None:
        yield waiting


def _part(folder: Path, start: int) -> Path:
    return folder / "parts" / f"{start:09}.npz"


def _merge(
    folder: Path, manifests: Sequence[Manifest], sources: FaceSources, encoder: FaceEncoder
) -> tuple[dict[str, Any], list[DataError]]:
    chosen = sources.chosen
    outcomes: list[Outcome] = []
    vectors: list[np.ndarray] = []
    for start in range(0, len(chosen), PART):
        part = load_part(_part(folder, start), chosen[start : start + PART])
        outcomes += part.outcomes
        if len(part.embeddings):
            refuse_other_size(_part(folder, start), part.embeddings, vectors)
            vectors.append(part.embeddings)
    _write_pictures(folder / "pictures.csv", chosen)
    _write_left_out(folder / "left_out.csv", sources, outcomes)
    found = coverage(manifests, sources, outcomes)
    used = [
        (source, outcome) for source, outcome in zip(chosen, outcomes, strict=True) if outcome.status == USED
    ]
    if vectors:
        _write_table(folder / "faces.csv", used)
        embeddings = Embeddings(
            [outcome.id for _, outcome in used], np.concatenate(vectors), model=encoder.model
        )
        save_embeddings(folder / "faces.safetensors", embeddings)
    write_report(folder, found, list(zip(chosen, outcomes, strict=True)), encoder)
    if not vectors:
        raise DataError(
            "no face can be used", file=folder / "left_out.csv", expected="at least one of the pictures",
            found=f"{len(chosen)} that cannot", fix="Look at contact_sheet.jpg and the reasons beside it",
        )  # fmt: skip
    return found, sources.missing + _unreadable(outcomes, chosen)


def _write_pictures(path: Path, sources: Sequence[FaceSource]) -> None:
    """Where each picture lies."""
    # A file's name may be no UTF-8.
    with (
        write_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("ID", "file", "frame"))
        for source in sources:
            frame = f"{source.frame + 1} of {source.frames}" if source.frames else ""
            writer.writerow((source.id, source.name, frame))


def _write_table(path: Path, used: Sequence[tuple[FaceSource, Outcome]]) -> None:
    """Whose the embeddings are, and their qualities: a column for each that all have."""
    names = sorted(set.intersection(*(set(outcome.quality) for _, outcome in used)))
    with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("ID", "spk_id", "session", "utterance", *names))
        for source, outcome in used:
            utterance = source.key if source.level == "utterance" else ""
            quality = (f"{outcome.quality[name]:.6g}" for name in names)
            writer.writerow((source.id, source.speaker, source.session, utterance, *quality))


def _write_left_out(path: Path, sources: FaceSources, outcomes: Sequence[Outcome]) -> None:
    with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("ID", "spk_id", "reason", "detail"))
        for source, outcome in zip(sources.chosen, outcomes, strict=True):
            if outcome.status != USED:
                writer.writerow((source.id, source.speaker, outcome.status, outcome.detail))
        for error in sources.missing:
            row = f"{Path(error.file or '').name}, row {error.row}: {error.found}"
            writer.writerow(("", "", "missing", row))


def _unreadable(outcomes: Sequence[Outcome], sources: Sequence[FaceSource]) -> list[DataError]:
    """One for each file, also where several frames of it are missing."""
    found = {
        source.path: outcome.detail
        for source, outcome in zip(sources, outcomes, strict=True)
        if outcome.status == "unreadable"
    }
    return [DataError(text, file=path, fix="Copy it again, and call again") for path, text in found.items()]
