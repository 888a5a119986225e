"""Trees in VoxCeleb's layout, `SPEAKER/VIDEO/UTTERANCE`: where they are, and every recording's length.

A wav or flac file is an utterance; its length comes from its header, no audio is decoded.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cmd_speaker.errors import DataError
from cmd_speaker.headers import probe_fit
from cmd_speaker.kaldi import folder_content
from cmd_speaker.progress import track

SPEAKER = re.compile(r"id\d{5}")
AUDIO, PACKED = (".wav", ".flac"), ".m4a"
FIRST_FOLDERS, THREADS = 10, 32
WAITING = 1e-4
"""Seconds a file from which on a disk is waited for: in memory it takes a tenth of that."""
MAX_DEPTH = 3
"""How far below the top folder the folders of speakers may lie: `vox2_dev_aac/dev/aac/id00012`."""


class Recording(NamedTuple):
    """One utterance: its name as published lists write it, its path in the tree, its length in samples."""

    name: str
    path: str
    samples: int

    @property
    def speaker(self) -> str:
        return self.name[: self.name.index("/")]

    @property
    def session(self) -> str:
        """The video."""
        return self.name.split("/")[1]


@dataclass
class Tree:
    """What lies under `root`; paths are relative to it.

    `packed` names the utterances that are there as m4a only; `misplaced` are audio files at another depth, `twice`
    utterances that were found again, `bad` those that cannot be used, by name; `lost` are links in the place of a
    speaker or a video that lead nowhere.
    """

    root: Path
    recordings: list[Recording] = field(default_factory=list)
    bad: dict[str, DataError] = field(default_factory=dict)
    packed: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    twice: list[Recording] = field(default_factory=list)


def folders_with(
    root: Path, wanted: Callable[[str], object], depth: int = MAX_DEPTH
) -> Iterator[tuple[Path, list[str]]]:
    """The folders at most `depth` below `root` that hold wanted folders, and the names of these, sorted.

    What is below such a folder is not looked at, and nothing twice to which links lead again.
    """
    level, seen = [root], set[Path]()
    for _ in range(depth + 1):
        below = []
        for folder in level:
            if (place := folder.resolve()) in seen:
                continue
            seen.add(place)
            names = sorted(entry.name for entry in _listed(folder) if entry.is_dir())
            if found := [name for name in names if wanted(name)]:
                yield folder, found
            else:
                below += [folder / name for name in names]
        level = below


def speaker_folders(root: Path) -> list[tuple[Path, list[str]]]:
    """The folders under `root` that hold speakers (`id10001`), and these.

    Raises `DataError` where there are none, which says whether they lie higher or lower.
    """
    if not root.is_dir():
        raise DataError(
            "no such folder", file=root, expected="the top folder of VoxCeleb", fix="Check the path"
        )
    if found := list(folders_with(root, SPEAKER.fullmatch)):
        return found
    place = root.resolve()
    above = next((p.parent for p in (place, *place.parents) if SPEAKER.fullmatch(p.name)), None)
    lower = next(folders_with(root, SPEAKER.fullmatch, depth=MAX_DEPTH + 2), None)
    if above is not None:
        found_text, fix = "a folder inside a speaker's: too deep", f"Give {above}, or a folder above it"
    elif lower is not None:
        found_text = f"they lie too far below it, in {lower[0]}"
        fix = f"Give {lower[0]}, or at most {MAX_DEPTH} folders above it"
    else:
        found_text, fix = (
            folder_content(root),
            "Unpack the archives, and give the folder they were unpacked to",
        )
    raise DataError(
        "no folders of speakers", file=root, expected="id10001/VIDEO/00001.wav ... below it", found=found_text,
        fix=fix,
    )  # fmt: skip


def scan(root: str | Path, wanted: Callable[[str], object] = lambda speaker: True) -> Tree:
    """Every recording of the wanted speakers under `root`, sorted by name.

    A file that `headers.probe_fit` refuses is among `bad`. Raises `DataError` where no speakers are found.
    """
    tree = Tree(Path(root))
    found = speaker_folders(tree.root)
    speakers = [folder / name for folder, names in found for name in names if wanted(name)]
    for folder, _ in found:
        tree.lost += [
            _relative(tree.root, p) for p in _lost(folder) if SPEAKER.fullmatch(p.name) and wanted(p.name)
        ]
    seen: set[str] = set()
    for part in track(_scan_speakers(tree.root, speakers), "Reading headers", len(speakers)):
        for recording in part.recordings:
            (tree.twice if recording.name in seen else tree.recordings).append(recording)
            seen.add(recording.name)
        tree.bad |= part.bad
        tree.packed += part.packed
        tree.misplaced += part.misplaced
        tree.lost += part.lost
    tree.recordings.sort()
    # What was converted may lie in another folder.
    tree.packed = [name for name in tree.packed if name not in seen and name not in tree.bad]
    return tree


def packed_files(root: Path) -> Iterator[Path]:
    """The m4a files at `SPEAKER/VIDEO/` under `root`, sorted within each folder of speakers."""
    for folder, names in speaker_folders(root):
        for name in names:
            for video in _folders(folder / name):
                yield from sorted(video / e.name for e in _listed(video) if _suffix(e.name) == PACKED)


@dataclass
class _Part:
    """What lies in the folder of one speaker."""

    recordings: list[Recording] = field(default_factory=list)
    bad: dict[str, DataError] = field(default_factory=dict)
    packed: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def _scan_speakers(root: Path, folders: Sequence[Path]) -> Iterator[_Part]:
    """What lies in each folder, in order.

    The first folders tell whether files are waited for, as on a network or a cold disk, where many threads help.
    What is in memory one thread reads faster than several, which would wait for each other.
    """
    first, seconds, files = folders[:FIRST_FOLDERS], 0.0, 1
    for folder in first:
        begin = time.perf_counter()
        part = _scan_speaker(root, folder)
        seconds += time.perf_counter() - begin
        files += len(part.recordings)
        yield part
    with ThreadPoolExecutor(THREADS if seconds > WAITING * files else 1) as pool:
        yield from pool.map(partial(_scan_speaker, root), folders[len(first) :])


def _scan_speaker(root: Path, folder: Path) -> _Part:
    part = _Part()
    part.misplaced = [_relative(root, folder / e.name) for e in _listed(folder) if _is_audio(e.name)]
    part.lost = [_relative(root, path) for path in _lost(folder)]
    base = _relative(root, folder)
    for video in _folders(folder):
        place, session = f"{base}/{video.name}", f"{folder.name}/{video.name}"
        for entry in sorted(_listed(video), key=lambda entry: entry.name):
            stem, suffix = os.path.splitext(entry.name)
            name, suffix = f"{session}/{stem}.wav", suffix.lower()
            if suffix == PACKED:
                part.packed.append(name)
            elif suffix in AUDIO:
                recording = _measure(entry.path, name, f"{place}/{entry.name}")
                if isinstance(recording, DataError):
                    part.bad[name] = recording
                else:
                    part.recordings.append(recording)
            elif entry.is_dir():
                # The first entry tells; folders of pictures hold many.
                inside = next(iter(_listed(Path(entry.path))), None)
                if inside and _is_audio(inside.name):
                    part.misplaced.append(_relative(root, Path(inside.path)))
    return part


def _measure(file: str, name: str, path: str) -> Recording | DataError:
    """The recording, or what is wrong with it, which does not stop the others."""
    if not name.isprintable() or " " in name:
        return DataError(
            "a name that no list can hold", file=file, expected="no blank or control character, UTF-8",
            found=ascii(name), fix="Rename it",
        )  # fmt: skip
    try:
        return Recording(name, path, probe_fit(file).samples)
    except DataError as error:
        return error


def _listed(folder: Path) -> Iterable[os.DirEntry[str]]:
    """What is in a folder but for hidden files: half-written ones, and what macOS leaves beside real ones."""
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _lost(folder: Path) -> list[Path]:
    """Links in a folder that lead nowhere: to a disk that is not mounted, perhaps."""
    links = [Path(entry.path) for entry in _listed(folder) if entry.is_symlink()]
    return sorted(link for link in links if not link.exists())


def _folders(folder: Path) -> list[Path]:
    return sorted(folder / entry.name for entry in _listed(folder) if entry.is_dir())


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_audio(name: str) -> bool:
    return _suffix(name) in AUDIO
