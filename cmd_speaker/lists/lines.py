"""Text files of any length, read in pieces of whole lines and split into columns.

A piece is split into fields at once: a list for each of 100 million lines would take Python longer to look
after than everything else. Fields are bytes, separated by ASCII white space; the text is UTF-8.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from cmd_speaker.errors import DataError

PIECE = 1 << 20
"""Bytes read at a time: few enough for the fields of a piece to stay in the processor's cache."""
LONGEST = 1 << 16
"""Bytes that a line may have; more would be a file without lines."""


@dataclass(frozen=True)
class Piece:
    """Whole lines of a text file, each with its line end; the first of them is line `first`."""

    path: Path
    data: bytes
    first: int

    def columns(self, width: int) -> tuple[list[list[bytes]], np.ndarray] | None:
        """The fields by column and the line numbers, without blank lines; None unless all lines have `width`."""
        columns = _columns(self.data, width)
        if columns is not None:
            return columns, np.arange(self.first, self.first + len(columns[0]))
        lines = self.data.split(b"\n")
        full = [k for k, line in enumerate(lines) if line.strip()]
        columns = _columns(b"".join(lines[k] + b"\n" for k in full), width)
        return None if columns is None else (columns, np.array(full, np.int64) + self.first)

    def lines(self) -> Iterator[tuple[int, list[bytes]]]:
        """Line number and fields of every line that is not blank."""
        for row, line in enumerate(self.data.split(b"\n"), start=self.first):
            if fields := line.split():
                yield row, fields


def read_pieces(path: str | Path, what: str) -> Iterator[Piece]:
    """A text file, gzip-compressed or not, in pieces of about `PIECE` bytes; `what` names the kind of file.

    Raises `DataError` if it is missing, damaged or not UTF-8, or where a line is longer than `LONGEST` bytes.
    """
    path, first = Path(path), 1
    if not path.is_file():
        raise DataError(f"no such {what}", file=path, fix="Check the path")
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        zipped = raw.peek(2)[:2] == b"\x1f\x8b"
        file = stack.enter_context(gzip.open(raw)) if zipped else raw
        while data := _whole_lines(file, path, what):
            data = data.removeprefix(b"\xef\xbb\xbf") if first == 1 else data
            _check_text(data, path, what, first)
            yield Piece(path, data if data.endswith(b"\n") else data + b"\n", first)
            first += int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))


def encode_ids(path: str | Path, ids: Sequence[str]) -> np.ndarray:
    """The ids as bytes, [n]; raises `DataError` for one that would not be a single field in the file `path`."""
    try:
        encoded = [name.encode() for name in ids]
        joined = b" ".join(encoded)
        bad = None
        if b"\0" in joined or joined.split() != encoded:
            bad = next(k for k, text in enumerate(encoded) if b"\0" in text or text.split() != [text])
    except UnicodeEncodeError as error:
        bad = list(ids).index(error.object)
    if bad is not None:
        raise DataError(
            "an id cannot be written",
            file=path,
            expected="one word of UTF-8",
            found=ascii(ids[bad]),
            fix="Rename the utterance",
        )
    return np.array(encoded, dtype=object)


class WrittenIds:
    """The ids of successive blocks in a file that is written; blocks that share a list share the work."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.ids: Sequence[str] = ()
        self.encoded = np.empty(0, object)

    def encode(self, ids: Sequence[str]) -> np.ndarray:
        """As `encode_ids` does."""
        if ids is not self.ids:
            self.ids, self.encoded = ids, encode_ids(self.path, ids)
        return self.encoded


def join_columns(columns: Sequence[list[bytes]]) -> bytes:
    """The lines that have these columns, n cells each; separators and line ends are cells or parts of them."""
    width = len(columns)
    cells = [b""] * (width * len(columns[0]))
    for k, column in enumerate(columns):
        cells[k::width] = column
    return b"".join(cells)


def _columns(data: bytes, width: int) -> list[list[bytes]] | None:
    # A zero byte, which no text has, marks the line ends: they must be every (width + 1)-th field.
    fields = data.replace(b"\n", b" \0 ").split()
    ends = fields[width :: width + 1]
    if len(fields) != len(ends) * (width + 1) or ends.count(b"\0") != len(ends):
        return None
    return [fields[k :: width + 1] for k in range(width)]


def _whole_lines(file: BufferedIOBase, path: Path, what: str) -> bytes:
    """The next lines of the file; nothing at its end."""
    try:
        data = file.read(PIECE)
        if not data or data.endswith(b"\n"):
            return data
        rest = file.readline(LONGEST)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"the {what} is damaged",
            file=path,
            expected="a whole gzip file",
            found=error,
            fix="Copy it again",
        ) from error
    if len(rest) == LONGEST and not rest.endswith(b"\n"):
        raise _not_text(path, what, None, f"a line of more than {LONGEST} bytes")
    return data + rest


def _check_text(data: bytes, path: Path, what: str, first: int) -> None:
    place = data.find(b"\0")
    if place < 0 and not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            place = error.start
    if place >= 0:
        row = first + data.count(b"\n", 0, place)
        raise _not_text(path, what, row, f"the byte 0x{data[place]:02x}")


def _not_text(path: Path, what: str, row: int | None, found: str) -> DataError:
    return DataError(
        f"the {what} is not text",
        file=path,
        row=row,
        expected="lines of UTF-8",
        found=found,
        fix="Check that this is the right file, or convert it to UTF-8",
    )
