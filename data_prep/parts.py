"""The parts of a corpus: who is held out from training, the manifest of each part, trials where there are none."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, combinations
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from cmd_speaker.audio import AudioInfo
from cmd_speaker.errors import DataError, DataErrors, UsageError
from cmd_speaker.files import write_atomically, write_mistakes
from cmd_speaker.headers import probe_files
from cmd_speaker.lists.trials import Trials, save_trials
from cmd_speaker.manifest import REQUIRED, write_manifest
from cmd_speaker.training.subset import by_hash

T = TypeVar("T")
PARTS = ("train.csv", "valid.csv", "valid_trials.txt", "test.csv")
"""What a preparation writes, as far as there are such parts; lists of the test besides."""
SEED, TARGETS, NONTARGETS = 1, 20_000, 100_000
"""A list has all pairs, or so many of them where there are more."""


class Spoken(NamedTuple):
    """An utterance, who speaks and in which session ("": not known)."""

    id: str
    speaker: str
    session: str


def probe_recordings(
    folder: Path, recordings: Sequence[T], paths: Sequence[Path]
) -> tuple[list[tuple[T, AudioInfo]], list[DataError]]:
    """The recordings whose files can be used, each with its header, and what is wrong with the other files.

    Raises `DataErrors`, about the corpus in `folder`, where not a single one can be used.
    """
    results = probe_files(paths)
    errors = [result for result in results if isinstance(result, DataError)]
    if len(errors) == len(results):
        raise DataErrors(f"{folder}: none of the {len(results)} recordings can be used", errors)
    pairs = zip(recordings, results, strict=True)
    return [(item, info) for item, info in pairs if not isinstance(info, DataError)], errors


def hold_out(utterances: Iterable[Spoken], counts: Mapping[str, int], folder: Path) -> dict[str, str]:
    """Which part, a key of `counts`, each speaker belongs to who is held out from training.

    Speakers are taken in the order of the SHA-256 of their names, part by part, so that a larger later part does
    not change an earlier one. One with a single utterance, who has no target trial, is never held out.

    Raises `UsageError` for a part of one speaker, and `DataError`, about the corpus in `folder`, where two would
    not be left for training.
    """
    if any(count < 0 or count == 1 for count in counts.values()):
        raise UsageError(f"held-out speakers: expected 0, or 2 and more, found {_in_words(counts)}")
    spoken = Counter(utterance.speaker for utterance in utterances)
    several = sorted((name for name, number in spoken.items() if number > 1), key=by_hash)
    wanted = sum(counts.values())
    if wanted > min(len(several), len(spoken) - 2):
        raise DataError(
            "too few speakers", file=folder, fix="Hold out fewer, or add speakers",
            expected=f"{wanted} with several utterances each ({_in_words(counts)}) and 2 more to train on",
            found=f"{len(spoken)} speakers, {len(several)} of them with several utterances",
        )  # fmt: skip
    parts = [part for part, count in counts.items() for _ in range(count)]
    return dict(zip(several, parts, strict=False))


def write_part(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dict[str, int]:
    """Write the manifest of one part; its numbers, by names that begin with that of the file.

    Without rows there is no part: it and the trials of an earlier run, whose speakers are in another part now,
    are removed.
    """
    if not rows:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.stem}_trials.txt").unlink(missing_ok=True)
        return {}
    with write_atomically(path) as temporary:
        write_manifest(temporary, columns, rows)
    seconds, speaker = REQUIRED.index("duration"), REQUIRED.index("spk_id")
    return {
        f"{path.stem}_utterances": len(rows),
        f"{path.stem}_speakers": len({row[speaker] for row in rows}),
        f"{path.stem}_seconds": round(sum(float(str(row[seconds])) for row in rows)),
    }


def list_mistakes(path: Path, mistakes: Sequence[DataError]) -> list[str]:
    """Write them a line each (`write_mistakes`), and what there is to say of them."""
    write_mistakes(path, mistakes)
    return [f"{len(mistakes):,} mistakes did not stop the rest, see {path}"] if mistakes else []


def write_trials(path: Path, utterances: Sequence[Spoken]) -> dict[str, int]:
    """Write the trials that `draw_trials` finds; their numbers, by names that begin with that of the file."""
    trials, targets = draw_trials(utterances)
    save_trials(path, trials)
    # Recordings of one session, or of none that is known, may share room and microphone: easy targets.
    sessions = [(u.speaker, u.session) for u in utterances]
    alike = sum(sessions[a] == sessions[b] for a, b in zip(trials.enrol, trials.test, strict=True))
    name = path.stem
    return {name: len(trials), f"{name}_targets": targets, f"{name}_targets_of_one_session": alike}


def draw_trials(utterances: Sequence[Spoken]) -> tuple[Trials, int]:
    """Labelled pairs of `utterances`, the targets first, and the number of these.

    There are `TARGETS` and `NONTARGETS`, each pair as likely, or all where there are fewer. Targets join two
    sessions of a speaker; one who has a single session, or none that is known, is compared within it.
    """
    sessions: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, utterance in enumerate(utterances):
        sessions[utterance.speaker][utterance.session].append(place)
    rng = random.Random(SEED)
    own = [pair for groups in sessions.values() for pair in _own_pairs(list(groups.values()))]
    speakers = [[place for group in groups.values() for place in group] for groups in sessions.values()]
    targets = sorted(draw_between(own, TARGETS, rng))
    pairs = targets + sorted(draw_between(list(combinations(speakers, 2)), NONTARGETS, rng))
    enrol, test = np.array(pairs, np.int32).reshape(-1, 2).T
    labels = np.arange(len(pairs)) < len(targets)
    return Trials([u.id for u in utterances], enrol, test, labels), len(targets)


def draw_between(
    groups: Sequence[tuple[Sequence[T], Sequence[T]]], count: int, rng: random.Random
) -> list[tuple[T, T]]:
    """`count` different pairs, or as many as there are, in random order, each as likely.

    A pair has its first member from the first list of one of `groups`, its second from that one's second list.
    The pairs are counted, not made: there may be more than memory holds.
    """
    ends = list(accumulate((len(a) * len(b) for a, b in groups), initial=0))[1:]
    total = ends[-1] if ends else 0
    pairs = []
    for index in rng.sample(range(total), min(count, total)):
        # The index counts through the pairs of the first group, then of the next.
        a, b = groups[bisect_right(ends, index)]
        pairs.append((a[index % len(a)], b[index // len(a) % len(b)]))
    return pairs


def _own_pairs(sessions: Sequence[list[int]]) -> Iterable[tuple[list[int], list[int]]]:
    """Groups whose pairs are the targets of one speaker."""
    return combinations(sessions, 2) if len(sessions) > 1 else _halves(sessions[0])


def _halves(members: list[int]) -> list[tuple[list[int], list[int]]]:
    """Groups whose pairs are all pairs of `members`: those across the middle, then those of each half."""
    if len(members) < 2:
        return []
    first, second = members[: len(members) // 2], members[len(members) // 2 :]
    return [(first, second), *_halves(first), *_halves(second)]


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {count}" for part, count in counts.items())
