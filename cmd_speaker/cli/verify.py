"""`cmd-speaker verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import Convert, Device, Json, app
from cmd_speaker.errors import UsageError


@app.command()
def verify(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    first: Annotated[Path, typer.Argument(metavar="A", help="An audio file.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    threshold: Annotated[
        float | None,
        typer.Option(help="Decide: exit code 0 at or above it, 1 below. Take it from `evaluate`."),
    ] = None,
    convert: Convert = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Score two recordings by the cosine of their embeddings; a decision needs a threshold."""
    from cmd_speaker.model import SpeakerModel

    cosine = SpeakerModel.load(model, device).similarity(first, second, convert=convert)
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"--threshold is compared with a cosine: expected -1 to 1, found {threshold}")
    same = None if threshold is None else cosine >= threshold
    if as_json:
        print(json.dumps({"score": cosine, "threshold": threshold, "same_speaker": same}))
    else:
        words = {None: "", True: "  same speaker", False: "  different speakers"}
        print(f"score {cosine:.4f}{words[same]}")
    if same is False:
        raise typer.Exit(1)
