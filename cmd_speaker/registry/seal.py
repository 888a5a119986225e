"""What protects a registry's rows: a checksum, or authenticated encryption under a key of the user's.

Both give the same three things: a tag, by which a row is found without its content being read; content that is
closed; and the same content opened again, unless a bit of it, or of what it is bound to, was changed.

Encryption is AES-256-GCM with a random nonce for each row; tags are HMAC-SHA-256. Their keys are derived from the
user's by HKDF with the registry's random id as salt (RFC 5869), all from the library `cryptography`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cmd_speaker.errors import DataError, UsageError

KEY_VARIABLE = "CMD_SPEAKER_REGISTRY_KEY"
KEY_FIX = "Make a key with `openssl rand -hex 32`"
TAG_BYTES = 16
NONCE_BYTES = 12


class Seal(Protocol):
    """How rows are closed and opened. `bound` is what a content belongs to; it is not part of the result."""

    cipher: str

    def tag(self, kind: str, text: str) -> bytes:
        """The same 16 bytes for the same text of one kind."""

    def close(self, content: bytes, bound: bytes) -> bytes: ...

    def open(self, closed: bytes, bound: bytes) -> bytes:
        """Raises `ValueError` where it is not what was closed."""


class Checksum:
    """Readable by everybody; a change is found."""

    cipher = "none"

    def tag(self, kind: str, text: str) -> bytes:
        return hashlib.sha256(f"{kind}\0{text}".encode()).digest()[:TAG_BYTES]

    def close(self, content: bytes, bound: bytes) -> bytes:
        return content + self._sum(content, bound)

    def open(self, closed: bytes, bound: bytes) -> bytes:
        content = closed[:-TAG_BYTES]
        if self._sum(content, bound) != closed[-TAG_BYTES:]:
            raise ValueError("a row was changed")
        return content

    @staticmethod
    def _sum(content: bytes, bound: bytes) -> bytes:
        return hashlib.sha256(bound + content).digest()[:TAG_BYTES]


class Encryption:
    """Readable under the key only, 32 bytes. `salt` is the registry's id."""

    cipher = "AES-256-GCM"

    def __init__(self, key: bytes, salt: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError as error:
            raise UsageError(
                "an encrypted registry needs cryptography: pip install 'cmd-speaker[encryption]'"
            ) from error
        both = HKDF(SHA256(), 64, salt, b"cmd-speaker registry").derive(key)
        self._aead, self._tag_key, self._changed = AESGCM(both[:32]), both[32:], InvalidTag

    def tag(self, kind: str, text: str) -> bytes:
        return hmac.digest(self._tag_key, f"{kind}\0{text}".encode(), "sha256")[:TAG_BYTES]

    def close(self, content: bytes, bound: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, content, bound)

    def open(self, closed: bytes, bound: bytes) -> bytes:
        try:
            return self._aead.decrypt(closed[:NONCE_BYTES], closed[NONCE_BYTES:], bound)
        except (self._changed, ValueError) as error:
            raise ValueError("a row was changed, or is under another key") from error


def seal_of(cipher: str, key: bytes | None, salt: bytes) -> Seal:
    """The seal of a registry; raises `UsageError` for a key too many or too few."""
    if cipher == Checksum.cipher:
        if key is not None:
            raise UsageError(
                "a key was given for a registry that is not encrypted: call it without, or begin another with it"
            )
        return Checksum()
    if key is None:
        raise UsageError(f"the registry is encrypted: give its key with --key-file, or in {KEY_VARIABLE}")
    return Encryption(key, salt)


def read_key(
    file: str | Path | None = None,
    registry: str | Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> bytes | None:
    """The key, 32 bytes, that stands in `file` or else in `CMD_SPEAKER_REGISTRY_KEY`; None where neither is given.

    Raises `DataError` for anything but 64 hexadecimal digits (which it never shows), and for a file that lies in
    the folder `registry` that it shall lock.
    """
    if file is None:
        text = environment.get(KEY_VARIABLE)
        return None if text is None else _parse_key(text, KEY_VARIABLE)
    if registry is not None and Path(file).resolve().is_relative_to(Path(registry).resolve()):
        raise DataError(
            "the key lies in the folder that it locks", file=file, expected="a place of its own",
            fix="Move it out of the registry",
        )  # fmt: skip
    try:
        text = Path(file).read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise DataError("no such key file", file=file, fix=KEY_FIX) from error
    except UnicodeDecodeError as error:
        raise _not_a_key(file, "other bytes") from error
    return _parse_key(text, file)


def _parse_key(text: str, place: str | Path) -> bytes:
    digits = text.strip()
    if not re.fullmatch("[0-9a-fA-F]{64}", digits):
        raise _not_a_key(place, f"{len(digits)} characters")
    return bytes.fromhex(digits)


def _not_a_key(place: str | Path, found: str) -> DataError:
    return DataError("not a key", file=place, expected="64 hexadecimal digits", found=found, fix=KEY_FIX)
