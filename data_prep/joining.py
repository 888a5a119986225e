"""Short utterances of one session joined to longer ones, in files of their own.

Many utterances of CN-Celeb last a second or two, too short to be trained on alone: it is usual to join them
until they last five. Here only what is short is joined, in the order of the names, and nothing is dropped: what
is left over at the end of a session goes to the last joined clip of the session, or stays short.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from cmd_speaker.audio import SAMPLE_RATE
from cmd_speaker.corpora.cnceleb_lists import Recording
from cmd_speaker.errors import DataError
from cmd_speaker.files import write_atomically
from cmd_speaker.headers import read_header
from cmd_speaker.progress import track


class Piece(NamedTuple):
    """A recording and its length in samples."""

    recording: Recording
    samples: int


class Clip(NamedTuple):
    """What becomes one row of a manifest: a recording, or several of one session one after the other."""

    pieces: tuple[Piece, ...]

    @property
    def first(self) -> Recording:
        return self.pieces[0].recording

    @property
    def joined(self) -> bool:
        return len(self.pieces) > 1

    @property
    def id(self) -> str:
        """That of the recording, or of the first and the number of the others: `id00010/vlog-01-002+3`."""
        return f"{self.first.id}+{len(self.pieces) - 1}" if self.joined else self.first.id

    @property
    def samples(self) -> int:
        return sum(piece.samples for piece in self.pieces)

    def path(self, root: Path, folder: Path) -> Path:
        """Its file: in the corpus `root`, or in `folder` if it is joined."""
        return folder / f"{self.id}.flac" if self.joined else root / self.first.path


def join_short(pieces: Iterable[Piece], min_seconds: float) -> list[Clip]:
    """Clips of `min_seconds` and more where a session has so much speech; 0 joins nothing."""
    sessions: dict[tuple[str, str], list[Piece]] = defaultdict(list)
    for piece in pieces:
        sessions[piece.recording.speaker, piece.recording.session].append(piece)
    least = round(min_seconds * SAMPLE_RATE)
    return [clip for session in sessions.values() for clip in _join_session(session, least)]


def _join_session(session: Sequence[Piece], least: int) -> list[Clip]:
    clips = [Clip((piece,)) for piece in session if piece.samples >= least]
    joined: list[Clip] = []
    waiting = Clip(())
    for piece in session:
        if piece.samples < least:
            waiting = Clip((*waiting.pieces, piece))
            if waiting.samples >= least:
                joined.append(waiting)
                waiting = Clip(())
    if joined:
        joined[-1] = Clip(joined[-1].pieces + waiting.pieces)
    elif waiting.pieces:
        joined.append(waiting)
    return sorted(clips + joined, key=lambda clip: clip.first.id)


def write_joined(root: Path, folder: Path, clips: Sequence[Clip]) -> tuple[list[Clip], list[DataError]]:
    """Write the joined clips as flac files in `folder`; the clips that can be used, and what is wrong with others.

    A file that is there and has the right length is kept, so that a run that was broken off goes on. A recording
    that cannot be decoded is left out of its clip. Raises `DataError` where a file cannot be written.
    """
    todo = [clip for clip in clips if clip.joined]
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        results = pool.map(partial(_write, root, folder), todo)
        done = list(track(results, "Joining short utterances", len(todo)))
    finally:
        # After an error, or Ctrl-C, nobody waits for hours of what is still to be written.
        pool.shutdown(cancel_futures=True)
    written = iter(done)
    made = [next(written)[0] if clip.joined else clip for clip in clips]
    return [clip for clip in made if clip.pieces], [error for _, errors in done for error in errors]


def _write(root: Path, folder: Path, clip: Clip) -> tuple[Clip, list[DataError]]:
    """The clip of those pieces that can be decoded, whose file is there now; and what is wrong with the others."""
    if _is_whole(clip.path(root, folder), clip):
        return clip, []
    waves, good, errors = [], [], []
    for piece in clip.pieces:
        try:
            waves.append(_read(root / piece.recording.path, piece.samples))
            good.append(piece)
        except DataError as error:
            errors.append(error)
    made = Clip(tuple(good))
    if made.joined and not _is_whole(path := made.path(root, folder), made):
        with write_atomically(path) as temporary:
            try:
                soundfile.write(temporary, np.concatenate(waves), SAMPLE_RATE, "PCM_16", format="FLAC")
            except soundfile.LibsndfileError as error:
                raise OSError(f"libsndfile: {error.error_string}") from error
    return made, errors


def _is_whole(path: Path, clip: Clip) -> bool:
    """Whether an earlier run has written the file, with these pieces as far as its length can tell."""
    try:
        return path.is_file() and read_header(path).samples == clip.samples
    except DataError:
        # Not by this program, which writes files whole: it is written again.
        return False


def _read(path: Path, samples: int) -> np.ndarray:
    """The samples as the file has them, int16 [samples]."""
    try:
        wave = soundfile.read(path, dtype="int16")[0]
        found = f"{len(wave)} samples"
    except soundfile.LibsndfileError as error:
        wave, found = np.empty(0, np.int16), error.error_string
    if len(wave) != samples:
        raise DataError(
            "decoding failed", file=path, expected=f"{samples} samples, as its header declares", found=found,
            fix="Copy the file again",
        )  # fmt: skip
    return wave
