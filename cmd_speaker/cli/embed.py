"""`cmd-speaker embed` and `info`: a model folder and what it makes of audio."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import Convert, Device, Json, app
from cmd_speaker.cli.decide import warn
from cmd_speaker.errors import DataErrors


@app.command()
def embed(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    inputs: Annotated[list[str], typer.Argument(help="A manifest .csv, wav.scp, folder, pattern or files.")],
    out: Annotated[Path, typer.Option(help="EMBEDDINGS to write: .npz, .safetensors, .scp or .ark.")],
    data_root: Annotated[Path | None, typer.Option(help="Folder that $data_root stands for.")] = None,
    convert: Convert = False,
    device: Device = "cpu",
) -> None:
    """Embed audio; what cannot be read is listed and the rest is done."""
    from cmd_speaker.embeddings import check_extension, save_embeddings
    from cmd_speaker.inputs import find_inputs
    from cmd_speaker.model import SpeakerModel
    from cmd_speaker.results import embed_utterances

    check_extension(out)
    found = find_inputs(inputs, data_root)
    embeddings, errors = embed_utterances(
        SpeakerModel.load(model, device), found.utterances, convert=convert, list_path=found.list_path
    )
    save_embeddings(out, embeddings)
    print(f"{out}: {len(embeddings)} embeddings of {len(found.utterances)} utterances", file=sys.stderr)
    if errors:
        raise DataErrors(f"{len(errors)} utterances left out", errors)


@app.command()
def info(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    as_json: Json = False,
) -> None:
    """What a model is and was trained on; verifies its checksums and self-test."""
    from cmd_speaker.calibration.calibration_file import describe
    from cmd_speaker.decision import Decider
    from cmd_speaker.model import SpeakerModel

    loaded = SpeakerModel.load(model)
    decider = Decider.load(model, loaded.checksum)
    calibration = decider.calibration
    description = {k: v for k, v in loaded.description.items() if k != "self_test"}
    description["parameters"] = sum(p.numel() for p in loaded.encoder.student.parameters())
    description["backend"] = decider.backend.description()
    description["calibration"] = calibration and (describe(calibration) if as_json else str(calibration))
    if as_json:
        print(json.dumps(description, indent=1))
        return
    for name, value in description.items():
        print(f"{name:<16} {value if not isinstance(value, dict) else json.dumps(value)}")
    print("self-test        passed")
    warn(decider.warnings)
