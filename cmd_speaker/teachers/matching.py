"""Which rows of a teacher's bank the utterances may take, and which class of the teacher a student's class is."""

from __future__ import annotations

import csv
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically
from cmd_speaker.manifest import Manifest, Utterance

LEVELS = ("utterance", "session", "identity")
UNMATCHED = -1


@dataclass(frozen=True)
class Match:
    """The bank rows that each utterance of a manifest may take: all of its most specific level that has any.

    Utterances of one key share their candidates: `group` [n] says which of `rows` are an utterance's, -1 none.
    `turn` [n] counts the utterances of a group, `levels` [n] holds the level or "none".
    """

    group: np.ndarray
    rows: Sequence[np.ndarray]
    turn: np.ndarray
    levels: Sequence[str]

    def candidates(self, index: int) -> np.ndarray:
        """Bank rows of one utterance, int64; empty where there are none."""
        group = self.group[index]
        return np.empty(0, np.int64) if group == UNMATCHED else self.rows[group]

    def dealt(self, index: int) -> int:
        """The row of an utterance whose group's rows are dealt in turn, or -1."""
        rows = self.candidates(index)
        return int(rows[self.turn[index] % len(rows)]) if len(rows) else UNMATCHED

    def drawn(self, teacher: str, seed: int, epoch: int, index: int) -> int:
        """One of an utterance's rows, each as likely, or -1.

        It depends on the arguments only: neither workers, nor a resumed run, nor another teacher change it.
        """
        rows = self.candidates(index)
        if len(rows) < 2:
            return int(rows[0]) if len(rows) else UNMATCHED
        # A key of its own: (seed, epoch, index) alone draws the crop.
        name = zlib.crc32(teacher.encode())
        state = np.random.SeedSequence((seed, epoch, index), spawn_key=(name,))
        return int(np.random.default_rng(state).choice(rows))

    def coverage(self) -> str:
        """How many utterances matched at which level, in words."""
        counts = Counter(self.levels)
        return ", ".join(f"{counts[level]} by {level}" for level in (*LEVELS, "none") if counts[level])

    def save(self, path: Path, manifest: Manifest) -> None:
        """Write, as CSV, the level and the key of the bank rows that each utterance may take."""
        with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("ID", "level", "key"))
            for utterance, level in zip(manifest, self.levels, strict=True):
                writer.writerow((utterance.id, level, key_of(utterance, level) if level in LEVELS else ""))


def key_of(utterance: Utterance, level: str) -> str:
    """What a bank's row of this level has as its key if it is this utterance's."""
    session = session_key(utterance.spk_id, utterance.fields.get("session", ""))
    return {"utterance": utterance.id, "session": session, "identity": utterance.spk_id}[level]


def session_key(speaker: str, session: str) -> str:
    return f"{speaker}/{session}"


def match_rows(places: Sequence[tuple[str, str]], manifest: Manifest) -> Match:
    """The match of bank rows, each at its (level, key), with the utterances of a manifest."""
    table: dict[tuple[str, str], list[int]] = {}
    for row, place in enumerate(places):
        table.setdefault(place, []).append(row)
    groups: dict[tuple[str, str], int] = {}
    counts: Counter[int] = Counter()
    group, turn, levels = [], [], []
    for utterance in manifest:
        own = [(level, key_of(utterance, level)) for level in LEVELS]
        found = next((place for place in own if place in table), None)
        number = groups.setdefault(found, len(groups)) if found else UNMATCHED
        group.append(number)
        turn.append(counts[number])
        counts[number] += 1
        levels.append(found[0] if found else "none")
    rows = [np.array(table[place], np.int64) for place in groups]
    return Match(np.array(group, np.int64), rows, np.array(turn, np.int64), levels)


def check_speakers(match: Match, identities: Sequence[str], manifest: Manifest) -> list[str]:
    """Whether the speakers of the teacher's inputs are those of the manifest; those who have no input.

    `identities` [rows] are the speakers of the rows. Asked before anything is fitted: raises `DataError` naming
    the speakers where there are others than the manifest's, where an utterance takes another speaker's row, or
    nobody has any.
    """
    known, seen = manifest.speakers, set(identities)

    def refuse(problem: str, speakers: Iterable[str], expected: str) -> DataError:
        return DataError(
            problem, file=manifest.path, expected=expected, found=some(speakers),
            fix="Name the speakers alike in the manifest and in the teacher's inputs",
        )  # fmt: skip

    if not match.rows:
        raise refuse("no utterance has an input of the teacher", seen, f"speakers like {some(known)}")
    if foreign := seen - set(known):
        raise refuse("the teacher has speakers who are not trained on", foreign, "training speakers only")
    owners = [{identities[row] for row in rows} for rows in match.rows]
    others = {
        utterance.spk_id
        for utterance, group in zip(manifest, match.group, strict=True)
        if group != UNMATCHED and owners[group] != {utterance.spk_id}
    }
    if others:
        raise refuse("utterances match another speaker's teacher input", others, "their own speaker's only")
    return [speaker for speaker in known if speaker not in seen]


def check_classes(identities: Sequence[str], labels: Sequence[int], folder: Path) -> None:
    """Raise `DataError` where rows [rows] of one speaker are of several classes of the teacher in `folder`.

    With `check_speakers` each of the student's classes is then one class of the teacher, or none.
    """
    first = dict(zip(reversed(identities), reversed(labels), strict=True))
    torn = {name for name, label in zip(identities, labels, strict=True) if label != first[name]}
    if torn:
        raise DataError(
            "speakers belong to several classes of the teacher", file=folder, expected="one class for each",
            found=some(torn), fix="Build the bank again: --rebuild_bank True",
        )  # fmt: skip


def some(names: Iterable[str], shown: int = 5) -> str:
    """The first of the different names, sorted."""
    found = sorted(set(names))
    return ", ".join(found[:shown]) + (f" and {len(found) - shown} more" if len(found) > shown else "")
