"""Trial lists over VoxCeleb: recognised by checksum, and held against the training speakers and the tree."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from cmd_speaker.corpora.trial_lists import PUBLISHED_LISTS, md5_of, published_list, read_list
from cmd_speaker.corpora.voxceleb import part_of
from cmd_speaker.corpora.voxceleb_tree import Tree
from cmd_speaker.errors import DataError, DataErrors, UsageError

LINE = re.compile(rb"([01]) ((id\d{5})/[^/\s]+/[^/\s]+\.wav) ((id\d{5})/[^/\s]+/[^/\s]+\.wav)")


@dataclass(frozen=True)
class TrialList:
    """A list and the utterances that it names, each with the first row that does."""

    path: Path
    name: str
    """`VoxCeleb1-O-cleaned`; `unknown-` and the file's name for a list that is none of the published ones."""
    title: str
    text: bytes
    utterances: Mapping[str, int]

    @property
    def speakers(self) -> set[str]:
        return {utterance[: utterance.index("/")] for utterance in self.utterances}


def read_trial_list(path: str | Path, *, accept_unknown: bool = False) -> TrialList:
    """One of VoxCeleb1-O, E and H, cleaned or not; with `accept_unknown` any list in their form.

    Raises `DataError` for an unknown list, which says what it seems to be a part of, or `DataErrors` (every line
    that is no trial, or whose label is not what its speakers say).
    """
    path = Path(path)
    text = read_list(path)
    known = published_list(text)
    if known is None and not accept_unknown:
        raise _unknown(path, text)
    if known is None:
        name = f"unknown-{path.name.removesuffix('.gz').removesuffix('.txt')}"
        title = f"an unknown list ({len(text.splitlines()):,} trials, MD5 {md5_of(text)})"
    else:
        name, title = f"{known.name}-{known.version}", known.title
    return TrialList(path, name, title, text, _utterances(path, text))


def refuse_training_speakers(trials: TrialList, parts: Collection[str]) -> None:
    """Raise `UsageError` where a list tests on speakers of the parts that are trained on."""
    shared = sorted(speaker for speaker in trials.speakers if part_of(speaker) in parts)
    if shared:
        raise UsageError(
            f"{trials.path}: {trials.title} tests on {len(trials.speakers):,} speakers, and {len(shared):,} of "
            f"them are trained on ({', '.join(parts)}; the first is {shared[0]}). VoxCeleb1-E and H are made of "
            "all of VoxCeleb1: train on vox2 for them, or test on VoxCeleb1-O"
        )


def refuse_missing(trials: TrialList, tree: Tree, names: Collection[str]) -> None:
    """Raise where an utterance of the list is not in the tree (`DataError`) or cannot be used (`DataErrors`).

    `names` are those of the recordings that can.
    """
    missing = [name for name in trials.utterances if name not in names]
    if bad := [name for name in missing if name in tree.bad]:
        errors = [tree.bad[name].at(trials.path, trials.utterances[name]) for name in bad]
        raise DataErrors(f"{trials.path}: {len(errors)} utterances of the list cannot be used", errors)
    if missing:
        raise DataError(
            "utterances of the list are not in the tree", file=trials.path, row=trials.utterances[missing[0]],
            expected=f"{len(trials.utterances):,} utterances under {tree.root}",
            found=f"{len(missing):,} are missing, the first is {missing[0]}",
            fix="Unpack both vox1_dev_wav and vox1_test_wav (for VoxCeleb1-O the second is enough)",
        )  # fmt: skip


def _utterances(path: Path, text: bytes) -> dict[str, int]:
    utterances: dict[str, int] = {}
    errors = []
    lines = text.splitlines()
    for row, line in enumerate(lines, start=1):
        match = LINE.fullmatch(line)
        if match is None or (match[1] == b"1") != (match[3] == match[5]):
            same = "1 for one speaker, 0 for two"
            errors.append(
                DataError(
                    "bad trial", file=path, row=row,
                    expected=same if match else "1|0 id10270/VIDEO/00001.wav id10270/VIDEO/00002.wav",
                    found=f"'{line[:100].decode(errors='replace')}'", fix="Copy the list again",
                )
            )  # fmt: skip
            continue
        utterances.setdefault(match[2].decode(), row)
        utterances.setdefault(match[4].decode(), row)
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {len(lines)} trials are wrong", errors)
    return utterances


def _unknown(path: Path, text: bytes) -> DataError:
    """That a list is none of the published ones; what its beginning or its file's name hint at, it is not."""
    lines, stem = text.splitlines(), path.name.removesuffix(".gz")
    near = [each for each in PUBLISHED_LISTS if each.file == stem]
    near = near or [each for each in PUBLISHED_LISTS if each.first == lines[0]]
    found = f"{len(lines):,} lines, MD5 {md5_of(text)}"
    if near:
        return DataError(
            f"this list was truncated or altered: it looks like {near[0].name} and is not", file=path,
            expected=" or ".join(f"{each.version}, {each.trials:,} lines, MD5 {each.md5}" for each in near),
            found=found, fix="Download it again, or say --accept_unknown to use it as a list of your own",
        )  # fmt: skip
    names = sorted({each.name for each in PUBLISHED_LISTS})
    return DataError(
        "an unknown trial list", file=path, expected=f"{', '.join(names)}, cleaned or not, by their checksums",
        found=found, fix="Say --accept_unknown to use it as a list of your own",
    )  # fmt: skip
