"""What a score file was made of: `SCORES.json`, beside the score file and named after it.

`scores`, `embeddings` and `trials` are named with their checksums, `backend` is `Backend.description()`,
`calibration` that of the scores' calibration or null, `seconds` how long it took, `version` that of this program;
`checksum` is that of the rest, so that a record that was edited is not believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmd_speaker import __version__
from cmd_speaker.errors import DataError
from cmd_speaker.files import file_checksum, json_checksum, write_json


def record_path(scores_path: str | Path) -> Path:
    """Where the record of a score file lies."""
    return Path(f"{scores_path}.json")


def save_record(scores_path: str | Path, record: Mapping[str, Any]) -> None:
    """Write the record of the score file as it is now; its own name, checksum and the version are added."""
    scores_path = Path(scores_path)
    scores = {"name": scores_path.name, "sha256": file_checksum(scores_path)}
    content = {"scores": scores, **record, "version": __version__}
    write_json(record_path(scores_path), {**content, "checksum": json_checksum(content)})


def scores_checksum(scores_path: str | Path, record: Mapping[str, Any] | None) -> str:
    """The SHA-256 of a score file, which `load_record` has computed already where there is a `record`."""
    return str(record["scores"]["sha256"]) if record else file_checksum(scores_path)


def load_record(scores_path: str | Path) -> dict[str, Any] | None:
    """The record of a score file, or None where there is none.

    Raises `DataError` for a record that cannot be read, and where the score file has changed since.
    """
    path = record_path(scores_path)
    if not path.is_file():
        return None
    fix = "Score the list again, or remove the record"
    try:
        record = json.loads(path.read_bytes())
        expected, own = record["scores"]["sha256"], record.pop("checksum")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            "not the record of a score file", file=path, expected="JSON with the checksum of the scores",
            found=repr(error), fix=fix,
        ) from error  # fmt: skip
    if own != json_checksum(record):
        raise DataError(
            "the record of the score file was changed", file=path, expected=f"checksum {own}",
            found=json_checksum(record), fix=fix,
        )  # fmt: skip
    found = file_checksum(scores_path)
    if found != expected:
        raise DataError(
            "the score file has changed since its record was written", file=scores_path,
            expected=f"the checksum {expected} of {path.name}", found=found, fix=fix,
        )  # fmt: skip
    return record
