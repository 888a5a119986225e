"""VoxCeleb1 and VoxCeleb2, of which one top folder may hold a part, one or both."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from cmd_speaker.audio import SAMPLE_RATE, read_audio
from cmd_speaker.corpora.corpus import CheckRow, Corpus, Status
from cmd_speaker.corpora.voxceleb_tree import Recording, Tree, scan
from cmd_speaker.errors import SHOWN_ERRORS, DataError
from cmd_speaker.progress import track

VOX1_TEST = frozenset(f"id{number}" for number in range(10270, 10310))
"""The 40 speakers of VoxCeleb1-O: `Set` is test in vox1_meta.csv."""
VOX2_TEST = frozenset(
    f"id{number:05}"
    for number in (
        17, 61, 81, 154, 419, 562, 812, 817, 866, 926, 1000, 1041, 1066, 1106, 1224, 1228, 1298,
        1333, 1437, 1460, 1509, 1541, 1567, 1593, 1618, 1822, 1892, 1989, 2019, 2057, 2086, 2181,
        2286, 2317, 2445, 2465, 2542, 2548, 2576, 2577, 2685, 2725, 2745, 3030, 3041, 3127, 3178,
        3347, 3382, 3524, 3677, 3789, 3839, 3862, 3969, 3978, 3980, 3981, 4006, 4030, 4094, 4119,
        4170, 4232, 4253, 4276, 4295, 4366, 4478, 4536, 4570, 4627, 4656, 4657, 4862, 4950, 5015,
        5055, 5124, 5176, 5202, 5348, 5459, 5594, 5654, 5714, 5816, 5850, 5999, 6104, 6209, 6310,
        6484, 6692, 6811, 6816, 6913, 7312, 7354, 7396, 7414, 7426, 7494, 7620, 7621, 7663, 7802,
        7868, 7874, 7961, 8149, 8374, 8392, 8456, 8548, 8552, 8696, 8701, 8911, 9017,
    )
)  # fmt: skip
"""`Set` is test in vox2_meta.csv: 120 speakers, of whom the release has 118."""


class Part(NamedTuple):
    """Speakers and utterances of a part in the official release."""

    speakers: int
    utterances: int


PARTS = {
    "VoxCeleb1 dev": Part(1211, 148_642),
    "VoxCeleb1 test": Part(40, 4_874),
    "VoxCeleb2 dev": Part(5994, 1_092_009),
    "VoxCeleb2 test": Part(118, 36_237),
}


def is_voxceleb1(speaker: str) -> bool:
    """Whether it is one of id10001 to id11251; VoxCeleb2 has id00012 to id09272."""
    return speaker.startswith("id1")


def part_of(speaker: str) -> str:
    """The part, one of `PARTS`, to which a speaker belongs, wherever the recordings lie."""
    corpus, test = ("VoxCeleb1", VOX1_TEST) if is_voxceleb1(speaker) else ("VoxCeleb2", VOX2_TEST)
    return f"{corpus} {'test' if speaker in test else 'dev'}"


def _check(root: Path, full: bool) -> list[CheckRow]:
    try:
        tree = scan(root)
    except DataError as error:
        return [CheckRow("layout", "SPEAKER/VIDEO/UTTERANCE", str(error), "problem")]
    rows = [*_check_parts(tree), *_check_layout(tree)]
    errors = list(tree.bad.values()) + (_decode(tree.root, tree.recordings) if full else [])
    good = len(tree.recordings) + len(tree.bad) - len(errors)
    rows.append(
        CheckRow(
            "audio",
            f"all {'decode' if full else 'have a readable header'}, {SAMPLE_RATE} Hz, mono",
            f"{good:,} good, {len(errors):,} bad",
            "ok" if good and not errors else "problem",
        )
    )
    return rows + [CheckRow("audio", "a good file", str(error), "problem") for error in errors[:SHOWN_ERRORS]]


def _check_parts(tree: Tree) -> list[CheckRow]:
    names = [recording.name for recording in tree.recordings] + list(tree.bad)
    utterances = Counter(name[: name.index("/")] for name in names)
    rows = []
    for title, part in PARTS.items():
        counts = [count for speaker, count in utterances.items() if part_of(speaker) == title]
        found = Part(len(counts), sum(counts))
        more = found.speakers > part.speakers or found.utterances > part.utterances
        status: Status = "problem" if more else "ok" if found == part else "note"
        text = f"{found.speakers:,} speakers, {found.utterances:,} utterances"
        said = text + " (a part)" * (status == "note") if counts else "none"
        rows.append(
            CheckRow(title, f"{part.speakers:,} speakers, {part.utterances:,} utterances", said, status)
        )
    return rows


def _check_layout(tree: Tree) -> list[CheckRow]:
    """A row for everything that lies elsewhere, or in another form, than it should."""
    rows = []

    def problem(what: str, expected: str, found: str) -> None:
        rows.append(CheckRow(what, expected, found, "problem"))

    speakers_in: dict[str, set[str]] = defaultdict(set)
    for recording in tree.recordings:
        speakers_in[recording.path.rpartition(f"{recording.speaker}/")[0]].add(recording.speaker)
    for folder, speakers in speakers_in.items():
        ones = sum(map(is_voxceleb1, speakers))
        if 0 < ones < len(speakers):
            found = f"{ones:,} speakers of VoxCeleb1 and {len(speakers) - ones:,} of VoxCeleb2"
            fix = "Move id0* to a folder of their own"
            problem("mixed up", "a folder for each corpus", f"{found} in {tree.root / folder}. {fix}")
    if tree.packed:
        fix = "Run python -m data_prep.voxceleb convert on this folder"
        problem("not converted", "wav or flac", f"{len(tree.packed):,} m4a files without one. {fix}")
    if tree.misplaced:
        found = (
            f"{len(tree.misplaced):,} audio files one level higher or lower, the first {tree.misplaced[0]}"
        )
        problem("layout", "SPEAKER/VIDEO/UTTERANCE", f"{found}. Unpack the archives again")
    if tree.lost:
        found = f"{len(tree.lost):,} that lead nowhere, the first {tree.lost[0]}"
        problem("links", "to folders", f"{found}. Mount the disks that they lead to, or remove them")
    if tree.twice:
        found = f"{len(tree.twice):,} utterances again, the first {tree.twice[0].path}"
        problem("audio twice", "each utterance once", f"{found}. Remove one copy")
    return rows


def _decode(root: Path, recordings: Sequence[Recording]) -> list[DataError]:
    """What is wrong with files whose headers are right."""

    def one(recording: Recording) -> DataError | None:
        try:
            read_audio(root / recording.path)
        except DataError as error:
            return error
        return None

    with ThreadPoolExecutor() as pool:
        results = track(pool.map(one, recordings), "Decoding audio", len(recordings))
        return [error for error in results if error is not None]


CORPUS = Corpus(
    name="voxceleb",
    title="VoxCeleb1 and VoxCeleb2 (1,251 and 6,112 celebrities, interviewed)",
    citation="A. Nagrani et al., VoxCeleb: a large-scale speaker identification dataset, Interspeech 2017; "
    "J. S. Chung et al., VoxCeleb2: Deep Speaker Recognition, Interspeech 2018",
    tree="""FOLDER/
  vox1_dev_wav/wav/   id10001/1zcIwhmdeo4/00001.wav ...
  vox1_test_wav/wav/  id10270/5r0dWxy17C8/00001.wav ...
  dev/aac/            id00012/21Uxsk56VDQ/00001.m4a ... (to be converted)
Each of them may be left out or have another name; two may lie in one.""",
    check=_check,
)
