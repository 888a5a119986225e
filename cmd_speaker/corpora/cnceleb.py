"""CN-Celeb1 and CN-Celeb2, as they lie beside each other when both archives are unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cmd_speaker.corpora.cnceleb_lists import (
    FIRST,
    SECOND,
    TREE,
    Recording,
    Training,
    read_evaluation,
    read_training,
    shared_speakers,
)
from cmd_speaker.corpora.corpus import CheckRow, Corpus, ExpectedFile, Status
from cmd_speaker.errors import SHOWN_ERRORS, CmdSpeakerError, DataError
from cmd_speaker.headers import probe_files


class Part(NamedTuple):
    """Speakers and utterances of a corpus in the official release."""

    speakers: int
    utterances: int


PARTS = {FIRST: Part(997, 126_532), SECOND: Part(1_996, 524_787)}
"""Of CN-Celeb1 with the 200 evaluation speakers, 196 of them enrolled, whose recordings lie in `data/` too."""
ENROLMENTS, TESTS, TRIAL_COUNT = 196, 17_777, 3_484_292


def _check(root: Path, full: bool) -> list[CheckRow]:
    rows: list[CheckRow] = []
    recordings: list[Recording] = []
    training: dict[str, Training] = {}
    for corpus in PARTS:
        if corpus == SECOND and not (root / SECOND).is_dir():
            rows.append(CheckRow(SECOND, "optional", "none: training on CN-Celeb1 alone", "note"))
            continue
        try:
            training[corpus] = read_training(root, corpus)
        except CmdSpeakerError as error:
            rows.append(CheckRow(corpus, "lists and recordings that fit together", str(error), "problem"))
            continue
        rows += _training_rows(corpus, training[corpus])
        recordings += training[corpus].recordings
    try:
        evaluation = read_evaluation(root)
    except CmdSpeakerError as error:
        rows.append(CheckRow("evaluation", "lists and recordings that fit together", str(error), "problem"))
    else:
        rows += [
            _counted("evaluation enrolments", ENROLMENTS, len(evaluation.enrolments)),
            _counted("evaluation test utterances", TESTS, len(evaluation.tests)),
            _counted("evaluation trials", TRIAL_COUNT, len(evaluation.trials)),
        ]
        if not evaluation.models:
            rows.append(CheckRow("enroll.map", "the recordings of each enrolment", "none", "note"))
        for corpus, part in training.items():
            shared = shared_speakers(root, corpus, part, evaluation.speakers, "evaluated")
            rows += [CheckRow("speakers", "nobody in both", str(error), "problem") for error in shared]
        recordings += evaluation.recordings
    return rows + _audio_rows(root, recordings, full)


def _training_rows(corpus: str, training: Training) -> list[CheckRow]:
    kept_out = len(training.kept_out)
    counts = PARTS[corpus]
    utterances = len(training.recordings) + sum(training.kept_out.values())
    rows = [
        _counted(f"{corpus} speakers", counts.speakers, len(training.speakers) + kept_out),
        _counted(f"{corpus} utterances", counts.utterances, utterances),
    ]
    if kept_out:
        found = f"{kept_out:,} speakers with {sum(training.kept_out.values()):,} utterances"
        what = "the evaluation speakers" if corpus == FIRST else "none"
        rows.append(CheckRow(f"{corpus} not for training", what, found, "ok" if corpus == FIRST else "note"))
    if training.absent:
        found = f"{len(training.absent):,} without: {', '.join(training.absent[:5])}"
        rows.append(CheckRow(f"{corpus} listed speakers", "recordings of each", found, "note"))
    return rows


def _counted(what: str, expected: int, found: int) -> CheckRow:
    part = " (a part)" if found < expected else " (more than in the release)" if found > expected else ""
    return CheckRow(what, f"{expected:,}", f"{found:,}{part}", "note" if part else "ok")


def _audio_rows(root: Path, recordings: list[Recording], full: bool) -> list[CheckRow]:
    results = probe_files([root / recording.path for recording in recordings], full=full)
    errors = [result for result in results if isinstance(result, DataError)]
    found = f"{len(results) - len(errors):,} good, {len(errors):,} bad"
    status: Status = "problem" if errors or not results else "ok"
    rows = [CheckRow("audio", f"{len(results):,} good files", found, status)]
    return rows + [CheckRow("audio", "a good file", str(error), "problem") for error in errors[:SHOWN_ERRORS]]


CORPUS = Corpus(
    name="cnceleb",
    title="CN-Celeb1 and CN-Celeb2 (3,000 Chinese celebrities, 11 genres)",
    citation="Y. Fan et al., CN-CELEB: a challenging Chinese speaker recognition dataset, ICASSP 2020; L. Li et "
    "al., CN-Celeb: multi-genre speaker recognition, Speech Communication 2022 (OpenSLR 82)",
    tree=TREE,
    check=_check,
    files=(
        ExpectedFile(f"{FIRST}/dev/dev.lst", 800),
        *(ExpectedFile(f"{FIRST}/eval/lists/{name}", ENROLMENTS) for name in ("enroll.lst", "enroll.map")),
        ExpectedFile(f"{FIRST}/eval/lists/test.lst", TESTS),
        ExpectedFile(f"{FIRST}/eval/lists/trials.lst", TRIAL_COUNT),
    ),
)
