"""`cmd-speaker quality`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import app
from cmd_speaker.errors import DataErrors
from cmd_speaker.quality.sources import SOURCES

MEANINGS = "\n\n".join(
    f"{name}: {source.what}" + (f", {source.unit}" if source.unit else "") for name, source in SOURCES.items()
)


@app.command(epilog=f"What the names of qualities mean:\n\n{MEANINGS}")
def quality(
    manifest: Annotated[Path, typer.Argument(help="The manifest .csv whose inputs are measured.")],
    out: Annotated[Path, typer.Option(help="The manifest to write, with the columns added.")],
    data_root: Annotated[Path | None, typer.Option(help="Folder that $data_root stands for.")] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(help="A measure, for example snr; may be repeated. All that apply unless given."),
    ] = None,
) -> None:
    """Measure the quality of recordings, pictures and texts once; what cannot be read is left out and listed."""
    from cmd_speaker.files import refuse_overwriting
    from cmd_speaker.manifest import load_manifest
    from cmd_speaker.quality.columns import choose, write_measured

    refuse_overwriting([out], [manifest])
    loaded = load_manifest(manifest, data_root)
    names = choose(loaded, measure or [])
    errors = write_measured(loaded, names, out, data_root)
    rows = len(loaded) - len(errors)
    print(f"{out}: {', '.join(names)} of {rows} of {len(loaded)} rows", file=sys.stderr)
    if errors:
        raise DataErrors(f"{len(errors)} rows left out", errors)
