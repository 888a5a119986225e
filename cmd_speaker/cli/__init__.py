"""`cmd-speaker`: parses, calls the library, prints. Heavy imports wait until a command needs them."""

from __future__ import annotations

import sys

from cmd_speaker.cli import check_data, convert, embed, evaluate, score, train, verify  # noqa: F401
from cmd_speaker.cli.app import app
from cmd_speaker.errors import exit_code_of


def main() -> None:
    """Entry point: exit code 0, 1 (negative decision), 2 (usage) or 3 (bad data)."""
    sys.exit(exit_code_of(app))
