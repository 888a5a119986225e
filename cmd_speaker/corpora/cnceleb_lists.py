"""CN-Celeb's lists and recordings: who is trained on, who is evaluated, and which files the trials name.

The layout is that of OpenSLR 82. How dev.lst, enroll.lst and enroll.map write names its description leaves open:
here it is as public recipes (Kaldi's, WeSpeaker's) read them; a line of another form is an error that shows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import NamedTuple

import numpy as np

from cmd_speaker.audio import EXTENSIONS
from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.kaldi import find_audio, folder_content, read_table
from cmd_speaker.lists.trials import Trials, load_trials
from cmd_speaker.progress import track
from cmd_speaker.scoring.enrolment import load_enrol_map

FIRST, SECOND = "CN-Celeb_flac", "CN-Celeb2_flac"
TRAINING_LISTS = {FIRST: f"{FIRST}/dev/dev.lst", SECOND: f"{SECOND}/spk.lst"}
EVALUATION = f"{FIRST}/eval"
TRIALS, ENROL_LIST, ENROL_MAP = (
    f"{EVALUATION}/lists/{n}" for n in ("trials.lst", "enroll.lst", "enroll.map")
)
TREE = f"""ROOT/
  {FIRST}/
    data/   id00010/speech-01-001.flac ...   speaker/genre-session-utterance
    dev/    dev.lst                          the training speakers
    eval/   enroll/id00800-enroll.flac  test/id00800-singing-01-005.flac
            lists/  trials.lst  enroll.lst  enroll.map  test.lst
  [{SECOND}/
    data/   id10000/...
    spk.lst]"""
SPEAKER = re.compile(r"id\d{5}")
UTTERANCE = re.compile(r"(?P<session>(?P<genre>[^\W\d]+(?:-[^\W\d]+)*)-\d+)-\d+")
"""`speech-01-001`, `live_broadcast-02-013`: genre, session of this genre, utterance."""
ENROLMENT = re.compile(rf"(?P<speaker>{SPEAKER.pattern})-enroll")
TEST = re.compile(rf"test/(?P<speaker>{SPEAKER.pattern})-{UTTERANCE.pattern}(?:\.\w+)?")
PIECE = re.compile(rf"(?P<speaker>{SPEAKER.pattern})/{UTTERANCE.pattern}(?:\.\w+)?")
EXAMPLES = {
    ENROLMENT: "id00800-enroll",
    TEST: "test/id00800-singing-01-005.wav",
    PIECE: "id00800/speech-01-001.wav",
}


class Recording(NamedTuple):
    """One utterance; `path` is relative to the corpus. The session is named with its genre: `speech-01`."""

    id: str
    path: str
    speaker: str
    session: str
    genre: str


@dataclass(frozen=True)
class Training:
    """The training recordings of one corpus, and what is in `data/` besides.

    `kept_out` counts the recordings of each speaker who is in `data/` but not in the list; `absent` are listed
    speakers without a recording.
    """

    recordings: Sequence[Recording]
    kept_out: Mapping[str, int]
    absent: Sequence[str]

    @property
    def speakers(self) -> set[str]:
        return {recording.speaker for recording in self.recordings}


@dataclass(frozen=True)
class Evaluation:
    """The recordings that the trials name, under the names that the trials give them.

    `models` says of which `pieces` each enrolment was put together; both are empty where there is no enroll.map.
    """

    trials: Trials
    enrolments: Sequence[Recording]
    tests: Sequence[Recording]
    models: Mapping[str, Sequence[str]]
    pieces: Sequence[Recording]

    @property
    def speakers(self) -> set[str]:
        return {recording.speaker for recording in (*self.enrolments, *self.tests)}

    @property
    def recordings(self) -> list[Recording]:
        return [*self.enrolments, *self.pieces, *self.tests]


def read_training(root: Path, corpus: str) -> Training:
    """The recordings of the listed speakers of `corpus`, a key of `TRAINING_LISTS`, sorted by name.

    Raises `DataError` (no list, no data) or `DataErrors` (every line that is no speaker, every speaker listed
    twice, every file whose name has another form or is there twice).
    """
    listed = read_speakers(root / TRAINING_LISTS[corpus])
    data = root / corpus / "data"
    if not data.is_dir():
        raise DataError("no recordings", file=data, expected=f"\n{TREE}\n", found=folder_content(data.parent))
    folders = sorted(entry.name for entry in os.scandir(data) if entry.is_dir() and entry.name[0] != ".")
    recordings: list[Recording] = []
    kept_out, errors = {}, []
    for speaker in track(folders, f"Listing {corpus}", len(folders)):
        names = sorted(entry.name for entry in os.scandir(data / speaker) if _is_audio(entry.name))
        if speaker not in listed:
            kept_out[speaker] = len(names)
            continue
        stems: dict[str, str] = {}
        for name in names:
            stem = name.rpartition(".")[0]
            first = stems.setdefault(stem, name)
            match = UTTERANCE.fullmatch(stem)
            if match is None or first != name:
                problem = "an utterance is there twice" if match else "not the name of an utterance"
                expected = (
                    f"{first} alone" if match else "GENRE-SESSION-UTTERANCE.flac, as speech-01-001.flac"
                )
                errors.append(
                    DataError(
                        problem, file=data / speaker / name, expected=expected, found=name,
                        fix="Rename or remove it, or copy the corpus again",
                    )
                )  # fmt: skip
                continue
            path = f"{corpus}/data/{speaker}/{name}"
            recordings.append(
                Recording(
                    f"{speaker}/{stem}", path, speaker, intern(match["session"]), intern(match["genre"])
                )
            )
    if errors:
        raise DataErrors(f"{data}: {len(errors)} files have names that cannot be read", errors)
    absent = sorted(listed.keys() - {recording.speaker for recording in recordings})
    if not recordings:
        raise DataError(
            "no recording of a listed speaker", file=data, expected=f"{absent[0]}/speech-01-001.flac ...",
            found=folder_content(data), fix=f"Unpack the whole archive of {corpus}",
        )  # fmt: skip
    return Training(recordings, kept_out, absent)


def read_speakers(path: Path) -> dict[str, int]:
    """Speaker -> row of a list with one speaker a line; raises as `read_training` does."""
    if not path.is_file():
        raise DataError(
            "no list of the training speakers", file=path, expected=f"\n{TREE}\n",
            found=folder_content(path.parent), fix="Give the folder that holds CN-Celeb_flac",
        )  # fmt: skip
    rows: dict[str, int] = {}
    errors = []
    for row, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        speaker = line.strip()
        if SPEAKER.fullmatch(speaker) and speaker not in rows:
            rows[speaker] = row
        elif speaker:
            expected = f"'{speaker}' once" if speaker in rows else "one speaker, as id00010"
            errors.append(
                DataError("not a speaker", file=path, row=row, expected=expected, found=f"'{line}'")
            )
    if errors:
        raise DataErrors(f"{path}: {len(errors)} lines are wrong", errors)
    if not rows:
        raise DataError("the list has no speakers", file=path, fix="Copy it again")
    return rows


def read_evaluation(root: Path) -> Evaluation:
    """The trials, and the recordings that they and the map of the enrolments name; all of them must be there.

    Raises `DataError` or `DataErrors`: lists that are missing or of another form, names without a file, trials
    whose label is not that of their speakers.
    """
    trials = load_trials(root / TRIALS)
    enrol_ids, test_ids = ([trials.ids[k] for k in np.unique(side)] for side in (trials.enrol, trials.test))
    entries = read_table(root / ENROL_LIST)
    has_map = (root / ENROL_MAP).is_file()
    models = load_enrol_map(root / ENROL_MAP).models if has_map else {}
    missing = [
        *(_missing(root / ENROL_LIST, name) for name in enrol_ids if name not in entries),
        *(_missing(root / ENROL_MAP, name) for name in enrol_ids if has_map and name not in models),
    ]
    if missing:
        raise DataErrors(f"{root / EVALUATION}: {len(missing)} enrolments have no line", missing)
    models = {name: models[name] for name in enrol_ids if has_map}
    piece_ids = dict.fromkeys(name for members in models.values() for name in members)
    found = {
        "enrolments": [_find(root, n, ENROLMENT, f"{EVALUATION}/{entries[n]}", TRIALS) for n in enrol_ids],
        "tests": [_find(root, n, TEST, f"{EVALUATION}/{n}", TRIALS) for n in test_ids],
        "pieces": [_find(root, n, PIECE, f"{FIRST}/data/{n}", ENROL_MAP) for n in piece_ids],
    }
    results = [result for group in found.values() for result in group]
    if errors := [result for result in results if isinstance(result, DataError)]:
        raise DataErrors(f"{root / EVALUATION}: {len(errors)} of {len(results)} names lead nowhere", errors)
    there = {kind: [r for r in group if isinstance(r, Recording)] for kind, group in found.items()}
    evaluation = Evaluation(trials, models=models, **there)
    _check_owners(root, evaluation)
    return evaluation


def shared_speakers(
    root: Path, corpus: str, training: Training, others: set[str], what: str
) -> list[DataError]:
    """An error for each training speaker of `corpus` who is among the `others`, who are `what`."""
    path = root / TRAINING_LISTS[corpus]
    rows = read_speakers(path)
    return [
        DataError(
            f"training speaker '{speaker}' is {what}", file=path, row=rows[speaker],
            expected="nobody in both", found=f"'{speaker}'", fix="Remove the line, or copy the list again",
        )
        for speaker in sorted(training.speakers & others)
    ]  # fmt: skip


def _find(root: Path, name: str, form: re.Pattern[str], entry: str, source: str) -> Recording | DataError:
    """The recording that the list `source` calls `name`: the file `entry`, if need be with another suffix."""
    match, path = form.fullmatch(name), find_audio(root, entry)
    if match and path:
        parts = match.groupdict()
        place = path.relative_to(root).as_posix()
        return Recording(name, place, parts["speaker"], parts.get("session", ""), parts.get("genre", ""))
    return DataError(
        "no such audio file" if match else "a name of another form", file=root / source,
        expected=root / entry if match else f"a name like {EXAMPLES[form]}", found=f"'{name}'",
        fix="Unpack the whole archive again",
    )  # fmt: skip


def _missing(path: Path, name: str) -> DataError:
    return DataError(
        f"no line for the enrolment '{name}'", file=path, expected=f"'{name}', which {Path(TRIALS).name} names",
        found="no such line", fix="Copy the lists again",
    )  # fmt: skip


def _check_owners(root: Path, evaluation: Evaluation) -> None:
    """Raise where names and labels do not agree about who speaks."""
    trials, owner = evaluation.trials, {r.id: r.speaker for r in evaluation.recordings}
    if trials.labels is None:
        raise DataError(
            "the trials have no labels", file=root / TRIALS, expected="'enrol test 1|0'",
            found=f"'{' '.join(trials.pair(0))}'", fix="Copy the list again",
        )  # fmt: skip
    _, codes = np.unique([owner[name] for name in trials.ids], return_inverse=True)
    wrong = np.flatnonzero((codes[trials.enrol] == codes[trials.test]) != trials.labels)
    errors = [
        DataError(
            "a label that is not that of the speakers", file=root / TRIALS, row=trials.row(k),
            expected="1 for one speaker, 0 for two", found=f"'{' '.join(trials.pair(k))} {int(trials.labels[k])}'",
            fix="Copy the list again",
        )
        for k in wrong[:1000]
    ]  # fmt: skip
    errors += [
        DataError(
            f"'{model}' is put together from another speaker's recording", file=root / ENROL_MAP,
            expected=f"recordings of {owner[model]}", found=f"'{name}'", fix="Copy the list again",
        )
        for model, members in evaluation.models.items() for name in members if owner[name] != owner[model]
    ]  # fmt: skip
    if errors:
        count = len(errors) + max(0, len(wrong) - 1000)
        raise DataErrors(f"{root / EVALUATION}: lists and names disagree {count} times", errors, count)


def _is_audio(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(EXTENSIONS)
