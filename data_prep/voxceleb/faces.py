"""Folders of faces for VoxCeleb's speakers: whose they are, and the nearest one to an utterance.

id10001/VIDEO/00001/*.jpg, id10001/VIDEO/*.jpg      by VoxCeleb's ids
id00012/VIDEO/00001.mp4                             VoxCeleb2's own videos
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
from cmd_speaker.kaldi import folder_content
from cmd_speaker.manifest import DATA_ROOT
from cmd_speaker.teachers.matching import LEVELS
from cmd_speaker.teachers.pictures import EXTENSIONS, VIDEOS
from data_prep.voxceleb.metadata import Speaker

SHOWN = (*EXTENSIONS, *VIDEOS)
VGGFACE2 = re.compile(r"n\d{6}")


class Place(NamedTuple):
    """A speaker's folder, and the folders in it that hold a folder for each video."""

    identity: str
    sessions: tuple[str, ...]


class FaceFolders:
    """The faces under `folders` of the speakers of `metadata`, or of all, where folders bear VoxCeleb's ids.

    Raises `DataError` where a folder has none of the known forms, or needs metadata that are not given.
    """

    def __init__(
        self, folders: Sequence[str | Path], metadata: Mapping[str, Speaker], data_root: str | Path
    ) -> None:
        self._root = f"{Path(data_root).absolute()}{os.sep}"
        self._places: dict[str, list[Place]] = defaultdict(list)
        for folder in folders:
            for speaker, place in _find_places(Path(folder).absolute(), metadata):
                self._places[speaker].append(place)
        # A session's folder is asked for with each of its utterances, a speaker's with each of theirs.
        self._has_pictures = lru_cache(2**16)(_has_pictures)

    def nearest(self, name: str) -> tuple[str, str]:
        """The level of the most specific place with pictures for the utterance SPEAKER/VIDEO/UTTERANCE.wav, a
        folder or its video, and what a manifest calls it: one below the data root begins with `$data_root`.

        Both are empty where there is none.
        """
        speaker, session, file = name.split("/")
        places = self._places.get(speaker, ())
        videos = [f"{folder}/{session}" for place in places for folder in place.sessions]
        utterance = file.removesuffix(".wav")
        candidates = (
            [f"{video}/{utterance}{ending}" for video in videos for ending in ("", ".mp4")],
            videos,
            [place.identity for place in places],
        )
        for level, folders in zip(LEVELS, candidates, strict=True):
            for folder in folders:
                if self._has_pictures(folder):
                    below = folder.startswith(self._root)
                    return level, f"{DATA_ROOT}/{folder[len(self._root) :]}" if below else folder
        return "", ""


def _find_places(root: Path, metadata: Mapping[str, Speaker]) -> Iterator[tuple[str, Place]]:
    if not root.is_dir():
        raise DataError("no such folder of faces", file=root, fix="Check the path")
    by_face = {speaker.face: identity for identity, speaker in metadata.items()}
    found = list(folders_with(root, lambda name: name in by_face or SPEAKER.fullmatch(name)))
    if not found:
        raise _no_faces(root)
    for folder, name in ((parent / name, name) for parent, names in found for name in names):
        if SPEAKER.fullmatch(name):
            yield name, Place(str(folder), (str(folder),))
        elif VGGFACE2.fullmatch(name):
            yield by_face[name], Place(str(folder), ())
        else:
            # The folder between a person's and the videos' says how widely the faces were cut: 1.6.
            yield by_face[name], Place(str(folder), tuple(sorted(entry.path for entry in os.scandir(folder))))


def _no_faces(root: Path) -> DataError:
    signs = {"vox2_meta.csv": VGGFACE2, "vox1_meta.csv": re.compile(r"1\.6")}
    missing = [file for file, sign in signs.items() if any(folders_with(root, sign.fullmatch))]
    problem = "these folders of faces bear no id of VoxCeleb" if missing else "no folders of faces"
    fix = f"Give {missing[0]} as metadata" if missing else "Give the folder that holds the speakers' folders"
    expected = "id10001/VIDEO, NAME/1.6/VIDEO or n000012, with .jpg files or videos"
    return DataError(problem, file=root, expected=expected, found=folder_content(root), fix=fix)


def _has_pictures(folder: str) -> bool:
    """Whether a picture or video lies in a folder or anywhere below it, or it is a video itself."""
    try:
        with os.scandir(folder) as entries:
            below = []
            for entry in entries:
                if os.path.splitext(entry.name)[1].lower() in SHOWN:
                    return True
                if entry.is_dir():
                    below.append(entry.path)
    except NotADirectoryError:
        return os.path.splitext(folder)[1] in VIDEOS and os.path.isfile(folder)
    except FileNotFoundError:
        return False
    return any(map(_has_pictures, below))
