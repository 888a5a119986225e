"""`cmd-speaker`: parses, calls the library, prints. Heavy imports wait until a command needs them."""

from __future__ import annotations

import sys
import traceback
from io import TextIOWrapper

from cmd_speaker.cli import (  # noqa: F401
    calibrate,
    check_data,
    convert,
    demo,
    embed,
    evaluate,
    export,
    faces,
    pack,
    quality,
    registry,
    score,
    study,
    train,
    verify,
)
from cmd_speaker.cli.app import app
from cmd_speaker.errors import exit_code_of


def main() -> None:
    """Entry point: exit code 0, 1 (negative decision), 2 (usage), 3 (bad data) or 4 (a fault of the program)."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A character that the terminal's encoding lacks must not be the end of what has been computed.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = exit_code_of(app)
    except Exception:
        # Python's own code for this is 1, which here says "not the same speaker".
        traceback.print_exc()
        code = 4
    sys.exit(code)
