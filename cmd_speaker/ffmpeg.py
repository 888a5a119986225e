"""The programs of ffmpeg, which read m4a and video: run as processes of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cmd_speaker.errors import DataError


class Ended(NamedTuple):
    """What a program wrote to its standard output, and its last words where it failed; empty where it did not."""

    output: bytes
    problem: str


def refuse_missing(programs: Sequence[str], what: str, file: str | Path | None = None) -> None:
    """Raise `DataError` where one of the programs, which `what` need, is not on the PATH."""
    if lacking := [program for program in programs if shutil.which(program) is None]:
        raise DataError(
            f"{what} need {' and '.join(lacking)}", file=file,
            expected="the programs of ffmpeg on the PATH", found="none",
            fix="Install ffmpeg, for example with apt install ffmpeg or conda install ffmpeg",
        )  # fmt: skip


def run(program: str, *arguments: str) -> Ended:
    """Run one of the programs, which says nothing but errors."""
    ended = subprocess.run([program, "-v", "error", *arguments], capture_output=True, check=False)
    if not ended.returncode:
        return Ended(ended.stdout, "")
    *_, said = ended.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
    return Ended(ended.stdout, f"{said} ({program}'s exit code {ended.returncode})")
