"""The pictures in which faces are looked for: files, and frames of videos, with whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from cmd_speaker import ffmpeg
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.manifest import Manifest
from cmd_speaker.progress import track
from cmd_speaker.teachers.pictures import FacePlace, face_places, pictures_at, read_picture

VIDEOS = (".mp4", ".webm")
T = TypeVar("T")


@dataclass(frozen=True)
class FaceSource:
    """A picture, or frame `frame` of `frames` that are spread evenly over a video; `id` is its name in all files.

    `level`, `key`, `speaker` and `session` say whose it is, as in a bank; `quality` is what the manifest says.
    """

    id: str
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

    `passed_over` counts the pictures of folders that were not needed.
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
    found: dict[tuple[str, str], dict[str, FaceSource]] = {}
    missing: list[DataError] = []
    places = 0
    for manifest in manifests:
        named = face_places(manifest, data_root)
        for place in track(named, f"Looking for the faces of {manifest.path.name}", len(named)):
            places += 1
            quality = place.given_quality() if crops else {}
            try:
                sources = _sources_of(place, data_root, per_key, quality)
            except DataError as error:
                missing.append(error.at(manifest.path, place.row))
                continue
            own = found.setdefault((place.level, place.key), {})
            for source in sources:
                own.setdefault(source.id, source)
    if not found:
        raise DataErrors(f"none of the {places} faces that are named is there", missing)
    chosen = [source for own in found.values() for source in evenly(list(own.values()), per_key)]
    _refuse_videos_without_ffmpeg(chosen)
    total = sum(len(own) for own in found.values())
    return FaceSources(_with_different_names(chosen), total - len(chosen), missing)


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items: from the middle of each of so many equal parts."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * k + 1) * len(items) // (2 * count)] for k in range(count)]


def read_frame(video: Path, place: float) -> np.ndarray:
    """The frame at `place`, 0 to 1, of a video, upright: uint8 [height, width, 3].

    Raises `DataError` where ffmpeg cannot decode one there.
    """
    seconds = f"{place * _duration(video):.3f}"
    found = _run(video, "ffmpeg", "-nostdin", "-ss", seconds, "-i", str(video), "-frames:v", "1",
                 "-f", "image2pipe", "-c:v", "png", "pipe:1")  # fmt: skip
    if not found:
        raise _no_video(video, f"no frame at {seconds} s")
    with Image.open(BytesIO(found)) as image:
        return np.asarray(image.convert("RGB"))


@lru_cache(maxsize=1024)
def _duration(video: Path) -> float:
    """Seconds of a video."""
    entries = ("-show_entries", "format=duration", "-of", "csv=p=0")
    text = _run(video, "ffprobe", *entries, "-i", str(video)).decode().strip()
    try:
        return float(text)
    except ValueError:
        raise _no_video(video, f"a duration of '{text}'") from None


def _run(video: Path, program: str, *arguments: str) -> bytes:
    output, problem = ffmpeg.run(program, *arguments)
    if problem:
        raise _no_video(video, problem)
    return output


def _no_video(video: Path, found: str) -> DataError:
    return DataError(
        "not readable as a video", file=video, expected="a video that ffmpeg can decode", found=found,
        fix="Copy it again, or remove it",
    )  # fmt: skip


def _sources_of(
    place: FacePlace, data_root: str | Path | None, per_key: int, quality: dict[str, float]
) -> list[FaceSource]:
    owner = (place.level, place.key, place.speaker, place.session)
    if place.path.suffix.lower() in VIDEOS and place.path.is_file():
        name = _name(place.path, data_root)
        return [
            FaceSource(f"{name}#{k + 1}", place.path, *owner, k, per_key, quality=quality)
            for k in range(per_key)
        ]
    return [
        FaceSource(_name(path, data_root), path, *owner, quality=quality) for path in pictures_at(place.path)
    ]


def _name(path: Path, data_root: str | Path | None) -> str:
    """The path below the data root: the same wherever the corpus lies."""
    if data_root is not None and path.is_relative_to(data_root):
        path = path.relative_to(data_root)
    return path.as_posix()


def _with_different_names(sources: list[FaceSource]) -> list[FaceSource]:
    """A picture that is, say, an utterance's and its session's too has the second time another name."""
    seen: set[str] = set()
    named = []
    for source in sources:
        name = source.id if source.id not in seen else f"{source.id} of {source.level} {source.key}"
        seen.add(name)
        named.append(source if name == source.id else replace(source, id=name))
    return named


def _refuse_videos_without_ffmpeg(sources: Sequence[FaceSource]) -> None:
    video = next((source.path for source in sources if source.frames), None)
    if video is not None:
        ffmpeg.refuse_missing(["ffmpeg", "ffprobe"], "videos", video)
