"""CN-Celeb1 and CN-Celeb2: manifests, validation trials, the evaluation with its enrolment map.

Reads the folder that holds CN-Celeb_flac and, if it is there, CN-Celeb2_flac (OpenSLR 82; Y. Fan et al., ICASSP
2020; L. Li et al., Speech Communication 2022). The evaluation speakers, whose recordings lie among the training
data, are kept out. Short utterances are joined within a session, in new files. The corpora bring no descriptions
and no faces, so none are in the manifests. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmd_speaker.audio import AudioInfo
from cmd_speaker.corpora.cnceleb_lists import (
    FIRST,
    SECOND,
    TREE,
    TRIALS,
    Evaluation,
    Recording,
    Training,
    read_evaluation,
    read_training,
    shared_speakers,
)
from cmd_speaker.errors import DataError, DataErrors, UsageError, exit_code_of
from cmd_speaker.files import write_atomically
from cmd_speaker.headers import probe_files
from cmd_speaker.kaldi import folder_content
from cmd_speaker.manifest import under_root, write_manifest
from data_prep.held_out import Spoken, hold_out, write_trials
from data_prep.joining import Clip, join_short, write_joined

COLUMNS = ("session", "genre")


@dataclass(frozen=True)
class Prepared:
    """The files that `prepare` wrote (None: not made) and what they hold.

    `test_trials` is the corpus's own list, whose names the test manifest uses. `enrolment_map` names the
    recordings of each enrolment, for `cmd-speaker score --enrol-map`; without it the trials compare the
    enrolments as the corpus put them together. `left_out` are training recordings that cannot be used.
    """

    train: Path
    valid: Path | None
    test: Path
    valid_trials: Path | None
    test_trials: Path
    enrolment_map: Path | None
    counts: Mapping[str, int]
    left_out: Sequence[DataError]


def prepare(
    data_folder: str | Path,
    output_folder: str | Path,
    validation_speakers: int = 20,
    min_seconds: float = 5.0,
    joined_folder: str | Path | None = None,
) -> Prepared:
    """Write train.csv, valid.csv, valid_trials.txt, test.csv and, where there is enroll.map, enrolment_map.txt.

    Validation speakers are held out from CN-Celeb1's training part (`data_prep.held_out`); 0: none. Utterances
    under `min_seconds` are joined (`data_prep.joining`) in `joined_folder`, by default CN-Celeb_joined in
    `data_folder`; 0: none. An utterance's session is named with its genre, which is a column of its own.

    Raises `UsageError` (an option), `DataError` or `DataErrors` (lists and files that do not fit together, a
    speaker who is both trained on and evaluated, evaluation audio that cannot be used); no manifest is written
    then. Training recordings that cannot be used are left out.
    """
    if not 0 <= min_seconds <= 60:
        raise UsageError(f"min_seconds {min_seconds}: expected 0 (join nothing) to 60")
    root, output = Path(data_folder), Path(output_folder)
    training, evaluation = _read_corpora(root)
    first = [Spoken(r.id, r.speaker, r.session) for r in training[FIRST].recordings]
    held_out = hold_out(first, {"valid": validation_speakers}, root / FIRST)
    test, counts = _test_rows(root, evaluation)
    counts |= _kept_out(training, evaluation)
    recordings = [r for part in training.values() for r in part.recordings]
    pairs, left_out = _probe(root, recordings)
    clips = join_short(pairs, min_seconds)
    joined = Path(joined_folder) if joined_folder else root / "CN-Celeb_joined"
    clips, broken = write_joined(root, joined / f"{min_seconds:g}s", clips)
    left_out += broken
    counts |= _joining_counts(pairs, clips, min_seconds) | {"recordings_left_out": len(left_out)}

    parts = {
        "train": [clip for clip in clips if clip.speaker not in held_out],
        "valid": [clip for clip in clips if clip.speaker in held_out],
    }
    for part, chosen in parts.items():
        counts |= _write_part(output / f"{part}.csv", root, chosen)
    valid_trials, enrolment_map = output / "valid_trials.txt", output / "enrolment_map.txt"
    ...
