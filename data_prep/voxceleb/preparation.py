"""VoxCeleb: manifests of training, validation and test, and trial lists."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from cmd_speaker.corpora.trial_lists import md5_of
from cmd_speaker.corpora.voxceleb import PARTS, VOX1_TEST, part_of
from cmd_speaker.corpora.voxceleb_tree import Recording, Tree, scan
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.files import file_checksum, refuse_unwritable
from cmd_speaker.training.preparation import forget_preparation, record_preparation
from cmd_speaker.training.subset import by_hash
from data_prep.parts import PARTS as FILES
from data_prep.voxceleb.faces import FaceFolders
from data_prep.voxceleb.manifests import Rows, write_bytes, write_left_out
from data_prep.voxceleb.metadata import Speaker, read_metadata
from data_prep.voxceleb.trials import TrialList, read_trial_list, refuse_missing, refuse_training_speakers

NAME = "voxceleb"
TRAINING_SETS = {
    "vox1": ("VoxCeleb1 dev",),
    "vox2": ("VoxCeleb2 dev",),
    "both": ("VoxCeleb1 dev", "VoxCeleb2 dev"),
}
VALID_SPEAKERS = 40
"""As many as VoxCeleb1-O has."""
VALID_UTTERANCES = 20
"""At most so many of each of them are compared with each other."""


@dataclass(frozen=True)
class Prepared:
    """The files that `prepare` wrote (None: no such part), what they hold, and what there is to say about it.

    `trials` maps a list's name (`VoxCeleb1-O-cleaned`) to the copy of it whose utterances are in `test`.
    """

    train: Path
    valid: Path | None
    test: Path | None
    valid_trials: Path | None
    trials: Mapping[str, Path]
    counts: Mapping[str, int]
    notes: Sequence[str]


def prepare(
    data_folder: str | Path,
    output_folder: str | Path,
    train: str = "vox2",
    *,
    trials: Sequence[str | Path] = (),
    accept_unknown: bool = False,
    metadata: Sequence[str | Path] = (),
    faces: Sequence[str | Path] = (),
    valid_speakers: int = VALID_SPEAKERS,
) -> Prepared:
    """Write train.csv, valid.csv, valid_trials.txt, test.csv, trials/NAME.txt and, if need be, left_out.csv.

    With a record beside them, by which recipes use them again (`cmd_speaker.training.preparation`).

    `train` is one of `TRAINING_SETS`. `valid_speakers` of its speakers, the first in the order of the hash of
    their ids, are held out, or none; `VALID_UTTERANCES` of each, taken in the same way, are compared with each
    other, but for two of one video, whose channel would tell. An utterance's ID is its name in the published
    lists (`id10270/x6uYqmx31kE/00001.wav`), whatever its file is. test.csv has what `trials` name; without them
    VoxCeleb1-O's speakers, where they are there.

    `metadata` bring gender, nationality and the text for a teacher, `faces` the column `face`; both only to
    training and validation speakers but for gender and nationality, which results are broken down by. What
    cannot be read is left out of training, counted and listed.

    Raises `UsageError` (options; a list with speakers who are trained on), `DataError` or `DataErrors` (unknown
    lists, utterances of a list that are missing, m4a files, ...); nothing is written then.
    """
    root, output = Path(data_folder), Path(output_folder)
    refuse_unwritable(output)
    lists, known = _read_options(train, trials, accept_unknown, metadata, valid_speakers)
    rows = Rows(known, FaceFolders(faces, known, root) if faces else None)
    tested = {speaker for each in lists for speaker in each.speakers} if lists else VOX1_TEST

    tree = scan(root, lambda speaker: part_of(speaker) in TRAINING_SETS[train] or speaker in tested)
    test = _test_recordings(tree, lists)
    learned = _training_recordings(tree, train, tested | {name for name in known if known[name].is_test})
    held_out = _held_out(learned, valid_speakers)
    valid = _validation_recordings(learned, held_out)
    pairs = _validation_pairs(root, valid)

    forget_preparation(output)
    counts = rows.write(
        output / "train.csv", [r for r in learned if r.speaker not in held_out], described=True
    )
    counts |= rows.write(output / "valid.csv", valid, described=True)
    counts |= rows.write(output / "test.csv", test, described=False)
    lines = [f"{int(a.speaker == b.speaker)} {a.name} {b.name}\n" for a, b in pairs]
    write_bytes(output / "valid_trials.txt", "".join(lines).encode())
    counts["valid_trials"] = len(pairs)
    counts["valid_not_used"] = sum(r.speaker in held_out for r in learned) - len(valid)
    copies = {each.name: output / "trials" / f"{each.name}.txt" for each in lists}
    for each in lists:
        write_bytes(copies[each.name], each.text)
        counts[each.name] = len(each.text.splitlines())
    left_out = output / "left_out.csv"
    notes = [*_part_notes(tree, train), *write_left_out(tree, left_out), *rows.notes()]
    notes += [f"{each.path.name} is {each.title}" for each in lists]
    options = _options(train, lists, metadata, valid_speakers)
    names = (*FILES, left_out.name, *(f"trials/{path.name}" for path in copies.values()))
    files = record_preparation(output, NAME, root, options, counts, notes, names)
    made = {name: output / name for name in files}
    return Prepared(
        made["train.csv"], made.get("valid.csv"), made.get("test.csv"), made.get("valid_trials.txt"),
        copies, counts, notes,
    )  # fmt: skip


def asked(
    train: str,
    *,
    trials: Sequence[str | Path] = (),
    accept_unknown: bool = False,
    metadata: Sequence[str | Path] = (),
    valid_speakers: int = VALID_SPEAKERS,
) -> dict[str, Any]:
    """What the record of `prepare` says of these options; raises as it does where a list cannot be read."""
    lists, _ = _read_options(train, trials, accept_unknown, metadata, valid_speakers)
    return _options(train, lists, metadata, valid_speakers)


def _options(
    train: str, lists: Sequence[TrialList], metadata: Sequence[str | Path], valid_speakers: int
) -> dict[str, Any]:
    return {
        "train_on": train,
        "trials": {each.name: md5_of(each.text) for each in lists},
        "metadata": {Path(path).name: file_checksum(path) for path in metadata},
        "validation_speakers": valid_speakers,
    }


def _read_options(
    train: str,
    trials: Sequence[str | Path],
    accept_unknown: bool,
    metadata: Sequence[str | Path],
    valid_speakers: int,
) -> tuple[list[TrialList], dict[str, Speaker]]:
    """The lists and the metadata; raises for what cannot be, before the corpus is looked at."""
    if train not in TRAINING_SETS:
        raise UsageError(f"train '{train}': expected {', '.join(TRAINING_SETS)}")
    if valid_speakers < 0 or valid_speakers == 1:
        raise UsageError(f"valid_speakers {valid_speakers}: expected 0, or 2 and more")
    lists: dict[str, TrialList] = {}
    for path in trials:
        found = read_trial_list(path, accept_unknown=accept_unknown)
        refuse_training_speakers(found, TRAINING_SETS[train])
        if other := lists.get(found.name):
            raise UsageError(
                f"{path}: results go by the name {found.name}, which {other.path} has already: rename it, or "
                "leave it out"
            )
        lists[found.name] = found
    return list(lists.values()), read_metadata(metadata)


def _test_recordings(tree: Tree, lists: Sequence[TrialList]) -> list[Recording]:
    """What the lists name, all of which must be there; without lists all of VoxCeleb1-O's speakers."""
    if not lists:
        return [recording for recording in tree.recordings if recording.speaker in VOX1_TEST]
    names = {recording.name for recording in tree.recordings}
    for each in lists:
        refuse_missing(each, tree, names)
    named = {name for each in lists for name in each.utterances}
    return [recording for recording in tree.recordings if recording.name in named]


def _training_recordings(tree: Tree, train: str, tested: Collection[str]) -> list[Recording]:
    """Those of the training set; raises `DataError` where there are none, where they are m4a, or there twice."""
    parts = TRAINING_SETS[train]
    learned = [r for r in tree.recordings if part_of(r.speaker) in parts and r.speaker not in tested]
    found = Counter(part_of(recording.speaker) for recording in learned)
    packed = [name for name in tree.packed if part_of(name[: name.index("/")]) in parts]
    if packed:
        raise DataError(
            "the training set is not converted", file=tree.root, expected="wav or flac files",
            found=f"{len(packed):,} m4a files without one, the first {min(packed)}",
            fix="Run python -m data_prep.voxceleb convert first",
        )  # fmt: skip
    if absent := [part for part in parts if not found[part]]:
        raise DataError(
            f"no recordings of {' and '.join(absent)}", file=tree.root, expected=f"the training set {train}",
            found=", ".join(f"{count:,} of {part}" for part, count in found.items()) or "none",
            fix="Unpack or link it below this folder, or choose another training set",
        )  # fmt: skip
    if tree.twice:
        raise DataError(
            "an utterance is there twice", file=tree.root / tree.twice[0].path, expected="each utterance once",
            found=f"{len(tree.twice):,} utterances again", fix="Remove one copy",
        )  # fmt: skip
    return learned


def _validation_pairs(root: Path, valid: Sequence[Recording]) -> list[tuple[Recording, Recording]]:
    """All pairs but those of one video; raises `DataError` where none is of one speaker."""
    pairs = [(a, b) for a, b in combinations(valid, 2) if a.speaker != b.speaker or a.session != b.session]
    if valid and not any(a.speaker == b.speaker for a, b in pairs):
        speakers = sorted({recording.speaker for recording in valid})
        raise DataError(
            "no validation speaker has two videos", file=root, expected="target trials",
            found=f"{len(speakers)} speakers: {', '.join(speakers[:5])}",
            fix="Choose more validation speakers, or 0",
        )  # fmt: skip
    return pairs


def _held_out(learned: Sequence[Recording], number: int) -> set[str]:
    speakers = sorted({recording.speaker for recording in learned}, key=by_hash)
    if number and number > len(speakers) - 2:
        raise DataError(
            "too few training speakers to hold so many out", expected=f"at least {number + 2}",
            found=f"{len(speakers):,}", fix="Choose fewer with valid_speakers, or 0",
        )  # fmt: skip
    return set(speakers[:number])


def _validation_recordings(learned: Sequence[Recording], held_out: Collection[str]) -> list[Recording]:
    by_speaker: dict[str, list[Recording]] = defaultdict(list)
    for recording in learned:
        if recording.speaker in held_out:
            by_speaker[recording.speaker].append(recording)
    groups = by_speaker.values()
    return sorted(
        r for group in groups for r in sorted(group, key=lambda r: by_hash(r.name))[:VALID_UTTERANCES]
    )


def _part_notes(tree: Tree, train: str) -> Iterator[str]:
    """How much of the release is there."""
    for part in TRAINING_SETS[train]:
        here = [recording for recording in tree.recordings if part_of(recording.speaker) == part]
        speakers = len({recording.speaker for recording in here})
        found = f"{speakers:,} of {PARTS[part].speakers:,} speakers"
        yield f"{part}: {found}, {len(here):,} of {PARTS[part].utterances:,} utterances"
