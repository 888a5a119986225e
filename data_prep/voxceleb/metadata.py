"""VoxCeleb's metadata: who is a man or a woman, from where, and whose face; never anybody's name in a text.

Three files are about. vox1_meta.csv is separated by tabs in spite of its name; vox2_meta.csv of OpenSLR 49 by a
blank and a tab; the copy of it without names by commas, with a blank behind each value.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cmd_speaker.corpora.voxceleb_tree import SPEAKER
from cmd_speaker.errors import DataError, DataErrors

COLUMNS = ("VoxCeleb1 ID or VoxCeleb2 ID", "VGGFace1 ID or VGGFace2 ID", "Gender", "Set")
"""What must be there; `Nationality` may be, and `Name` is not read."""
GENDERS = {"m": "man", "f": "woman"}
WITH_ARTICLE = ("Netherlands", "Philippines", "UK", "USA")


@dataclass(frozen=True)
class Speaker:
    """What is known about a speaker.

    `face` is the identity in VGGFace2 (`n000012`) or, of VoxCeleb1, in VGGFace: that is the person's name, which
    must go into nothing that is written but paths.
    """

    gender: str
    nationality: str
    is_test: bool
    face: str


def read_metadata(paths: Sequence[str | Path]) -> dict[str, Speaker]:
    """Speaker id -> what the files say.

    Raises `DataError` (no such file, not UTF-8, other columns) or `DataErrors` (every bad row).
    """
    speakers: dict[str, Speaker] = {}
    errors: list[DataError] = []
    for path in map(Path, paths):
        for row, fields in _rows(path):
            identity, speaker, problem = _parse(fields)
            if problem is None and identity in speakers:
                problem = ("each speaker once", f"'{identity}' again")
            if problem is None:
                speakers[identity] = speaker
            else:
                errors.append(
                    DataError(
                        "bad speaker", file=path, row=row, expected=problem[0], found=problem[1],
                        fix="Copy the file again",
                    )
                )  # fmt: skip
    if errors:
        raise DataErrors(f"{len(errors)} rows of the metadata are wrong", errors)
    return speakers


def describe(speaker: Speaker) -> str:
    """A speaker in plain English, without the name; equal speakers, equal texts."""
    country = speaker.nationality
    where = f" from {'the ' * (country in WITH_ARTICLE)}{country}" if country else ""
    return f"A {GENDERS[speaker.gender]}{where}."


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and fields of each row, without blanks around them; fields that the header lacks under None."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "the metadata cannot be read", file=path, expected="a text file in UTF-8", found=str(error),
            fix="Download it again",
        ) from error  # fmt: skip
    separator = "\t" if lines and "\t" in lines[0] else ","
    header, *rows = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE) if lines else [[]]
    columns = [name.strip() for name in header]
    if not all(any(name in columns for name in wanted.split(" or ")) for wanted in COLUMNS):
        raise DataError(
            "not VoxCeleb's metadata", file=path, row=1, expected=", ".join(COLUMNS),
            found=", ".join(columns) or "an empty file", fix="Give vox1_meta.csv or vox2_meta.csv",
        )  # fmt: skip
    missing = [""] * len(columns)
    return [
        (number, dict(zip(columns, [value.strip() for value in row] + missing, strict=False)))
        for number, row in enumerate(rows, start=2)
        if any(row)
    ]


def _parse(fields: dict[str, str]) -> tuple[str, Speaker, tuple[str, str] | None]:
    """The speaker of a row; and what was expected and found where the row is wrong."""
    identity = fields.get("VoxCeleb1 ID") or fields.get("VoxCeleb2 ID") or ""
    gender, part = fields["Gender"], fields["Set"]
    face = fields.get("VGGFace1 ID") or fields.get("VGGFace2 ID") or ""
    wrong = None
    if not SPEAKER.fullmatch(identity):
        wrong = ("an id like id10001", f"'{identity}'")
    elif gender not in GENDERS:
        wrong = (f"the gender m or f of {identity}", f"'{gender}'")
    elif part not in ("dev", "test"):
        wrong = (f"dev or test for {identity}", f"'{part}'")
    return identity, Speaker(gender, fields.get("Nationality", ""), part == "test", face), wrong
