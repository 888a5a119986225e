"""Anybody's own recordings: whether their folder can be used, and how far faces and descriptions reach."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cmd_speaker.corpora.corpus import CheckRow, Corpus, Status
from cmd_speaker.corpora.folder_beside import face_of, find_pictures, level_of, read_texts
from cmd_speaker.corpora.folder_tree import LEVELS, TREE, Tree, read_tree
from cmd_speaker.errors import SHOWN_ERRORS, CmdSpeakerError, DataError
from cmd_speaker.headers import probe_files
from cmd_speaker.teachers import matching


def _check(root: Path, full: bool) -> list[CheckRow]:
    try:
        tree = read_tree(root)
    except CmdSpeakerError as error:
        return [CheckRow("layout", " or ".join(LEVELS.values()), str(error), "problem")]
    return [*_recordings(tree), *_audio(tree, full), *_faces(tree), *_texts(tree)]


def _recordings(tree: Tree) -> list[CheckRow]:
    utterances = Counter(recording.speaker for recording in tree.recordings)
    sessions = len({(recording.speaker, recording.session) for recording in tree.recordings})
    found = f"{len(utterances):,} speakers, {len(tree.recordings):,} utterances"
    if tree.recordings[0].session:
        found += f" in {sessions:,} sessions"
    rows = [
        CheckRow("recordings", "two speakers at least", found, "ok" if len(utterances) > 1 else "problem")
    ]
    if single := sorted(speaker for speaker, count in utterances.items() if count == 1):
        names = ", ".join(single[:5])
        found = f"{len(single):,} speakers with one utterance ({names}): train only, no target trial"
        rows.append(CheckRow("utterances a speaker", "two at least", found, "note"))
    if tree.others:
        found = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(tree.others.items()))
        rows.append(CheckRow("other files among the audio", "none", f"{found}; not used", "note"))
    return rows + _problems("links", list(tree.lost))


def _audio(tree: Tree, full: bool) -> list[CheckRow]:
    results = probe_files([recording.path for recording in tree.recordings], full=full)
    errors = [result for result in results if isinstance(result, DataError)]
    found = f"{len(results) - len(errors):,} good, {len(errors):,} bad"
    return [
        CheckRow("audio", f"{len(results):,} good files", found, "problem" if errors else "ok"),
        *_problems("audio", errors),
    ]


def _faces(tree: Tree) -> list[CheckRow]:
    if tree.faces is None:
        return [CheckRow("faces", "optional", "none", "note")]
    pictures, errors = find_pictures(tree)
    places = [recording.place for recording in tree.recordings]
    levels = Counter(level_of(face_of(place, pictures), place) for place in places)
    found = ", ".join(
        f"{levels[level]:,} by {level}" for level in (*matching.LEVELS, "none") if levels[level]
    )
    return [CheckRow("faces", "every utterance", found, _status(levels["none"])), *_problems("faces", errors)]


def _texts(tree: Tree) -> list[CheckRow]:
    if tree.text is None:
        return [CheckRow("descriptions", "optional", "none", "note")]
    texts, errors = read_texts(tree)
    missing = len(tree.speakers) - len(texts)
    found = f"{len(texts):,} of {len(tree.speakers):,} speakers"
    return [
        CheckRow("descriptions", "every speaker", found, _status(missing)),
        *_problems("descriptions", errors),
    ]


def _status(missing: int) -> Status:
    return "note" if missing else "ok"


def _problems(what: str, errors: list[DataError]) -> list[CheckRow]:
    rows = [CheckRow(what, "nothing wrong", str(error), "problem") for error in errors[:SHOWN_ERRORS]]
    if more := len(errors) - len(rows):
        rows.append(CheckRow(what, "nothing wrong", f"{more:,} more like these", "problem"))
    return rows


CORPUS = Corpus(
    name="folder",
    title="anybody's own recordings, a folder for each speaker",
    citation="none: say in what you publish whose recordings they are, and that they agreed",
    tree=TREE,
    check=_check,
)
