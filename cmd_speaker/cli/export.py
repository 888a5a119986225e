"""`cmd-speaker export`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmd_speaker.cli.app import app
from cmd_speaker.cli.decide import warn
from cmd_speaker.errors import UsageError

if TYPE_CHECKING:
    from cmd_speaker.export.parity import Parity


class Target(StrEnum):
    ONNX = "onnx"
    SHERPA_ONNX = "sherpa-onnx"
    SPEECHBRAIN = "speechbrain"
    KALDI = "kaldi"
    CARD = "card"


OPTIONS = {
    Target.ONNX: {"features"},
    Target.SHERPA_ONNX: {"language", "url"},
    Target.SPEECHBRAIN: {"results", "licence"},
    Target.KALDI: {"speakers"},
    Target.CARD: {"results", "licence"},
}
"""Those of the options that a target knows."""


@app.command()
def export(
    source: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder; for kaldi EMBEDDINGS.")],
    to: Annotated[Target, typer.Option(help="The program that is to read it.")],
    out: Annotated[Path, typer.Option(help="A file .onnx or .md, or a folder.")],
    features: Annotated[
        bool | None, typer.Option("--features", help="onnx: features in; the front-end stays outside.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="sherpa-onnx: what its metadata say.")] = None,
    url: Annotated[str | None, typer.Option(help="sherpa-onnx: what its metadata say.")] = None,
    speakers: Annotated[Path | None, typer.Option(help="kaldi: a manifest or utt2spk.")] = None,
    results: Annotated[Path | None, typer.Option(help="Card: the results.json of the model's run.")] = None,
    licence: Annotated[str | None, typer.Option("--license", help="Card: such as apache-2.0.")] = None,
) -> None:
    """Write a model, or embeddings, for another program, once that gives the model's own embeddings."""
    options = {
        "features": features, "language": language, "url": url,
        "speakers": speakers, "results": results, "licence": licence,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := given.keys() - OPTIONS[to]:
        raise UsageError(f"--to {to} does not take --{sorted(unknown)[0].replace('licence', 'license')}")
    if to is Target.KALDI:
        print(f"{out}: {_export_embeddings(source, out, speakers)}", file=sys.stderr)
    else:
        print(f"{out}: {_export_model(source, to, out, given)}", file=sys.stderr)


def _export_embeddings(source: Path, out: Path, speakers: Path | None) -> str:
    from cmd_speaker.embeddings import load_embeddings
    from cmd_speaker.export.kaldi import export_kaldi
    from cmd_speaker.lists.speakers import load_utt2spk

    if speakers is None:
        raise UsageError("--to kaldi needs --speakers: a manifest, or Kaldi's utt2spk")
    embeddings = load_embeddings(source)
    count = export_kaldi(embeddings, load_utt2spk(speakers), out)
    return f"{len(embeddings)} embeddings of {count} speakers, read back to the same bits"


def _export_model(source: Path, to: Target, out: Path, given: dict[str, Any]) -> str:
    from cmd_speaker.calibration.calibration_file import FILE_NAME as CALIBRATION
    from cmd_speaker.export.card import load_results, write_card
    from cmd_speaker.export.onnx import export_onnx
    from cmd_speaker.export.sherpa_onnx import export_sherpa_onnx
    from cmd_speaker.export.speechbrain import export_speechbrain
    from cmd_speaker.model import SpeakerModel
    from cmd_speaker.scoring.backend import FILE_NAME as BACKEND

    model = SpeakerModel.load(source)
    left = [name for name in (BACKEND, CALIBRATION) if (source / name).is_file()]
    if left and to is not Target.CARD:
        warn([f"{' and '.join(left)} of {source} not exported: other programs compare by the plain cosine"])
    if "results" in given:
        given["results"] = load_results(given["results"], model)
    if to is Target.CARD:
        write_card(model, out, **given)
        return "model card"
    write: dict[Target, Callable[..., Parity]] = {
        Target.ONNX: export_onnx,
        Target.SHERPA_ONNX: export_sherpa_onnx,
        Target.SPEECHBRAIN: export_speechbrain,
    }
    return str(write[to](model, out, **given))
