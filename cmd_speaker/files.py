"""Files that are whole or not there at all, and their checksums."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from cmd_speaker.errors import DataError, UsageError

T = TypeVar("T")


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an exception.

    Missing folders are made; a link stays one, and what it leads to is replaced. Raises `DataError` where the
    system refuses to write, and for what is no file: root would replace even /dev/null.
    """
    target = Path(os.path.realpath(path))
    refuse_unreplaceable(path)
    temporary = target.parent / f".{target.name}.{os.getpid()}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        # safetensors writes files that only their owner may read.
        os.umask(mask := os.umask(0))
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        raise _unwritable("file", path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name when the block ends without an exception.

    Raises `DataError` for a name that is taken, unless by an empty folder, and where the system refuses to write.
    """
    target = Path(path).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(
            "this name is taken", file=path, expected="a name that is free, or an empty folder",
            found="a folder with something in it" if target.is_dir() else "a file", fix="Choose another name",
        )  # fmt: skip
    refuse_unwritable(target.parent)
    temporary = target.parent / f".{target.name}.{os.getpid()}.tmp"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise _unwritable("folder", path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unwritable(what: str, path: str | Path, error: OSError) -> DataError:
    return DataError(
        f"the {what} cannot be written",
        file=path,
        expected="a writable folder with enough space",
        found=error.strerror or str(error),
        fix="Choose another place, or free some space",
    )


@contextmanager
def locked(folder: Path, *, wait: bool = True, waiting: str = "") -> Iterator[int | None]:
    """Alone with `folder`, as far as other processes ask for it in this way too; they wait.

    Yields the lock's file descriptor: a child process that inherits it holds the lock too, until both are gone.
    Without `wait`, `BlockingIOError` is raised where another process holds it; who waits says `waiting` first.
    A folder that is not there is nobody's, and on Windows, whose folders cannot be locked, nobody waits; both
    give None.
    """
    if os.name == "nt" or not folder.is_dir():
        yield None
        return
    import fcntl

    # A lock on the folder itself leaves no file behind, and ends with the process that holds it.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def refuse_unwritable(folder: Path, fix: str = "Choose another folder") -> None:
    """Raise `DataError` where nothing can be written into a folder, made or not yet: before anything long runs."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        found = f"{place} is read-only for you" if place.is_dir() else f"{place} is a file"
        raise DataError(
            "nothing can be written here", file=folder, expected="a writable folder", found=found, fix=fix
        )


def refuse_unreplaceable(path: str | Path) -> None:
    """Raise `DataError` where a file is to be written and a folder, a device or a pipe has its name."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise DataError(
            "this is not a file that can be replaced", file=path, expected="a file, or a name that is free",
            found="a folder" if os.path.isdir(path) else "a device or pipe", fix="Choose another name",
        )  # fmt: skip


def refuse_overwriting(written: Iterable[Path | None], read: Iterable[Path | None]) -> None:
    """Raise `UsageError` where a command would write over a file that it reads, or write one file twice.

    None stands for a file that was not asked for.
    """
    taken = {os.path.realpath(path): "which is read" for path in read if path is not None}
    for path in written:
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise UsageError(f"{path} would be overwritten, {taken[place]}: choose another name")
        taken[place] = "which is written for something else"


def leads_up(folder: Path) -> bool:
    """Whether it is a link to a folder that it lies in: who follows it goes round and round."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; raises as `write_atomically` does."""
    with write_atomically(path) as temporary:
        temporary.write_text(as_json(value), encoding="utf-8")


def write_mistakes(path: Path, mistakes: Sequence[DataError]) -> None:
    """List, a line each, what is wrong and did not stop the rest; no file where nothing is."""
    path.unlink(missing_ok=True)
    if mistakes:
        with write_atomically(path) as temporary:
            temporary.write_text("".join(f"{mistake}\n" for mistake in mistakes), encoding="utf-8")


def as_json(value: Any) -> str:
    """The text that `write_json` writes."""
    return json.dumps(value, indent=1) + "\n"


def file_checksum(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_checksum(value: Any) -> str:
    """SHA-256 of a value as JSON, whatever the order of its keys and its white space, in hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def save_stamped(path: str | Path, version: int, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON with a format version and its own checksum; raises as `write_atomically` does."""
    stamped = {"format_version": version, **content}
    write_json(path, {**stamped, "checksum": json_checksum(stamped)})


def load_stamped(path: Path, version: int, what: str, parse: Callable[[dict[str, Any]], T], fix: str) -> T:
    """What `parse` makes of the content that `save_stamped` wrote; `what` names it in errors.

    Raises `DataError` for a file that is missing, was changed or has another version, and where `parse` raises
    `KeyError`, `TypeError`, `ValueError` or `AttributeError` for values that cannot be.
    """
    if not path.is_file():
        raise DataError(f"no such {what}", file=path, fix=fix)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found, stored = content["format_version"], content.pop("checksum", None)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"not a {what}", file=path, found=f"{error!r}"[:100], fix=fix) from error
    if found != version:
        raise DataError(
            f"a {what} of another version", file=path, expected=f"format {version}", found=found,
            fix="Upgrade cmd-speaker, or make it again with this one",
        )  # fmt: skip
    if stored != json_checksum(content):
        raise DataError(
            f"the {what} was changed", file=path, expected=f"checksum {stored}",
            found=json_checksum(content), fix=fix,
        )  # fmt: skip
    del content["format_version"]
    try:
        return parse(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"the {what} is damaged", file=path, expected="what cmd-speaker writes",
            found=f"{type(error).__name__}: {error}", fix=fix,
        ) from error  # fmt: skip
