"""The rows of a registry as what they stand for: the store, opened under the registry's seal."""

from __future__ import annotations

import secrets
from pathlib import Path

from cmd_speaker.errors import DataError
from cmd_speaker.progress import track
from cmd_speaker.registry.enrolled import Content, Enrolled, clean_name, pack, unpack
from cmd_speaker.registry.migration import is_former, load_former, remove_former
from cmd_speaker.registry.seal import Checksum, Encryption, Seal, seal_of
from cmd_speaker.registry.snapshot import Snapshot
from cmd_speaker.registry.store import FORMAT_VERSION, REMAKE, Identity, Row, Store

MANY = 20_000
"""From so many recordings on, reading them shows its progress."""


class Rows:
    """Every row is closed together with what it belongs to: registry, model, speaker and recording.

    So none can be put under another name, or into another registry. Not for several threads at once.
    """

    def __init__(self, store: Store, identity: Identity, seal: Seal) -> None:
        self.store, self._seal, self._bound = store, seal, _bound(identity)

    def holder(self, sha256: str) -> str | None:
        """The name under which the recording with this checksum stands."""
        row = self.store.find(self._seal.tag("recording", sha256))
        return None if row is None else self._content(row).name

    def add(self, name: str, each: Enrolled) -> bool:
        """Add a recording, within a transaction; whether it is new to `name`.

        Raises `DataError` where it stands under another name.
        """
        holder = self.holder(each.sha256)
        if holder is None:
            tags = self._seal.tag("speaker", name), self._seal.tag("recording", each.sha256)
            content = pack(name, each.recording)
            self.store.add(*tags, self._seal.close(content, self._bound + b"".join(tags)))
        elif holder != name:
            raise DataError(
                "this recording is enrolled already", file=each.file, expected="each recording under one name",
                found=f"it stands under '{holder}'", fix="Leave it out, or forget that name first",
            )  # fmt: skip
        return holder is None

    def remove(self, name: str) -> int:
        """Delete a speaker's recordings, within a transaction; returns how many. `Store.finish` must follow."""
        return self.store.remove(self._seal.tag("speaker", name))

    def own(self, name: str) -> int:
        """How many recordings a speaker has."""
        return self.store.own(self._seal.tag("speaker", name))

    def read(self, known: Snapshot) -> Snapshot:
        """What is there now: only what is new is read, unless somebody was forgotten."""
        with self.store.reading():
            forgotten = self.store.forgotten()
            if forgotten != known.forgotten:
                known = Snapshot(forgotten)
            total = self.store.newer(known.after)
            if not total:
                return known
            rows = self.store.rows(known.after)
            after, contents = known.after, []
            for row in track(rows, "Reading", total) if total > MANY else rows:
                after = row.id
                contents.append(self._content(row))
        return known.extended(after, contents)

    def _content(self, row: Row) -> Content:
        try:
            return unpack(self._seal.open(row.content, self._bound + row.speaker + row.recording))
        except (ValueError, TypeError) as error:
            raise DataError(
                "the registry was changed", file=self.store.path, row=row.id,
                expected="what cmd-speaker wrote", found=error, fix=REMAKE,
            ) from error  # fmt: skip


def open_rows(folder: Path, key: bytes | None, new: tuple[str, str] | None = None) -> tuple[Identity, Rows]:
    """Open the registry in `folder`; where there is none, begin it for `new`, a model's checksum and path.

    One of format 1 is rewritten. A deletion that was broken off is finished. Raises as `Registry.open` does.
    """
    store = Store(folder)
    try:
        identity = store.identity()
        if identity is None:
            with store.writing():
                # Another process may have been first.
                identity = store.identity() or _begin(store, folder, key, new)
        if is_former(folder):
            remove_former(folder)
        try:
            seal = seal_of(identity.cipher, key, bytes.fromhex(identity.id))
            seal.open(identity.proof, _bound(identity))
        except ValueError as error:
            raise DataError(
                "the key does not fit, or the registry was changed" if key else "the registry was changed",
                file=store.path, expected="the key that it was begun with" if key else "what cmd-speaker wrote",
                found="something else", fix="Give the right key" if key else REMAKE,
            ) from error  # fmt: skip
        store.finish()
    except BaseException:
        store.close()
        raise
    return identity, Rows(store, identity, seal)


def _begin(store: Store, folder: Path, key: bytes | None, new: tuple[str, str] | None) -> Identity:
    """The tables, with what a registry of format 1 held; all of it in the transaction of the caller."""
    former = load_former(folder) if is_former(folder) else None
    if former is not None:
        new = former.model, former.model_path
    if new is None:
        raise DataError("no such registry", file=folder, fix=REMAKE)
    salt = secrets.token_bytes(16)
    seal = Checksum() if key is None else Encryption(key, salt)
    identity = Identity(salt.hex(), *new, seal.cipher, b"")
    identity = Identity(salt.hex(), *new, seal.cipher, seal.close(b"", _bound(identity)))
    store.begin(identity)
    if former is not None and former.speakers:
        rows = Rows(store, identity, seal)
        for name, own in former.speakers.items():
            for each in own:
                rows.add(clean_name(name), each)
        store.note(len(each.recording.embedding), former.model_path)
    return identity


def _bound(identity: Identity) -> bytes:
    return f"{FORMAT_VERSION} {identity.id} {identity.model} {identity.cipher}\n".encode()
