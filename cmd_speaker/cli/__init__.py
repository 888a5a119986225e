"""`cmd-speaker`: parses, calls the library, prints. Heavy imports wait until a command needs them."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from cmd_speaker.cli import (  # noqa: F401
    calibrate,
    check_data,
    convert,
    embed,
    evaluate,
    registry,
    score,
    train,
    verify,
)
from cmd_speaker.cli.app import app
from cmd_speaker.errors import exit_code_of


def main() -> None:
    """Entry point: exit code 0, 1 (negative decision), 2 (usage) or 3 (bad data)."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A character that the terminal's encoding lacks must not be the end of what has been computed.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(exit_code_of(app))
