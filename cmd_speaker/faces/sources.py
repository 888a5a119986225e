"""The pictures in which faces are looked for: files, and frames of videos, with whose they are."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.manifest import Manifest
from cmd_speaker.progress import track
from cmd_speaker.teachers.pictures import VIDEOS, FacePlace, face_places, pictures_at, read_picture

T = TypeVar("T")


@dataclass(frozen=True)
class FaceSource:
    """A picture, or frame `frame` of `frames` that are spread evenly over a video.

    `id` is its name in all files, made of whose it is and a number: a path may hold a person's name. `name` is the
    path below the data root. `level`, `key`, `speaker` and `session` say whose it is, as in a bank; `quality` is
    what the manifest says.
    """

    id: str
    name: str
    path: Path
    level: str
    key: str
    speaker: str
    session: str
    frame: int = 0
    frames: int = 0
    quality: dict[str, float] = field(default_factory=dict)

    def read(self) -> np.ndarray:
        """Its pixels, uint8 [height, width, 3]; raises `DataError` where they cannot be read."""
        if self.frames:
            return read_frame(self.path, (self.frame + 0.5) / self.frames)
        return read_picture(self.path).transpose(1, 2, 0)


@dataclass(frozen=True)
class FaceSources:
    """What is looked at, at most so many of a key; `missing` faces are named in a manifest and are not there.

    `passed_over` counts the pictures and videos of folders that were not needed.
    """

    chosen: list[FaceSource]
    passed_over: int
    missing: list[DataError]


def find_sources(
    manifests: Sequence[Manifest], data_root: str | Path | None, per_key: int, *, crops: bool = False
) -> FaceSources:
    """The pictures and videos that the manifests' column `face` names, `per_key` for each of their keys.

    Of more pictures, and of a video's frames, those are taken that lie evenly. `crops`: no detector will look at
    them, and what the manifest says of one counts. Raises `DataError` or `DataErrors` as `face_places` does, for
    videos without ffmpeg, and where no face that is named is there.
    """
    found: dict[tuple[str, str], dict[tuple[str, int], FaceSource]] = {}
    missing: list[DataError] = []
    passed_over: dict[Path, int] = {}
    places = 0
    for manifest in manifests:
        named = face_places(manifest, data_root)
        for place in track(named, f"Looking for the faces of {manifest.path.name}", len(named)):
            places += 1
            try:
                quality = place.given_quality() if crops else {}
                files = _files_at(place.path)
            except DataError as error:
                missing.append(error.at(manifest.path, place.row))
                continue
            # A corpus may have a hundred million pictures: no more are kept than can be chosen.
            some = evenly(files, per_key)
            passed_over[place.path] = len(files) - len(some)
            own = found.setdefault((place.level, place.key), {})
            for source in _sources_of(place, some, data_root, per_key, quality):
                own.setdefault((source.name, source.frame), source)
    if not found:
        raise DataErrors(f"none of the {places} faces that are named is there", missing)
    chosen = [each for own in found.values() for each in _numbered(evenly(list(own.values()), per_key))]
    _refuse_videos_without_ffmpeg(chosen)
    left = {(source.level, source.key, source.name) for own in found.values() for source in own.values()}
    left -= {(source.level, source.key, source.name) for source in chosen}
    return FaceSources(chosen, sum(passed_over.values()) + len(left), missing)


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items: from the middle of each of so many equal parts."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * k + 1) * len(items) // (2 * count)] for k in range(count)]


def read_frame(video: Path, place: float) -> np.ndarray:
    """The frame at `place`, 0 to 1, of a video, upright: uint8 [height, width, 3].

    Raises `DataError` where ffmpeg cannot decode one there.
    """
    seconds = f"{place * _last_frame(video):.3f}"
    found = _run(video, "ffmpeg", "-nostdin", "-ss", seconds, *_input(video), "-map", "0:v:0", "-frames:v", "1",
                 "-f", "image2pipe", "-c:v", "png", "pipe:1")  # fmt: skip
    if not found:
        raise _no_video(video, f"no frame at {seconds} s")
    with Image.open(BytesIO(found)) as image:
        return np.asarray(image.convert("RGB"))


@lru_cache(maxsize=1024)
def _last_frame(video: Path) -> float:
    """Seconds from a video's begin to its last frame. Its sound may go on for longer."""
    entries = "stream=duration,avg_frame_rate:format=duration"
    text = _run(
        video, "ffprobe", "-select_streams", "v:0", "-show_entries", entries, "-of", "json", *_input(video)
    )
    found = json.loads(text)
    streams = found.get("streams", [])
    if not streams:
        raise _no_video(video, "no pictures in it, only sound or text")
    duration = streams[0].get("duration") or found.get("format", {}).get("duration")
    try:
        frames, seconds = (int(part) for part in streams[0]["avg_frame_rate"].split("/"))
        return max(0.0, float(duration) - (seconds / frames if frames else 0))
    except (KeyError, TypeError, ValueError):
        raise _no_video(video, f"a duration of '{duration}'") from None


def _input(video: Path) -> tuple[str, ...]:
    """A video and nothing else: a playlist under its name could ask for addresses, and be waited for for ever."""
    return "-format_whitelist", "mov,mp4,matroska,webm,avi", "-i", f"file:{video}"


def _run(video: Path, program: str, *arguments: str) -> bytes:
    run = subprocess.run([program, "-v", "error", *arguments], capture_output=True)
    if run.returncode:
        said = run.stderr.decode(errors="replace").strip().splitlines()
        # Without the path, as in `read_picture`.
        found = (
            said[-1].replace(f"file:{video}", "the video") if said else f"{program} ended in {run.returncode}"
        )
        raise _no_video(video, found)
    return run.stdout


def _no_video(video: Path, found: str) -> DataError:
    return DataError(
        "not readable as a video", file=video, expected="a video that ffmpeg can decode", found=found,
        fix="Copy it again, or remove it",
    )  # fmt: skip


def _files_at(place: Path) -> list[Path]:
    """A video, or what `pictures_at` finds; where that is nothing, the videos of a folder and those in it."""
    if place.is_file() and _is_video(place):
        return [place]
    try:
        return pictures_at(place)
    except DataError:
        if videos := [path for path in sorted(place.rglob("*")) if _is_video(path)]:
            return videos
        raise


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS and path.is_file()


def _sources_of(
    place: FacePlace,
    files: Sequence[Path],
    data_root: str | Path | None,
    per_key: int,
    quality: dict[str, float],
) -> list[FaceSource]:
    """All of the files, each video in `per_key` frames; not numbered yet."""
    owner = (place.level, place.key, place.speaker, place.session)
    sources = []
    for path in files:
        frames = per_key if path.suffix.lower() in VIDEOS else 0
        sources += [
            FaceSource("", _name(path, data_root), path, *owner, frame, frames, quality)
            for frame in range(frames or 1)
        ]
    return sources


def _name(path: Path, data_root: str | Path | None) -> str:
    """The path below the data root: the same wherever the corpus lies."""
    if data_root is not None and path.is_relative_to(data_root):
        path = path.relative_to(data_root)
    return path.as_posix()


def _numbered(sources: Sequence[FaceSource]) -> list[FaceSource]:
    """The sources of one key, with their ids."""
    return [
        replace(source, id=f"{source.level}:{source.key}:{number}")
        for number, source in enumerate(sources, start=1)
    ]


def _refuse_videos_without_ffmpeg(sources: Sequence[FaceSource]) -> None:
    video = next((source.path for source in sources if source.frames), None)
    lacking = [program for program in ("ffmpeg", "ffprobe") if shutil.which(program) is None]
    if video is not None and lacking:
        raise DataError(
            f"videos need {' and '.join(lacking)}", file=video, expected="the programs of ffmpeg on the PATH",
            fix="Install ffmpeg, or give pictures",
        )  # fmt: skip
