"""`cmd-speaker export`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import app


class Target(StrEnum):
    ONNX = "onnx"
    SHERPA_ONNX = "sherpa-onnx"


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    to: Annotated[Target, typer.Option(help="The program that is to run it.")],
    out: Annotated[Path, typer.Option(help="What to write: a file .onnx.")],
    features: Annotated[
        bool, typer.Option("--features", help="onnx: features in; the front-end stays outside.")
    ] = False,
    language: Annotated[
        str, typer.Option(help="sherpa-onnx: the language that its metadata names.")
    ] = "unknown",
    url: Annotated[str, typer.Option(help="sherpa-onnx: the url that its metadata names.")] = "unknown",
) -> None:
    """Write a model for another program, once that gives the model's own embeddings."""
    from cmd_speaker.export.onnx import export_onnx
    from cmd_speaker.export.sherpa_onnx import export_sherpa_onnx
    from cmd_speaker.model import SpeakerModel

    loaded = SpeakerModel.load(model)
    if to is Target.ONNX:
        parity = export_onnx(loaded, out, features=features)
    else:
        parity = export_sherpa_onnx(loaded, out, language=language, url=url)
    print(f"{out}: {parity}", file=sys.stderr)
