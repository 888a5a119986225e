"""Every error a user can cause.

The command line prints the message and leaves with `exit_code`: 2 for a wrong call, 3 for bad data.
A message names the file and row, what was expected against what was found, and what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

SHOWN_ERRORS = 20


class CmdSpeakerError(Exception):
    """Base of all errors a user can cause."""

    exit_code = 3


class UsageError(CmdSpeakerError):
    """The call itself is wrong: an unknown option or a value out of range."""

    exit_code = 2


class DataError(CmdSpeakerError):
    """One thing wrong in one file.

    Arguments: `problem` in a few words; `file` and `row` (line number, the first line is 1) where it
    was found; `expected` against `found`; `fix`, what the user can do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        row: int | None = None,
        expected: object = None,
        found: object = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem, self.file, self.row = problem, file, row
        self.expected, self.found, self.fix = expected, found, fix

    def at(self, file: str | Path, row: int | None = None) -> DataError:
        """The same error, placed in the list (manifest, trial list) whose `row` led to it."""
        return DataError(
            f"{self.file}: {self.problem}" if self.file else self.problem,
            file=file,
            row=row,
            expected=self.expected,
            found=self.found,
            fix=self.fix,
        )

    def __str__(self) -> str:
        where = f"{self.file}" if self.file else ""
        if self.row is not None:
            where += f", row {self.row}"
        text = f"{where}: {self.problem}" if where else self.problem
        facts = (("expected", self.expected), ("found", self.found))
        known = [f"{name} {value}" for name, value in facts if value is not None]
        if known:
            text += f" ({', '.join(known)})"
        return f"{text}. {self.fix}." if self.fix else text


class DataErrors(CmdSpeakerError):
    """Several errors found in one pass; those that did not stop the rest of the work.

    `count` is their number where only the first of them were kept.
    """

    def __init__(self, summary: str, errors: Sequence[DataError], count: int | None = None) -> None:
        super().__init__(summary)
        self.summary, self.errors = summary, list(errors)
        self.count = len(self.errors) if count is None else count

    def __str__(self) -> str:
        lines = [f"{self.summary}:"] + [f"  {error}" for error in self.errors[:SHOWN_ERRORS]]
        if self.count > SHOWN_ERRORS:
            lines.append(f"  ... and {self.count - SHOWN_ERRORS} more")
        return "\n".join(lines)


def exit_code_of(function: Callable[..., int | None], *args: object) -> int:
    """Call `function`; print an error a user can cause to standard error and return its exit code.

    What the system refuses (permissions, a full disk, a file where a folder should be) is one of them; Ctrl-C
    ends in 130, as in a shell.
    """
    try:
        return function(*args) or 0
    except CmdSpeakerError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return DataError.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
