"""The table of utterances: SpeechBrain's CSV, validated when it is loaded.

Columns `ID,duration,wav,start,stop,spk_id` are required (`duration` in seconds, `start` and `stop`
in samples, empty for the whole file); `session`, `text`, `face`, `transcript`, `gender`, `age` and any
other column are kept as they are. `wav` may begin with `$data_root`, which stays relative in the file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern

from cmd_speaker.errors import DataError, DataErrors

REQUIRED = ("ID", "duration", "wav", "start", "stop", "spk_id")
DATA_ROOT = "$data_root"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row. `wav` is the resolved path; `row` is its line in the manifest."""

    id: str
    wav: Path
    spk_id: str = ""
    duration: float | None = None
    start: int = 0
    stop: int | None = None
    row: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The utterances of one CSV file, in file order."""

    path: Path
    utterances: Sequence[Utterance]

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    @property
    def speakers(self) -> list[str]:
        """Speaker ids, sorted."""
        return sorted({utterance.spk_id for utterance in self.utterances})

    def label_map(self) -> dict[str, int]:
        """Speaker id -> class index, in sorted order of the ids."""
        return {speaker: index for index, speaker in enumerate(self.speakers)}

    def column(self, name: str) -> list[str]:
        """One optional column; raises `DataError` where the manifest lacks it."""
        if self.utterances and name not in self.utterances[0].fields:
            raise DataError(
                f"the manifest has no column '{name}'",
                file=self.path,
                row=1,
                expected=name,
                found=", ".join([*REQUIRED, *self.utterances[0].fields]),
                fix="Prepare it again, or add the column",
            )
        return [utterance.fields[name] for utterance in self.utterances]


def load_manifest(
    path: str | Path, data_root: str | Path | None = None, *, check_files: bool = False
) -> Manifest:
    """Read and validate a manifest; `check_files` also looks for every audio file.

    Raises `DataError` (no file, no rows, a missing column) or `DataErrors` (every bad row).
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("no such manifest", file=path, fix="Run the recipe's preparation first")
    _, rows = read_rows(path)
    count = len(rows)
    utterances, errors = [], []
    seen: dict[str, int] = {}
    rows.reverse()
    while rows:
        # A row is let go when it is parsed: of a million the memory would be needed twice.
        number, row = rows.pop()
        try:
            utterance = _parse(path, number, row, data_root)
            if utterance.id in seen:
                raise DataError(
                    f"duplicate ID '{utterance.id}'",
                    file=path,
                    row=number,
                    expected="each ID once",
                    found=f"the same ID in row {seen[utterance.id]}",
                    fix="Remove or rename one of them",
                )
            seen[utterance.id] = number
            utterances.append(utterance)
        except DataError as error:
            errors.append(error)
    if errors:
        raise DataErrors(f"{path}: {len(errors)} of {count} rows are wrong", errors)
    manifest = Manifest(path, utterances)
    if check_files:
        check_audio_files(manifest, data_root)
    return manifest


def check_audio_files(manifest: Manifest, data_root: str | Path | None = None) -> None:
    """Raise if an audio file of the manifest does not exist, or is empty."""
    missing = [u for u in manifest if not u.wav.is_file() or u.wav.stat().st_size == 0]
    if len(missing) == len(manifest):
        raise DataError(
            f"none of the {len(manifest)} audio files exists",
            file=manifest.path,
            row=missing[0].row,
            expected=missing[0].wav,
            found=f"nothing under the data root {data_root}",
            fix="Give the folder that holds the corpus as the data root",
        )
    if missing:
        errors = [
            DataError(
                "no audio",
                file=manifest.path,
                row=u.row,
                expected=u.wav,
                found="an empty file" if u.wav.is_file() else "no such file",
                fix="Copy it again",
            )
            for u in missing
        ]
        raise DataErrors(
            f"{manifest.path}: {len(missing)} of {len(manifest)} audio files are missing", errors
        )


def refuse_shared_speakers(train: Manifest, other: Manifest) -> None:
    """Raise `DataError` where a speaker of `other` (validation, test) is among those trained on."""
    known = set(train.speakers)
    shared = [utterance for utterance in other if utterance.spk_id in known]
    if shared:
        raise DataError(
            f"{len({u.spk_id for u in shared})} speakers are in {train.path.name} too", file=other.path,
            row=shared[0].row, expected="no speaker in both", found=f"speaker '{shared[0].spk_id}'",
            fix="Remove them from training: an error rate on known speakers means nothing",
        )  # fmt: skip


def write_manifest(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a manifest whose columns are `REQUIRED` followed by `columns`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*REQUIRED, *columns])
        writer.writerows(rows)


def resolve(value: str, data_root: str | Path | None, manifest: Path, row: int | None) -> Path:
    """The path that a manifest's field names; raises `DataError` where it needs a data root and there is none."""
    if not value.startswith(DATA_ROOT):
        return Path(value)
    if data_root is None:
        raise DataError(
            "the manifest's paths begin with $data_root", file=manifest, row=row,
            fix="Say where the corpus lies with --data-root (recipes: --data_folder)",
        )  # fmt: skip
    return Path(str(data_root) + value[len(DATA_ROOT) :])


def under_root(path: Path, data_root: str | Path) -> str:
    """What a manifest holds for a file: a path below the data root stays relative to it, another is absolute."""
    path, root = path.absolute(), Path(data_root).absolute()
    return f"{DATA_ROOT}/{path.relative_to(root).as_posix()}" if path.is_relative_to(root) else str(path)


def read_rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Columns, and line number and fields of each row, as they stand in the file.

    Raises `DataError` unless it is a CSV with the required columns and at least one row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            # Strict: an unbalanced quote would swallow the rows after it.
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            "the manifest is not a CSV file", file=path, expected="comma-separated UTF-8, quotes in pairs",
            found=str(error), fix="Prepare it again, or save it as CSV (UTF-8)",
        ) from error  # fmt: skip
    if len(set(columns)) < len(columns):
        raise DataError(
            "a column stands twice", file=path, row=1, expected="each column once", found=",".join(columns),
            fix="Rename or remove one of them",
        )  # fmt: skip
    if missing := [name for name in REQUIRED if name not in columns]:
        raise DataError(
            f"the manifest lacks the column {', '.join(missing)}",
            file=path,
            row=1,
            expected=",".join(REQUIRED),
            found=",".join(columns) or "an empty file",
            fix="Add the column to the first line and every row",
        )
    if not rows:
        raise DataError("the manifest has no rows", file=path, fix="Prepare it again")
    return columns, rows


def _parse(path: Path, number: int, row: Mapping[str, str], data_root: str | Path | None) -> Utterance:
    def wrong(column: str, expected: str) -> DataError:
        return DataError(
            f"bad {column} of '{row['ID']}'",
            file=path,
            row=number,
            expected=expected,
            found=f"'{row[column]}'",
        )

    if None in row or None in row.values():
        raise DataError(
            "the row has another number of fields than the first line", file=path, row=number,
            fix="Quote values that contain commas",
        )  # fmt: skip
    for column in ("ID", "wav", "spk_id"):
        if not row[column]:
            raise wrong(column, "a value")
    try:
        duration = float(row["duration"])
    except ValueError as error:
        raise wrong("duration", "seconds") from error
    if not 0 < duration < float("inf"):
        raise wrong("duration", "a positive number of seconds")
    for column in ("start", "stop"):
        if row[column] and not row[column].isdecimal():
            raise wrong(column, "a whole number of samples")
    start = int(row["start"] or 0)
    stop = int(row["stop"]) if row["stop"] else None
    if stop is not None and stop <= start:
        raise wrong("stop", f"more than start ({start})")
    wav = resolve(row["wav"], data_root, path, number)
    # Speakers, sessions and texts stand in many rows, and are held once.
    extra = {name: intern(value) for name, value in row.items() if name not in REQUIRED}
    return Utterance(row["ID"], wav, intern(row["spk_id"]), duration, start, stop, number, extra)
