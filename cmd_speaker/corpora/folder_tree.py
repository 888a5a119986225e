"""The tree of anybody's own recordings: a folder for each speaker, pictures and descriptions beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cmd_speaker.audio import EXTENSIONS
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import leads_up
from cmd_speaker.kaldi import folder_content

TREE = """ROOT/
  audio/    speaker/session/utterance.wav, or speaker/utterance.wav where sessions are not known;
            the folder may be called wav, too, or be ROOT itself
  [faces/   speaker[/session[/utterance]]/*.jpg]
  [text/    speaker.txt]"""
LEVELS = {3: "speaker/session/utterance", 2: "speaker/utterance"}
DEEPEST = 8
"""Levels of folders that are looked at: links may lead round in circles."""
Place = tuple[str, ...]
"""The names on the way from the top of a tree down to a folder or file."""


class Recording(NamedTuple):
    """One audio file: `id` is its path below the audio folder, `session` is empty where there are none."""

    id: str
    path: Path
    speaker: str
    session: str

    @property
    def place(self) -> Place:
        """Speaker, session if there is one, and the utterance's name without suffix."""
        return PurePosixPath(self.id).with_suffix("").parts


@dataclass(frozen=True)
class Tree:
    """What the folders hold, in the order of the names.

    `others` counts the files that are no audio by suffix; `lost` names links among them that lead nowhere.
    """

    audio: Path
    faces: Path | None
    text: Path | None
    recordings: Sequence[Recording]
    others: Mapping[str, int]
    lost: Sequence[DataError]

    @property
    def speakers(self) -> list[str]:
        return sorted({recording.speaker for recording in self.recordings})


def read_tree(
    root: Path, audio: Path | None = None, faces: Path | None = None, text: Path | None = None
) -> Tree:
    """The recordings below `root` and the folders beside them; `audio`, `faces` and `text` may lie elsewhere.

    Raises `DataError` (no such folder, no audio, no layout that is known) or `DataErrors` (every file on another
    level than the rest, name with a blank or comma, and utterance that is there twice).
    """
    for folder in (root, audio, faces, text):
        if folder is not None and not folder.is_dir():
            raise DataError("no such folder", file=folder, expected=f"\n{TREE}\n", fix="Check the path")
    beside = {name: root / name for name in ("faces", "text") if (root / name).is_dir()}
    audio = audio or _audio_folder(root)
    files: list[Place] = []
    others: Counter[str] = Counter()
    lost = []
    for place, _, names in walk(audio, skipped=beside.values()):
        for name in names:
            suffix = Path(name).suffix.lower()
            if suffix in EXTENSIONS:
                files.append((*place, name))
                continue
            others[suffix or "(no suffix)"] += 1
            if (path := audio.joinpath(*place, name)).is_symlink() and not path.exists():
                lost.append(
                    DataError(
                        "a link that leads nowhere", file=path, expected=os.readlink(path), found="nothing there",
                        fix="Mount the disk that it leads to, or remove it",
                    )
                )  # fmt: skip
    if not files:
        raise DataError(
            "no audio below this folder", file=audio, expected=f"{' '.join(EXTENSIONS)} in\n{TREE}\n",
            found=", ".join(f"{n} {suffix}" for suffix, n in others.items()) or folder_content(audio),
            fix="Give the folder that holds audio/, or convert the files, for example with ffmpeg",
        )  # fmt: skip
    _check_levels(audio, files)
    recordings = [
        Recording("/".join(f), audio.joinpath(*f), f[0], f[1] if len(f) == 3 else "") for f in files
    ]
    _check_names(audio, recordings)
    return Tree(audio, faces or beside.get("faces"), text or beside.get("text"), recordings, others, lost)


def walk(top: Path, skipped: Collection[Path] = ()) -> Iterator[tuple[Place, list[str], list[str]]]:
    """Every folder from `top` down with the names of its folders and files, sorted, without hidden ones.

    Links are followed, but for those that lead back up; folders that are `skipped` are not. Raises `OSError` where
    a folder may not be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    for path, folders, files in os.walk(top, onerror=refuse, followlinks=True):
        place = Path(path).relative_to(top).parts
        seen = [name for name in folders if name[0] != "." and Path(path, name) not in skipped]
        seen = [name for name in seen if not leads_up(Path(path, name))]
        # os.walk goes on with what is left in its own list.
        folders[:] = sorted(seen) if len(place) < DEEPEST else []
        yield place, list(folders), sorted(name for name in files if name[0] != ".")


def _audio_folder(root: Path) -> Path:
    found = [root / name for name in ("audio", "wav") if (root / name).is_dir()]
    if len(found) > 1:
        raise DataError(
            "two folders of audio", file=root, expected="audio or wav", found="both",
            fix="Remove one, or say which: --audio",
        )  # fmt: skip
    return found[0] if found else root


def _check_levels(audio: Path, files: Sequence[Place]) -> None:
    """Raise unless all files lie as deep as most do, and that is a layout that is known."""
    counts = Counter(map(len, files))
    usual = max(counts, key=lambda depth: (counts[depth], depth))
    layouts = " or ".join(f"{layout}.wav" for layout in LEVELS.values())
    if usual not in LEVELS:
        few = usual < min(LEVELS)
        wrong = usual - (min(LEVELS) if few else max(LEVELS))
        raise DataError(
            f"{_number(abs(wrong))} too {'few' if few else 'many'}", file=audio, expected=layouts,
            found="/".join(next(f for f in files if len(f) == usual)),
            fix="Put each speaker's recordings into a folder of their own" if few
            else "Give the folder that holds the speakers' folders: --audio; or join two levels",
        )  # fmt: skip
    errors = [
        DataError(
            f"{_number(abs(len(f) - usual))} too {'few' if len(f) < usual else 'many'}",
            file=audio.joinpath(*f), expected=f"{LEVELS[usual]}.wav like {counts[usual]} others",
            found="/".join(f), fix="Move or remove it",
        )
        for f in files if len(f) != usual
    ]  # fmt: skip
    if errors:
        raise DataErrors(f"{audio}: {len(errors)} of {len(files)} files lie on another level", errors)


def _number(levels: int) -> str:
    return "one level" if levels == 1 else f"{levels} levels"


def _check_names(audio: Path, recordings: Sequence[Recording]) -> None:
    """Raise for names that a manifest or a trial list cannot hold, and for utterances that are there twice."""
    errors: dict[Path, DataError] = {}
    first: dict[Place, str] = {}
    for recording in recordings:
        parts = recording.id.split("/")
        for depth, name in enumerate(parts, start=1):
            if not name.isprintable() or " " in name or "," in name:
                path = audio.joinpath(*parts[:depth])
                errors[path] = DataError(
                    "a name that no list can hold", file=path, expected="no blank, comma or control character",
                    found=ascii(name), fix="Rename it, for example with _ instead",
                )  # fmt: skip
        other = first.setdefault(recording.place, recording.id)
        if other != recording.id:
            errors[recording.path] = DataError(
                f"duplicate utterance '{'/'.join(recording.place)}'", file=recording.path,
                expected="one file an utterance", found=f"{other} as well", fix="Remove or rename one of them",
            )  # fmt: skip
    if errors:
        raise DataErrors(f"{audio}: {len(errors)} names cannot be used", list(errors.values()))
