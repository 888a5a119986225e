"""Anybody's own recordings: manifests, trial lists, and whose faces and descriptions there are.

Reads ROOT/audio (or ROOT/wav, or ROOT itself) with `speaker/session/utterance.wav` or `speaker/utterance.wav`,
and beside it, where they are there, ROOT/faces with `speaker[/session[/utterance]]/*.jpg` and ROOT/text with
`speaker.txt`. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmd_speaker.corpora.folder_beside import face_of, find_pictures, level_of, read_texts
from cmd_speaker.corpora.folder_tree import Place, Recording, Tree, read_tree
from cmd_speaker.errors import DataError, DataErrors, exit_code_of
from cmd_speaker.files import refuse_unwritable
from cmd_speaker.manifest import under_root
from cmd_speaker.teachers.matching import LEVELS
from cmd_speaker.training.preparation import forget_preparation, record_preparation
from data_prep.parts import (
    PARTS,
    Spoken,
    hold_out,
    list_mistakes,
    probe_recordings,
    write_part,
    write_trials,
)

NAME, TEST_TRIALS, MISTAKES = "folder", "test_trials.txt", "mistakes.txt"


@dataclass(frozen=True)
class Prepared:
    """The files that `prepare` wrote (None: nobody is held out for them) and what they hold.

    `mistakes` did not stop the rest: recordings that were left out, faces and descriptions that are nobody's.
    """

    train: Path
    valid: Path | None
    test: Path | None
    valid_trials: Path | None
    test_trials: Path | None
    counts: Mapping[str, int]
    mistakes: Sequence[DataError]


@dataclass(frozen=True)
class _Beside:
    """What the manifests of training and validation say of a recording besides its audio."""

    root: Path
    tree: Tree
    pictures: set[Place]
    texts: Mapping[str, str]

    @property
    def columns(self) -> list[str]:
        return ["text"] * (self.tree.text is not None) + ["face"] * (self.tree.faces is not None)

    def values(self, recording: Recording) -> list[str]:
        """Its speaker's description and the most specific folder of pictures; empty where there is none."""
        values = [] if self.tree.text is None else [self.texts.get(recording.speaker, "")]
        if self.tree.faces is not None:
            face = face_of(recording.place, self.pictures)
            values.append(under_root(self.tree.faces.joinpath(*face), self.root) if face else "")
        return values

    def coverage(self, part: str, recordings: Sequence[Recording]) -> dict[str, int]:
        """How many speakers are described, and how many utterances have a face of which level."""
        counts = {}
        if self.tree.text is not None:
            counts["speakers_described"] = len({r.speaker for r in recordings} & self.texts.keys())
        if self.tree.faces is not None:
            levels = Counter(level_of(face_of(r.place, self.pictures), r.place) for r in recordings)
            counts |= {f"face_of_{level}": levels[level] for level in LEVELS} | {"face_none": levels["none"]}
        return {f"{part}_{name}": count for name, count in counts.items()}


def prepare(
    data_folder: str | Path,
    output_folder: str | Path,
    validation_speakers: int = 20,
    test_speakers: int = 20,
    *,
    audio: str | Path | None = None,
    faces: str | Path | None = None,
    text: str | Path | None = None,
) -> Prepared:
    """Write train.csv, and for speakers who are held out valid.csv, test.csv and a trial list of each.

    With a record beside them, by which recipes use them again (`cmd_speaker.training.preparation`).

    Who is held out depends on the names only (`data_prep.parts`), the test before the validation. Faces and
    descriptions of test speakers are in no manifest: nothing about them can reach a teacher. `audio`, `faces`
    and `text` are folders that lie elsewhere than in `data_folder`.

    Raises `UsageError` (numbers of speakers), `DataError` or `DataErrors` (another layout, no recording that can
    be used, too few speakers); nothing is written then.
    """
    root, output = Path(data_folder), Path(output_folder)
    refuse_unwritable(output)
    tree = read_tree(root, *(Path(place) if place else None for place in (audio, faces, text)))
    (pictures, wrong_faces), (texts, wrong_texts) = find_pictures(tree), read_texts(tree)
    good, unfit = probe_recordings(tree.audio, tree.recordings, [r.path for r in tree.recordings])
    spoken = [Spoken(r.id, r.speaker, r.session) for r, _ in good]
    part_of = hold_out(spoken, {"test": test_speakers, "valid": validation_speakers}, tree.audio)

    counts = {"recordings_left_out": len(unfit), "other_files": sum(tree.others.values())}
    counts["speakers_with_one_utterance"] = list(Counter(s.speaker for s in spoken).values()).count(1)
    beside = _Beside(root, tree, pictures, texts)
    forget_preparation(output)
    for part in ("train", "valid", "test"):
        chosen = [(r, info) for r, info in good if part_of.get(r.speaker, "train") == part]
        taught = part != "test"
        rows: list[list[object]] = [
            [r.id, info.seconds, under_root(r.path, root), "", "", r.speaker, r.session]
            + (beside.values(r) if taught else [])
            for r, info in chosen
        ]
        columns = ["session", *(beside.columns if taught else [])]
        counts |= beside.coverage(part, [r for r, _ in chosen]) if taught else {}
        counts |= write_part(output / f"{part}.csv", columns, rows)
        if chosen and part != "train":
            held_out = [s for s in spoken if part_of.get(s.speaker) == part]
            counts |= write_trials(output / f"{part}_trials.txt", held_out)
    mistakes = [*tree.lost, *unfit, *wrong_faces, *wrong_texts]
    notes = list_mistakes(output / MISTAKES, mistakes)
    options = {"validation_speakers": validation_speakers, "test_speakers": test_speakers}
    files = record_preparation(output, NAME, root, options, counts, notes, (*PARTS, TEST_TRIALS, MISTAKES))
    made = {name: output / name for name in files}
    return Prepared(
        made["train.csv"], made.get("valid.csv"), made.get("test.csv"), made.get("valid_trials.txt"),
        made.get(TEST_TRIALS), counts, mistakes,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; what is wrong is said when the rest is written, and the exit code is 3 then."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.folder", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("data_folder", help="ROOT: what $data_root stands for")
    parser.add_argument("output_folder", help="where the manifests and trial lists are written")
    for part in ("validation", "test"):
        names = (f"--{part}-speakers", f"--{part}_speakers")
        parser.add_argument(*names, type=int, default=20, help="how many are held out: 0, or 2 and more")
    for name in ("audio", "faces", "text"):
        parser.add_argument(f"--{name}", help=f"the folder that holds it, instead of ROOT/{name}")
    prepared = prepare(**vars(parser.parse_args(arguments)))
    for name, count in prepared.counts.items():
        print(f"{name:36} {count:9,}")
    if prepared.mistakes:
        where = prepared.train.with_name(MISTAKES)
        raise DataErrors(f"{len(prepared.mistakes)} mistakes ({where}); the rest is done", prepared.mistakes)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
