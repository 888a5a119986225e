"""Pictures and descriptions beside anybody's own recordings: whose they are, and which are nobody's."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from pathlib import Path

from cmd_speaker.corpora.folder_tree import Place, Tree, walk
from cmd_speaker.errors import DataError
from cmd_speaker.teachers.pictures import EXTENSIONS


def find_pictures(tree: Tree) -> tuple[set[Place], list[DataError]]:
    """The folders of pictures that belong to somebody, and what is wrong with the others.

    Wrong is a folder called like no speaker (session, utterance) of the audio, and one without a picture.
    """
    if tree.faces is None:
        return set(), []
    places = [recording.place for recording in tree.recordings]
    known = {place[:depth] for place in places for depth in range(1, len(place) + 1)}
    siblings: dict[Place, list[str]] = defaultdict(list)
    for place in sorted(known):
        siblings[place[:-1]].append(place[-1])
    found: set[Place] = set()
    errors = []
    for place, folders, names in walk(tree.faces):
        folder = tree.faces.joinpath(*place)
        pictures = [name for name in names if Path(name).suffix.lower() in EXTENSIONS]
        if place in known and pictures:
            found.add(place)
        elif place in known and not folders:
            errors.append(
                DataError(
                    "no picture in this folder", file=folder, expected=" ".join(EXTENSIONS),
                    found=", ".join(names[:3]) or "nothing", fix="Add pictures or remove the folder",
                )
            )  # fmt: skip
        elif not place and pictures:
            errors.append(
                DataError(
                    "pictures are nobody's", file=folder, expected="faces/speaker/*.jpg",
                    found=f"{len(pictures)}, as {pictures[0]}", fix="Put them into the speaker's folder",
                )
            )  # fmt: skip
        elif place and place not in known and (len(place) == 1 or place[:-1] in known):
            errors.append(_nobodys(folder, place[-1], siblings[place[:-1]]))
    return found, errors


def face_of(place: Place, pictures: set[Place]) -> Place:
    """The most specific folder of pictures for an utterance at `place`; empty if there is none."""
    return next((place[:depth] for depth in range(len(place), 0, -1) if place[:depth] in pictures), ())


def level_of(face: Place, place: Place) -> str:
    """What the pictures in `face` belong to, of an utterance at `place`; "none" for no face."""
    if not face:
        return "none"
    return "utterance" if face == place else "session" if len(face) == 2 else "identity"


def read_texts(tree: Tree) -> tuple[dict[str, str], list[DataError]]:
    """The speakers' descriptions, each in one line, and what is wrong.

    A description that holds the name of the speaker's folder is kept, but named: a text teacher that has read
    names knows who it is, not what a voice has to do with it.
    """
    texts: dict[str, str] = {}
    errors = []
    speakers = tree.speakers
    if tree.text is None:
        return {}, []
    _, folders, files = next(walk(tree.text))
    for path in [tree.text / name for name in (*folders, *files)]:
        if path.suffix.lower() != ".txt":
            errors.append(
                DataError("not a description", file=path, expected="text/speaker.txt", fix="Move it away")
            )
            continue
        if path.stem not in speakers:
            errors.append(_nobodys(path, path.stem, speakers))
            continue
        try:
            text = " ".join(path.read_text(encoding="utf-8-sig").split())
        except (UnicodeDecodeError, OSError) as error:
            errors.append(
                DataError(
                    "the description cannot be read", file=path, expected="UTF-8 text", found=str(error),
                    fix="Save it as UTF-8 or remove it",
                )
            )  # fmt: skip
            continue
        if not text:
            errors.append(
                DataError("the description is empty", file=path, fix="Write one or remove the file")
            )
            continue
        texts[path.stem] = text
        if name := _name_in(text, path.stem):
            errors.append(
                DataError(
                    "the description holds the name of the speaker's folder", file=path,
                    expected="what the speaker is like, without a name", found=f"'{name}'",
                    fix="Remove the name; the description is used as it is",
                )
            )  # fmt: skip
    return texts, errors


def _name_in(text: str, speaker: str) -> str | None:
    """The folder's name, or a word of three letters or more of it, as it stands in the text."""
    parts = [part for part in re.split(r"[\W\d_]+", speaker) if len(part) > 2]
    words = "|".join(re.escape(part) for part in (speaker, *parts))
    found = re.search(rf"(?<!\w)(?:{words})(?!\w)", text, re.IGNORECASE)
    return found[0] if found else None


def _nobodys(path: Path, name: str, siblings: list[str]) -> DataError:
    """The error for a folder or file whose name is nobody's."""
    near = difflib.get_close_matches(name, siblings, n=1)
    few = ", ".join(siblings[:5]) or "none"
    return DataError(
        f"'{name}' is nobody's in the audio", file=path, expected=f"a name like {few}", found=f"'{name}'",
        fix=f"Did you mean '{near[0]}'? Rename it" if near else "Rename or remove it",
    )  # fmt: skip
