"""Mini, the corpus: voices, faces and descriptions in a VoxCeleb-shaped tree, the same bytes for the same seed.

    CORPUS/wav/id10001/s1/00001.flac     recordings, 16 kHz
    CORPUS/faces/id10001/s1/1.jpg        pictures, of training and validation speakers only
    CORPUS/manifests/                    train.csv, valid.csv, test.csv, valid_trials.txt, test_trials.txt
    CORPUS/corpus.json                   what it was made with

Training, validation and test share no speaker and no voice variant. Nobody of the test part is described
or drawn: nothing about them can reach a teacher.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.errors import DataError, UsageError, exit_code_of
from cmd_speaker.files import write_json
from cmd_speaker.manifest import DATA_ROOT, write_manifest
from cmd_speaker.progress import track
from data_prep.mini.faces import Looks, draw_looks, draw_picture, draw_sitting
from data_prep.mini.recording import draw_session, record
from data_prep.mini.sentences import draw_sentence
from data_prep.mini.speakers import Speaker, describe, draw_speakers
from data_prep.mini.voices import Sentence, speak

SESSIONS = 4
UTTERANCES = {"train": 3, "valid": 3, "test": 2}
"""Recordings a session."""
PICTURES = 3
"""Pictures a session."""
NONTARGETS = 2
"""Nontarget trials for each target trial."""
VOICE, FACE, TRIALS = 1, 2, 3
"""What a random stream is for, its seed's last number. Not 0: NumPy takes that for no number at all."""
VERSION = 1
"""Of the corpus: another number, other bytes."""


@dataclass(frozen=True)
class Design:
    """What decides the corpus: its seed and the number of speakers of each part."""

    seed: int = 1
    train: int = 120
    valid: int = 20
    test: int = 80

    def __post_init__(self) -> None:
        for part in UTTERANCES:
            count = getattr(self, part)
            if not 4 <= count <= 9999:
                raise UsageError(f"{count} speakers in the {part} part: expected 4 to 9999")


@dataclass(frozen=True)
class Prepared:
    """The corpus's manifests and trial lists."""

    train: Path
    valid: Path
    test: Path
    valid_trials: Path
    test_trials: Path


def prepare(data_folder: str | Path, design: Design) -> Prepared:
    """The corpus of `design` in `data_folder`, made unless it is there.

    It is built beside its place and moved there when it is whole, so a broken run leaves no half corpus.
    Raises `DataError` where the folder holds something else, or not all of the corpus any more.
    """
    if data_folder in (None, ""):
        raise UsageError("no data_folder: give the folder in which the corpus is to be made")
    root = Path(str(data_folder)).resolve()
    if root.exists() and not root.is_dir():
        raise DataError("not a folder", file=root, fix="Choose another --data_folder")
    if not root.is_dir() or not any(root.iterdir()):
        _make(root, design)
    _check(root, design)
    names = ("train.csv", "valid.csv", "test.csv", "valid_trials.txt", "test_trials.txt")
    return Prepared(*(root / "manifests" / name for name in names))


def _check(root: Path, design: Design) -> None:
    """Raise `DataError` unless `root` holds all of the corpus of `design`."""
    wanted, found = _made_with(design), _read_json(root / "corpus.json")
    if found is None or {key: found.get(key) for key in wanted} != wanted:
        raise DataError(
            "the folder holds another corpus", file=root, expected=wanted,
            found=found or "no readable corpus.json", fix="Choose another --data_folder, or delete this one",
        )  # fmt: skip
    if (files := _count_files(root)) != found.get("files"):
        raise DataError(
            "the corpus is not complete any more", file=root, expected=found.get("files"), found=files,
            fix="Delete the folder: it will be made again",
        )  # fmt: skip


def _made_with(design: Design) -> dict[str, int]:
    return {"version": VERSION, **asdict(design)}


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _count_files(root: Path) -> dict[str, int]:
    kinds = ("wav/*/*/*.flac", "faces/*/*/*.jpg", "manifests/*")
    return {kind: sum(path.stat().st_size > 0 for path in root.glob(kind)) for kind in kinds}


def _make(root: Path, design: Design) -> None:
    """Build the corpus in a folder named after this process, which takes the place of `root` when it is whole."""
    for left in root.parent.glob(f".{root.name}.*.partial"):
        process = left.name.split(".")[-2]
        if process.isdecimal() and not _runs(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    building = root.with_name(f".{root.name}.{os.getpid()}.partial")
    try:
        # More workers than the disk can serve only take memory.
        workers = min(
            4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        with ProcessPoolExecutor(workers, get_context("spawn"), _end_with, (os.getpid(),)) as pool:
            for part in UTTERANCES:
                _make_part(building, part, design, pool)
        made_by = {"espeakng-loader": version("espeakng-loader"), "pillow": version("pillow")}
        write_json(
            building / "corpus.json",
            {**_made_with(design), "files": _count_files(building), "made_by": made_by},
        )
        if root.is_dir():
            root.rmdir()
        building.rename(root)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that made the corpus was ended from outside", file=root, expected="1 GB of free memory",
            found=str(error), fix="Free some memory and repeat the command",
        ) from error  # fmt: skip
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _end_with(parent: int) -> None:
    """In a worker: end when the process that began it has ended, also where that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _make_part(root: Path, part: str, design: Design, pool: Executor) -> None:
    """Recordings, pictures, manifest and trials of one part."""
    speakers = draw_speakers(part, getattr(design, part), design.seed)
    made = pool.map(partial(_make_speaker, root, part, design.seed), speakers)
    groups = list(track(made, f"Making the {part} speakers", len(speakers)))
    rows = [row for group in groups for row in group]
    columns = ["session", "gender", "age", "transcript", *(["text", "face"] if part != "test" else [])]
    write_manifest(root / "manifests" / f"{part}.csv", columns, rows)
    if part != "train":
        trials = _draw_trials(rows, np.random.default_rng((design.seed, len(rows), TRIALS)))
        (root / "manifests" / f"{part}_trials.txt").write_text("".join(trials), encoding="utf-8")


def _make_speaker(root: Path, part: str, seed: int, speaker: Speaker) -> list[list[object]]:
    """Write what belongs to one speaker; the rows of the manifest."""
    # Voice and face are drawn apart: neither changes when the other one does.
    number = int(speaker.id.removeprefix("id"))
    voice, face = (np.random.default_rng((seed, number, sense)) for sense in (VOICE, FACE))
    sessions = [(f"s{k + 1}", draw_session(voice)) for k in range(SESSIONS)]
    places = [(name, session, f"{k + 1:05d}") for name, session in sessions for k in range(UTTERANCES[part])]
    sentences = _draw_sentences(speaker, part, voice)
    described: list[object] = []
    if part != "test":
        looks = draw_looks(face, sex=speaker.sex, age=speaker.age, size=speaker.size, energy=speaker.energy)
        for name, _ in sessions:
            _draw_pictures(root / "faces" / speaker.id / name, looks, face)
        described = [describe(speaker)]
    rows: list[list[object]] = []
    waves = speak(speaker.variant, speaker.tract, sentences)
    for (name, session, file), sentence, wave in zip(places, sentences, waves, strict=True):
        key = f"{speaker.id}/{name}/{file}.flac"
        path = root / "wav" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, record(wave, session, voice), SAMPLE_RATE, subtype="PCM_16")
        about = [name, speaker.sex, int(speaker.age), sentence.text, *described]
        if part != "test":
            about.append(f"{DATA_ROOT}/faces/{speaker.id}/{name}")
        rows.append([key, len(wave) / SAMPLE_RATE, f"{DATA_ROOT}/wav/{key}", "", "", speaker.id, *about])
    return rows


def _draw_sentences(speaker: Speaker, part: str, rng: np.random.Generator) -> list[Sentence]:
    """What a speaker says in all sessions, and how: every day a little different, every sentence too."""
    sentences = []
    for _ in range(SESSIONS):
        day = rng.standard_normal(3)
        for _ in range(UTTERANCES[part]):
            pitch, rate, intonation = day + 0.4 * rng.standard_normal(3)
            values = (
                speaker.pitch + 4 * pitch,
                speaker.rate * (1 + 0.06 * rate),
                speaker.range + 8 * intonation,
            )
            limits = ((0, 99), (80, 300), (0, 99))
            said = [round(np.clip(value, *ends)) for value, ends in zip(values, limits, strict=True)]
            sentences.append(Sentence(draw_sentence(rng), *said))
    return sentences


def _draw_pictures(folder: Path, looks: Looks, rng: np.random.Generator) -> None:
    """The pictures of one session."""
    folder.mkdir(parents=True, exist_ok=True)
    sitting = draw_sitting(rng)
    for k in range(PICTURES):
        draw_picture(looks, sitting, rng).save(folder / f"{k + 1}.jpg", quality=92)


def _draw_trials(rows: Sequence[Sequence[object]], rng: np.random.Generator) -> list[str]:
    """All pairs of one speaker's sessions, and for each of them `NONTARGETS` pairs of people of one sex.

    Pairs within a session are left out: they share room and microphone.
    """
    speaker, session, sex = 5, 6, 7
    targets, nontargets = [], []
    for a, b in combinations(rows, 2):
        if a[speaker] == b[speaker]:
            if a[session] != b[session]:
                targets.append(f"1 {a[0]} {b[0]}\n")
        elif a[sex] == b[sex]:
            nontargets.append(f"0 {a[0]} {b[0]}\n")
    chosen = rng.permutation(len(nontargets))[: NONTARGETS * len(targets)]
    return targets + [nontargets[k] for k in chosen]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.mini.corpus", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("data_folder", help="where the corpus is made")
    for name, value in asdict(Design()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = vars(parser.parse_args(arguments))
    prepared = prepare(options.pop("data_folder"), Design(**options))
    print("\n".join(str(path) for path in vars(prepared).values()))


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
