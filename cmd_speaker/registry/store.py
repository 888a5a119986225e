"""The file of a registry: one SQLite database, which knows rows by their tags and never sees what is in them.

SQLite brings what a crash and several processes need: a transaction is there as a whole or not at all, and
writers wait for each other. What is deleted is overwritten (`secure_delete`); that leaves copies which pages keep
from being split, so that the file is also built anew (`VACUUM`, in memory) before a deletion counts as done.
A deletion that was broken off in between is finished when the registry is next opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cmd_speaker.errors import DataError

FILE_NAME = "registry.db"
FORMAT_VERSION = 2
REMAKE = "Copy it again from its source, or begin one with cmd-speaker enroll --model MODEL"
"""Version 1 was `registry.json` with embeddings beside it; see `cmd_speaker.registry.migration`."""
APPLICATION_ID = 0x434D4453  # "CMDS", for `file` and for us
WAIT_SECONDS = 60
SETTINGS = (
    "secure_delete = ON", "temp_store = MEMORY", "synchronous = EXTRA", "trusted_schema = OFF",
    "journal_mode = DELETE",
)  # fmt: skip
"""`EXTRA`: else a loss of power may bring back who was forgotten a moment ago. `DELETE`, the default: a log beside
the file, as another program may have begun, would keep what is deleted."""
FIXES = {
    sqlite3.SQLITE_BUSY: "Run the command again",
    sqlite3.SQLITE_FULL: "Free some space",
    sqlite3.SQLITE_READONLY: "Let it be written to, or copy it to where it can be",
}
"""What to do, by SQLite's code; of any other: `REMAKE`."""
SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT_VERSION};
CREATE TABLE registry (
    id TEXT NOT NULL, model TEXT NOT NULL, model_path TEXT NOT NULL, cipher TEXT NOT NULL, proof BLOB NOT NULL,
    size INTEGER, forgotten INTEGER NOT NULL DEFAULT 0, rebuilt INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, speaker BLOB NOT NULL, recording BLOB NOT NULL UNIQUE,
    content BLOB NOT NULL
);
CREATE INDEX speakers ON recordings (speaker);
"""


class RegistryUnusable(DataError):
    """What SQLite refuses; the next recording would fare no better."""


@dataclass(frozen=True)
class Identity:
    """What a registry is, readable without a key: a random id, its model's checksum and where it was last seen.

    `proof` is closed under the registry's key and bound to all of it but the path.
    """

    id: str
    model: str
    model_path: str
    cipher: str
    proof: bytes


class Row(NamedTuple):
    """A recording: the tags of its speaker and of itself, and its closed content. Ids only ever grow."""

    id: int
    speaker: bytes
    recording: bytes
    content: bytes


class Store:
    """The database in `folder`. Not for several threads at once.

    Every method raises `RegistryUnusable` for what SQLite refuses: a damaged file, a full disk, a writer who never
    ends.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        with self._explained():
            self._db = sqlite3.connect(
                self.path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )  # fmt: skip
            for setting in SETTINGS:
                self._db.execute(f"PRAGMA {setting}")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that no other writer comes between; nothing of it stays where it raises."""
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def identity(self) -> Identity | None:
        """None for a file in which no registry has been begun. Raises `DataError` for another version."""
        with self._explained():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            if not version and not application:
                return None
            if application != APPLICATION_ID or version != FORMAT_VERSION:
                raise DataError(
                    "a registry of another version", file=self.path, expected=f"format {FORMAT_VERSION}",
                    found=version, fix="Upgrade cmd-speaker, or enrol again with this one",
                )  # fmt: skip
            found = self._db.execute("SELECT id, model, model_path, cipher, proof FROM registry").fetchone()
        if found is None or [type(each) for each in found] != [str, str, str, str, bytes]:
            raise DataError(
                "the registry was changed", file=self.path, expected="what cmd-speaker wrote",
                found="something else", fix=REMAKE,
            )  # fmt: skip
        return Identity(*found)

    def begin(self, identity: Identity) -> None:
        """Make the tables, within `writing`."""
        for statement in SCHEMA.split(";"):
            self._db.execute(statement)
        self._db.execute(
            "INSERT INTO registry (id, model, model_path, cipher, proof) VALUES (?, ?, ?, ?, ?)",
            (identity.id, identity.model, identity.model_path, identity.cipher, identity.proof),
        )

    def size(self) -> int | None:
        """The number of dimensions of what is enrolled; None before the first enrolment."""
        with self._explained():
            return self._db.execute("SELECT size FROM registry").fetchone()[0]

    def add(self, speaker: bytes, recording: bytes, content: bytes) -> None:
        """One more recording, within `writing`."""
        self._db.execute(
            "INSERT INTO recordings (speaker, recording, content) VALUES (?, ?, ?)",
            (speaker, recording, content),
        )

    def note(self, size: int, model_path: str) -> None:
        """Keep the number of dimensions and the way to the model, within `writing`."""
        self._db.execute("UPDATE registry SET size = ?, model_path = ?", (size, model_path))

    def find(self, recording: bytes) -> Row | None:
        """The row with a recording's tag."""
        with self._explained():
            found = self._db.execute(
                "SELECT id, speaker, recording, content FROM recordings WHERE recording = ?", (recording,)
            ).fetchone()
        return None if found is None else Row(*found)

    def remove(self, speaker: bytes) -> int:
        """Delete a speaker's rows, within `writing`; returns how many. `finish` must follow."""
        # Looking at every row: none is kept because it is missing in a damaged index.
        removed = self._db.execute(
            "DELETE FROM recordings NOT INDEXED WHERE speaker = ?", (speaker,)
        ).rowcount
        if removed:
            self._db.execute("UPDATE registry SET forgotten = forgotten + 1")
        return removed

    def finish(self) -> None:
        """Build the file anew where something was deleted and may have left copies in it."""
        with self._explained():
            forgotten, pending = self._db.execute(
                "SELECT forgotten, rebuilt < forgotten FROM registry"
            ).fetchone()
            if pending:
                self._db.execute("VACUUM")
                # Not more than this: another process may have deleted something meanwhile.
                self._db.execute("UPDATE registry SET rebuilt = MAX(rebuilt, ?)", (forgotten,))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read in it is of one moment."""
        with self._explained():
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    def forgotten(self) -> int:
        """How many deletions there have been."""
        return self._db.execute("SELECT forgotten FROM registry").fetchone()[0]

    def newer(self, after: int) -> int:
        """How many recordings lie beyond the id `after`."""
        found = self._db.execute("SELECT COUNT(*) FROM recordings WHERE id > ?", (after,))
        return int(found.fetchone()[0])

    def rows(self, after: int) -> Iterator[Row]:
        """The recordings beyond the id `after`, in order."""
        found = self._db.execute(
            "SELECT id, speaker, recording, content FROM recordings WHERE id > ? ORDER BY id", (after,)
        )
        return map(Row._make, found)

    def counts(self) -> tuple[int, int]:
        """How many speakers and recordings there are."""
        with self._explained():
            return self._db.execute("SELECT COUNT(DISTINCT speaker), COUNT(*) FROM recordings").fetchone()

    def own(self, speaker: bytes) -> int:
        """How many recordings a speaker has."""
        with self._explained():
            found = self._db.execute("SELECT COUNT(*) FROM recordings WHERE speaker = ?", (speaker,))
            return int(found.fetchone()[0])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # The lowest byte says what it is, the others why.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            busy = code == sqlite3.SQLITE_BUSY
            raise RegistryUnusable(
                "the registry cannot be used", file=self.path, expected="a whole file, writable, on a local disk",
                found=f"another process that has kept it for {WAIT_SECONDS} seconds" if busy else str(error),
                fix=FIXES.get(code, REMAKE),
            ) from error  # fmt: skip
