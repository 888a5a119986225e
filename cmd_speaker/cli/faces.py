"""`cmd-speaker faces`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cmd_speaker.cli.app import Device, app
from cmd_speaker.errors import DataErrors

GRAPH, ACCEPTED = "ONNX encoder", "Which faces"


def _option(group: str, text: str) -> typer.models.OptionInfo:
    return typer.Option(help=text, rich_help_panel=group)


@app.command()
def faces(
    manifests: Annotated[
        list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests .csv with a column face.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to fill; an unfinished one goes on.")],
    data_root: Annotated[Path | None, typer.Option(help="Folder that $data_root stands for.")] = None,
    encoder: Annotated[
        str, typer.Option(help="vggface2, casia-webface, or a file: .pt (InceptionResnetV1) or .onnx (any).")
    ] = "vggface2",
    device: Device = "cpu",
    batch_size: Annotated[int, typer.Option(help="Pictures that are looked at together.")] = 32,
    per_key: Annotated[
        int, _option(ACCEPTED, "Pictures or frames, at most, of an utterance, session or speaker.")
    ] = 5,
    min_probability: Annotated[float, _option(ACCEPTED, "Least probability of the detector.")] = 0.9,
    min_size: Annotated[float, _option(ACCEPTED, "Least shorter side of a face, in pixels.")] = 40,
    no_detect: Annotated[
        bool, typer.Option("--no-detect", help="Pictures are crops already.", rich_help_panel=ACCEPTED)
    ] = False,
    colours: Annotated[str | None, _option(GRAPH, "Order of the colours: rgb or bgr; rgb.")] = None,
    mean: Annotated[float | None, _option(GRAPH, "Subtracted from each pixel, 0 to 255; 127.5.")] = None,
    scale: Annotated[float | None, _option(GRAPH, "What that is divided by; 127.5.")] = None,
) -> None:
    """Find, align and embed faces of pictures and videos: FOLDER/faces.safetensors and .csv teach a student."""
    from cmd_speaker.encoder import check_device
    from cmd_speaker.faces.encoders import open_encoder
    from cmd_speaker.faces.onnx_encoder import ArcFaceInput
    from cmd_speaker.faces.report import in_words
    from cmd_speaker.faces.run import Options, embed_faces
    from cmd_speaker.manifest import load_manifest

    check_device(device)
    given: dict[str, Any] = {"colours": colours, "mean": mean, "scale": scale}
    said = {name: value for name, value in given.items() if value is not None}
    form = ArcFaceInput(**said) if said else None
    options = Options(per_key, batch_size, min_probability, min_size, not no_detect)
    found, errors = embed_faces(
        [load_manifest(path, data_root) for path in manifests],
        out,
        open_encoder(encoder, device, form, batch_size),
        options,
        data_root=data_root,
        device=device,
    )
    print(in_words(found))
    print(f"{out}/faces.safetensors, {out}/faces.csv; look at {out}/contact_sheet.jpg", file=sys.stderr)
    if errors:
        raise DataErrors(f"{len(errors)} faces left out", errors)
