"""Pictures for a teacher: which the manifest names, whose they are, and their pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import file_checksum
from cmd_speaker.manifest import Manifest, Utterance, resolve
from cmd_speaker.progress import track
from cmd_speaker.quality import image
from cmd_speaker.teachers.bank import TeacherInput
from cmd_speaker.teachers.matching import key_of

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
VIDEOS = (".avi", ".mkv", ".mov", ".mp4", ".webm")
"""Of which `cmd_speaker.faces` takes frames."""
GIVEN = "detector_probability"
"""The manifest's column for a quality that nothing here measures."""


def face_inputs(manifest: Manifest, data_root: str | Path | None = None) -> list[TeacherInput]:
    """The pictures of the column `face`, each value of which is a picture or a folder of pictures.

    A folder without pictures of its own stands for those in its folders. A value may begin with `$data_root`;
    empty: no face. What one utterance alone names is that utterance's, what several of one session name the
    session's, what other utterances of one speaker name the identity's. Inputs are in the order in which the
    manifest first names them, a folder's sorted by name.

    Raises `DataError` (a picture of two speakers, no face at all) or `DataErrors` (every missing or unreadable
    picture and every folder without one, each with its first row).
    """
    inputs: list[TeacherInput] = []
    errors = []
    places = face_places(manifest, data_root)
    for place in places:
        try:
            quality = place.given_quality()
            inputs += [
                TeacherInput(
                    place.level, place.key, place.speaker, place.session, _checksum(path), str(path), quality
                )
                for path in pictures_at(place.path)
            ]
        except DataError as error:
            errors.append(error.at(manifest.path, place.row))
    if errors:
        raise DataErrors(f"{manifest.path}: {len(errors)} of {len(places)} faces cannot be used", errors)
    return inputs


@dataclass(frozen=True)
class FacePlace:
    """A value of the column `face`, and the utterances of one speaker that name it."""

    path: Path
    utterances: Sequence[Utterance]

    @property
    def level(self) -> str:
        """The utterance that alone names it, or the session of all; no session is no session in common."""
        sessions = {utterance.fields.get("session", "") for utterance in self.utterances}
        if len(self.utterances) == 1:
            return "utterance"
        return "session" if len(sessions) == 1 and sessions != {""} else "identity"

    @property
    def key(self) -> str:
        return key_of(self.utterances[0], self.level)

    @property
    def speaker(self) -> str:
        return self.utterances[0].spk_id

    @property
    def session(self) -> str:
        return "" if self.level == "identity" else self.utterances[0].fields.get("session", "")

    @property
    def row(self) -> int | None:
        return self.utterances[0].row

    def given_quality(self) -> dict[str, float]:
        """Qualities that nothing here can measure, where the manifest has them: the detector's probability.

        Raises `DataError` where it is no number, or not the same for all utterances that name the face.
        """
        if GIVEN not in self.utterances[0].fields:
            return {}
        texts = sorted({utterance.fields[GIVEN] for utterance in self.utterances})
        try:
            value = float(texts[0])
        except ValueError:
            value = math.nan
        if len(texts) > 1 or not math.isfinite(value):
            raise DataError(
                f"bad {GIVEN} of the face '{self.path}'",
                expected="one and the same number for all its utterances",
                found=", ".join(f"'{text}'" for text in texts), fix="Correct it or remove the column",
            )  # fmt: skip
        return {GIVEN: value}


def face_places(manifest: Manifest, data_root: str | Path | None = None) -> list[FacePlace]:
    """What the column `face` names, in the order in which the manifest first does.

    Raises `DataError` where that is nothing, and for a face of two speakers.
    """
    users: dict[Path, list[Utterance]] = {}
    for utterance, value in zip(manifest, manifest.column("face"), strict=True):
        if value:
            place = resolve(value, data_root, manifest.path, utterance.row)
            users.setdefault(place, []).append(utterance)
    if not users:
        raise DataError(
            "no utterance has a face for the teacher", file=manifest.path, fix="Fill the column 'face'"
        )
    for path, utterances in users.items():
        _refuse_two_speakers(manifest, path, utterances)
    return [FacePlace(path, utterances) for path, utterances in users.items()]


def read_pictures(paths: Sequence[str | Path], pixels: int) -> np.ndarray:
    """Pictures as uint8 [n, 3, pixels, pixels], red, green and blue; raises `DataErrors` naming every bad one."""
    with ThreadPoolExecutor() as pool:
        reading = pool.map(lambda path: _read_or_error(path, pixels), paths)
        read = list(track(reading, "Reading pictures", len(paths)))
    if errors := [each for each in read if isinstance(each, DataError)]:
        raise DataErrors(f"{len(errors)} of {len(paths)} pictures cannot be read", errors)
    return np.stack([each for each in read if isinstance(each, np.ndarray)])


def read_picture(path: str | Path, pixels: int | None = None) -> np.ndarray:
    """One picture, upright, brought to `pixels` by `pixels` unless None: uint8 [3, height, width].

    Raises `DataError` naming the file where Pillow cannot decode it.
    """
    try:
        with Image.open(path) as image:
            upright = _with_8_bits(ImageOps.exif_transpose(image)).convert("RGB")
            resized = upright.resize((pixels, pixels), Image.Resampling.BILINEAR) if pixels else upright
    # Pillow's decoders raise SyntaxError for broken PNG files.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            "not readable as a picture", file=path, expected="a whole JPEG, PNG, ... file", found=_said(error),
            fix="Copy it again, or remove it",
        ) from error  # fmt: skip
    return np.asarray(resized).transpose(2, 0, 1)


def _with_8_bits(image: Image.Image) -> Image.Image:
    """Pillow would cut 16-bit grey off at 255 instead of scaling it."""
    if image.getbands() != ("I",):
        return image
    return Image.fromarray((np.asarray(image) / 257).clip(0, 255).round().astype(np.uint8))


def _said(error: Exception) -> str:
    """What Pillow or the system found, without the path: that may hold a person's name, and goes into reports."""
    if isinstance(error, UnidentifiedImageError):
        return "no picture that Pillow knows"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def measure_pictures(paths: Sequence[str | Path]) -> dict[str, list[float]]:
    """The qualities of picture files, measured on each as it is; raises `DataError` naming one that is none."""

    def measure(path: str | Path) -> list[float]:
        picture = read_picture(path)
        return [each(picture) for each in image.MEASURES.values()]

    with ThreadPoolExecutor() as pool:
        rows = list(track(pool.map(measure, paths), "Measuring pictures", len(paths)))
    return {name: [row[place] for row in rows] for place, name in enumerate(image.MEASURES)}


def pictures_at(place: Path) -> list[Path]:
    """A picture, or those of a folder, sorted; where it has none of its own, those of the folders in it.

    Raises `DataError` where there is none.
    """
    try:
        beside = sorted(place.iterdir()) if place.is_dir() else [place]
        pictures = _pictures(beside) or (_pictures(sorted(place.rglob("*"))) if place.is_dir() else [])
    except OSError as error:
        raise _unreadable(place, error) from error
    if not pictures:
        kind = "a folder without pictures" if place.is_dir() else "no such picture"
        raise DataError(
            "no picture of a face", file=place, expected=f"{', '.join(EXTENSIONS)} or a folder of them",
            found="another kind of file" if place.is_file() else kind,
            fix="Correct the column 'face', or leave it empty where there is no face",
        )  # fmt: skip
    return pictures


def _pictures(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.suffix.lower() in EXTENSIONS and path.is_file()]


def _checksum(picture: Path) -> str:
    try:
        return file_checksum(picture)
    except OSError as error:
        raise _unreadable(picture, error) from error


def _unreadable(place: Path, error: OSError) -> DataError:
    return DataError(
        "the face cannot be read", file=place, expected="a readable picture or folder", found=error.strerror,
        fix="Copy it again, or change its permissions",
    )  # fmt: skip


def _read_or_error(path: str | Path, pixels: int) -> np.ndarray | DataError:
    try:
        return read_picture(path, pixels)
    except DataError as error:
        return error


def _refuse_two_speakers(manifest: Manifest, place: Path, utterances: Sequence[Utterance]) -> None:
    first = utterances[0]
    other = next((utterance for utterance in utterances if utterance.spk_id != first.spk_id), None)
    if other is not None:
        raise DataError(
            f"the face '{place}' belongs to two speakers", file=manifest.path, row=other.row,
            expected=f"speaker '{first.spk_id}' only, as in row {first.row}", found=f"speaker '{other.spk_id}'",
            fix="Give each speaker pictures of their own",
        )  # fmt: skip
