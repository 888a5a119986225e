"""`cmd-speaker check-data`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import Json, app
from cmd_speaker.errors import DataError


@app.command("check-data")
def check_data(
    dataset: Annotated[str, typer.Argument(help="Name of the corpus, for example speechocean762.")],
    path: Annotated[Path, typer.Argument(help="Its folder.")],
    full: Annotated[
        bool, typer.Option("--full", help="Decode every file instead of reading headers.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a corpus's folder before anything is trained on it: files, counts, checksums, audio headers."""
    from cmd_speaker.corpora import check_data as check

    report = check(dataset, path, full=full)
    if as_json:
        print(json.dumps([row._asdict() for row in report.rows], indent=1))
    else:
        for row in report.rows:
            mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[row.status]
            print(f"{mark}  {row.what}: expected {row.expected}, found {row.found}")
    if not report.ok:
        raise DataError(f"{len(report.problems)} problems", file=path, fix="Correct them before training")
