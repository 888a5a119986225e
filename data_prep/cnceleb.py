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

from cmd_speaker.audio import SAMPLE_RATE
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
from cmd_speaker.files import refuse_unwritable, write_atomically
from cmd_speaker.kaldi import folder_content
from cmd_speaker.manifest import under_root
from cmd_speaker.training.preparation import forget_preparation, record_preparation
from data_prep.joining import Clip, Piece, join_short, write_joined
from data_prep.parts import (
    PARTS,
    Spoken,
    hold_out,
    list_mistakes,
    probe_recordings,
    write_part,
    write_trials,
)

NAME = "cnceleb"
COLUMNS = ("session", "genre")
JOINED = "CN-Celeb_joined"
ENROLMENT_MAP, LEFT_OUT = "enrolment_map.txt", "left_out.txt"


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

    With a record beside them, by which recipes use them again (`cmd_speaker.training.preparation`).

    Validation speakers are held out from CN-Celeb1's training part (`data_prep.parts`); 0: none. Utterances
    under `min_seconds` are joined (`data_prep.joining`) in `joined_folder`, by default CN-Celeb_joined in
    `data_folder`; 0: none. An utterance's session is named with its genre, which is a column of its own.

    Raises `UsageError` (an option), `DataError` or `DataErrors` (lists and files that do not fit together, a
    speaker who is both trained on and evaluated, evaluation audio that cannot be used); no manifest is written
    then. Training recordings that cannot be used are left out.
    """
    if not 0 <= min_seconds <= 60:
        raise UsageError(f"min_seconds {min_seconds}: expected 0 (join nothing) to 60")
    root, output = Path(data_folder), Path(output_folder)
    refuse_unwritable(output)
    folder = Path(joined_folder or root / JOINED) / f"{min_seconds:g}s"
    if min_seconds:
        refuse_unwritable(folder, "Give another joined_folder, or min_seconds 0")
    training, evaluation = _read_corpora(root)
    counts = _kept_out(training, evaluation)
    held_out_counts = {"valid": validation_speakers}
    # Numbers that can never be are refused before the headers of all files are read.
    hold_out([_spoken(r.id, r) for r in training[FIRST].recordings], held_out_counts, root / FIRST)
    test_rows = _test_rows(root, evaluation)
    pieces, left_out = _probe(root, [r for part in training.values() for r in part.recordings])
    clips = join_short(pieces, min_seconds)
    known = training[FIRST].speakers
    # A speaker with several utterances may have a single clip, and so no target trial.
    first = [_spoken(c.id, c.first) for c in clips if c.first.speaker in known]
    held_out = hold_out(first, held_out_counts, root / FIRST)
    clips, undecodable = write_joined(root, folder, clips)
    left_out += undecodable
    counts |= _joining_counts(pieces, clips, min_seconds) | {"recordings_left_out": len(left_out)}

    forget_preparation(output)
    for part in ("train", "valid"):
        chosen = [clip for clip in clips if held_out.get(clip.first.speaker, "train") == part]
        rows = [_row(root, c.first, c.id, c.samples, c.path(root, folder)) for c in chosen]
        counts |= write_part(output / f"{part}.csv", COLUMNS, rows) | _genres(part, rows)
        if part == "valid" and chosen:
            counts |= write_trials(output / "valid_trials.txt", [_spoken(c.id, c.first) for c in chosen])
    counts |= write_part(output / "test.csv", COLUMNS, test_rows) | _genres("test", test_rows)
    counts |= {"test_trials": len(evaluation.trials), "enrolments": len(evaluation.enrolments)}
    _write_map(output / ENROLMENT_MAP, evaluation.models)
    notes = list_mistakes(output / LEFT_OUT, left_out)
    options = {"validation_speakers": validation_speakers, "min_seconds": min_seconds}
    files = record_preparation(output, NAME, root, options, counts, notes, (*PARTS, ENROLMENT_MAP, LEFT_OUT))
    made = {name: output / name for name in files}
    return Prepared(
        made["train.csv"], made.get("valid.csv"), made["test.csv"], made.get("valid_trials.txt"),
        root / TRIALS, made.get(ENROLMENT_MAP), counts, left_out,
    )  # fmt: skip


def _read_corpora(root: Path) -> tuple[dict[str, Training], Evaluation]:
    """The training part of each corpus that is there, and the evaluation; no speaker is in two of them."""
    if not (root / FIRST).is_dir():
        raise DataError(
            "not CN-Celeb", file=root, expected=f"\n{TREE}\n", found=folder_content(root),
            fix=f"Give the folder that holds {FIRST}, as the archives unpack it, or a link of this name",
        )  # fmt: skip
    evaluation = read_evaluation(root)
    training = {corpus: read_training(root, corpus) for corpus in (FIRST, SECOND) if (root / corpus).is_dir()}
    errors = [
        error
        for corpus, part in training.items()
        for error in shared_speakers(root, corpus, part, evaluation.speakers, "evaluated")
    ]
    if SECOND in training:
        known = training[FIRST].speakers
        errors += shared_speakers(root, SECOND, training[SECOND], known, f"in {FIRST} too")
    if errors:
        raise DataErrors(f"{root}: {len(errors)} speakers are in two parts", errors)
    return training, evaluation


def _kept_out(training: Mapping[str, Training], evaluation: Evaluation) -> dict[str, int]:
    """How many speakers and recordings lie among the training data, and are not trained on."""
    kept_out = Counter({name: n for part in training.values() for name, n in part.kept_out.items()})
    evaluated = kept_out.keys() & evaluation.speakers
    return {
        "evaluation_speakers_kept_out": len(evaluated),
        "other_speakers_kept_out": len(kept_out) - len(evaluated),
        "recordings_kept_out": kept_out.total(),
        "listed_speakers_without_recordings": sum(len(part.absent) for part in training.values()),
    }


def _probe(root: Path, recordings: Sequence[Recording]) -> tuple[list[Piece], list[DataError]]:
    good, errors = probe_recordings(root, recordings, [root / recording.path for recording in recordings])
    return [Piece(recording, info.samples) for recording, info in good], errors


def _test_rows(root: Path, evaluation: Evaluation) -> list[list[object]]:
    """The enrolments, the recordings that they consist of, and the test utterances, as the lists name them.

    An enrolment's genre is that of its recordings, and empty where they have several or are not known.
    """
    pieces, errors = _probe(root, evaluation.recordings)
    if errors:
        raise DataErrors(f"{root}: {len(errors)} recordings of the evaluation cannot be used", errors)
    genre = {r.id: r.genre for r in evaluation.pieces}
    rows = []
    for r, samples in pieces:
        of_pieces = {genre[name] for name in evaluation.models.get(r.id, ())}
        known = of_pieces.pop() if len(of_pieces) == 1 else ""
        rows.append(_row(root, r._replace(genre=r.genre or known), r.id, samples, root / r.path))
    return rows


def _spoken(name: str, recording: Recording) -> Spoken:
    return Spoken(name, recording.speaker, recording.session)


def _row(root: Path, recording: Recording, name: str, samples: int, path: Path) -> list[object]:
    r = recording
    return [name, samples / SAMPLE_RATE, under_root(path, root), "", "", r.speaker, r.session, r.genre]


def _joining_counts(pieces: Sequence[Piece], clips: Sequence[Clip], min_seconds: float) -> dict[str, int]:
    least = min_seconds * SAMPLE_RATE
    return {
        "short_utterances": sum(piece.samples < least for piece in pieces),
        "short_utterances_joined": sum(len(clip.pieces) for clip in clips if clip.joined),
        "joined_clips": sum(clip.joined for clip in clips),
        "clips_still_short": sum(clip.samples < least for clip in clips),
    }


def _genres(part: str, rows: Sequence[Sequence[object]]) -> dict[str, int]:
    counts = Counter(str(row[-1]) or "unknown" for row in rows)
    return {f"{part}_{genre}": count for genre, count in sorted(counts.items())}


def _write_map(path: Path, models: Mapping[str, Sequence[str]]) -> None:
    """The form that `cmd-speaker score --enrol-map` reads; no file where there are no models."""
    path.unlink(missing_ok=True)
    if models:
        with write_atomically(path) as temporary:
            lines = [f"{model} {' '.join(members)}\n" for model, members in models.items()]
            temporary.write_text("".join(lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; what is left out is said when the rest is written, and the exit code is 3 then."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.cnceleb", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("data_folder", help=f"the folder that holds {FIRST} and, if there, {SECOND}")
    parser.add_argument("output_folder", help="where the manifests and lists are written")
    parser.add_argument("--validation-speakers", "--validation_speakers", type=int, default=20,
                        help="training speakers held out: 0, or 2 and more (default 20)")  # fmt: skip
    parser.add_argument("--min-seconds", "--min_seconds", type=float, default=5.0,
                        help="utterances under this are joined within a session; 0: none (default 5)")  # fmt: skip
    parser.add_argument(
        "--joined-folder", "--joined_folder", help=f"for joined audio; default: {JOINED} in data_folder"
    )
    prepared = prepare(**vars(parser.parse_args(arguments)))
    for name, count in prepared.counts.items():
        print(f"{name:36} {count:11,}")
    print("no descriptions, no faces: CN-Celeb has none")
    if prepared.left_out:
        where = prepared.train.with_name(LEFT_OUT)
        raise DataErrors(f"{len(prepared.left_out)} recordings left out ({where})", prepared.left_out)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
