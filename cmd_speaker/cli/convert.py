"""`cmd-speaker convert`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import app
from cmd_speaker.errors import UsageError


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="EMBEDDINGS or a trial list.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    form: Annotated[
        str | None, typer.Option(help="Form of a trial list: voxceleb (if not said), kaldi or cnceleb.")
    ] = None,
) -> None:
    """Write embeddings (.npz, .safetensors, Kaldi .scp or .ark) or a trial list in another form."""
    from cmd_speaker.embeddings import EXTENSIONS, load_embeddings, save_embeddings
    from cmd_speaker.lists.trials import read_trials, write_trials
    from cmd_speaker.progress import track

    if out.suffix.lower() == ".gz":
        raise UsageError(f"OUT is written uncompressed: expected a name without .gz, found {out}")
    if not {source.suffix.lower(), out.suffix.lower()} & set(EXTENSIONS):
        count = write_trials(out, track(read_trials(source), "Converting"), form)
        print(f"{out}: {count} trials", file=sys.stderr)
        return
    if form is not None:
        raise UsageError(
            f"--form is for trial lists; {source} holds embeddings, whose form is OUT's extension"
        )
    embeddings = load_embeddings(source)
    save_embeddings(out, embeddings)
    print(f"{out}: {len(embeddings)} embeddings", file=sys.stderr)
