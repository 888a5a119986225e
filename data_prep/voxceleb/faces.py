"""Folders of faces for VoxCeleb's speakers: whose they are, and the nearest one to an utterance.

id10001/VIDEO/00001/*.jpg, id10001/VIDEO/*.jpg      by VoxCeleb's ids
unzippedFaces/NAME/1.6/VIDEO/*.jpg                  VoxCeleb1, by names: needs vox1_meta.csv
n000012/*.jpg                                       VGGFace2: needs vox2_meta.csv
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cmd_speaker.corpora.voxceleb_tree import SPEAKER, folders_with
from cmd_speaker.errors import DataError
from cmd_speaker.teachers.pictures import EXTENSIONS
from data_prep.voxceleb.metadata import Speaker

VGGFACE2 = re.compile(r"n\d{6}")
LEVELS = ("utterance", "session", "identity")
"""From the most to the least specific."""


class Place(NamedTuple):
    """A speaker's folder, and the folders in it that hold a folder for each video."""

    identity: str
    sessions: tuple[str, ...]


class FaceFolders:
    """The faces under `folders` of the speakers of `metadata`, or of all, where folders bear VoxCeleb's ids.

    Raises `DataError` where a folder has none of the known forms, or needs metadata that are not given.
    """

    def __init__(self, folders: Sequence[str | Path], metadata: Mapping[str, Speaker]) -> None:
        self._places: dict[str, list[Place]] = defaultdict(list)
        for folder in map(Path, folders):
            for speaker, place in _find_places(folder, metadata):
                self._places[speaker].append(place)
        # A session's folder is asked for with each of its utterances, a speaker's with each of hers.
        self._has_pictures = lru_cache(2**16)(_has_pictures)

    def nearest(self, name: str) -> tuple[str, str]:
        """The level and the most specific folder with pictures for the utterance SPEAKER/VIDEO/UTTERANCE.wav.

        Both are empty where there is none.
        """
        speaker, session, file = name.split("/")
        places = self._places.get(speaker, ())
        videos = [f"{folder}/{session}" for place in places for folder in place.sessions]
        utterance = file.removesuffix(".wav")
        candidates = (
            [f"{video}/{utterance}" for video in videos],
            videos,
            [place.identity for place in places],
        )
        for level, folders in zip(LEVELS, candidates, strict=True):
            for folder in folders:
                if self._has_pictures(folder):
                    return level, folder
        return "", ""


def _find_places(root: Path, metadata: Mapping[str, Speaker]) -> Iterator[tuple[str, Place]]:
    by_face = {speaker.face: identity for identity, speaker in metadata.items()}
    found = False
    vggface2 = by_name = False

    def wanted(name: str) -> bool:
        return name in by_face or bool(SPEAKER.fullmatch(name))

    if not root.is_dir():
        raise DataError("no such folder of faces", file=root, fix="Check the path")
    for parent, names in folders_with(root, wanted):
        for name in names:
            found = True
            folder = parent / name
            if SPEAKER.fullmatch(name):
                yield name, Place(str(folder), (str(folder),))
            elif VGGFACE2.fullmatch(name):
                yield by_face[name], Place(str(folder), ())
            else:
                crops = tuple(entry.path for entry in sorted(os.scandir(folder), key=lambda e: e.name))
                yield by_face[name], Place(str(folder), crops)
    if found:
        return
    vggface2 = any(folders_with(root, VGGFACE2.fullmatch))
    by_name = any(folders_with(root, "1.6".__eq__))
    if vggface2 or by_name:
        needed = "vox2_meta.csv" if vggface2 else "vox1_meta.csv"
        problem, fix = "these faces bear no id of VoxCeleb", f"Give {needed} with --metadata"
    else:
        problem, fix = "no folders of faces", "Give the folder that holds the speakers' folders"
    raise DataError(
        problem,
        file=root,
        expected="id10001/VIDEO, NAME/1.6/VIDEO or n000012, with .jpg files",
        found=None,
        fix=fix,
    )


def _has_pictures(folder: str) -> bool:
    """Whether a picture lies in a folder, or anywhere below it."""
    try:
        with os.scandir(folder) as entries:
            below = []
            for entry in entries:
                if os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                    return True
                if entry.is_dir():
                    below.append(entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return any(map(_has_pictures, below))
