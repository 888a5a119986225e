"""The headers of many audio files at once: which can be used, and how long they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cmd_speaker.audio import MIN_SECONDS, SAMPLE_RATE, AudioInfo, probe, read_audio
from cmd_speaker.errors import DataError
from cmd_speaker.progress import track


def probe_fit(path: Path, *, full: bool = False) -> AudioInfo:
    """What the header of a file says that can be trained on or scored; `full` decodes it as well.

    Raises `DataError` as `probe` does, and for another form than 16 kHz mono of `MIN_SECONDS` seconds at least.
    """
    info = probe(path)
    if (info.sample_rate, info.channels) != (SAMPLE_RATE, 1) or info.seconds < MIN_SECONDS:
        found = f"{info.sample_rate} Hz, {info.channels} channel(s), {info.seconds:.3f} s"
        expected = f"{SAMPLE_RATE} Hz, 1 channel, at least {MIN_SECONDS} s"
        fix = f"Convert it, for example: ffmpeg -i IN -ac 1 -ar {SAMPLE_RATE} OUT.flac; or leave it out"
        raise DataError("not fit for use", file=path, expected=expected, found=found, fix=fix)
    if full:
        read_audio(path)
    return info


def probe_files(paths: Sequence[Path], *, full: bool = False) -> list[AudioInfo | DataError]:
    """For each file what `probe_fit` says, or what is wrong; one thread per core, with a progress bar."""

    def one(path: Path) -> AudioInfo | DataError:
        """An error is returned, so that the others are still looked at."""
        try:
            return probe_fit(path, full=full)
        except DataError as error:
            return error

    title = "Decoding audio" if full else "Reading audio headers"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(track(pool.map(one, paths), title, len(paths)))
