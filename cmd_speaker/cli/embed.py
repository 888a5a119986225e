"""`cmd-speaker embed` and `info`: a model folder and what it makes of audio."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import Convert, Device, Json, Vad, app
from cmd_speaker.cli.decide import warn
from cmd_speaker.errors import DataErrors


@app.command()
def embed(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    inputs: Annotated[list[str], typer.Argument(help="A manifest .csv, wav.scp, folder, pattern or files.")],
    out: Annotated[Path, typer.Option(help="EMBEDDINGS to write: .npz, .safetensors, .scp or .ark.")],
    data_root: Annotated[Path | None, typer.Option(help="Folder that $data_root stands for.")] = None,
    convert: Convert = False,
    vad: Vad = False,
    window: Annotated[
        float | None, typer.Option(help="Mean of windows of so many seconds: for long recordings.")
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help="Seconds from one window to the next; a window, unless given.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Do the I-th of N shares; the last one done joins them.")
    ] = None,
    device: Device = "cpu",
    engine: Annotated[
        str, typer.Option(help="torch, or onnxruntime: faster on a CPU (the extra export).")
    ] = "torch",
) -> None:
    """Embed audio; what cannot be read is listed and the rest is done.

    Killed and called again, it goes on: what is done lies in OUT.parts until all is there. Processes and machines
    that see the same folder share the work by --shard, or as torchrun starts them.
    """
    from cmd_speaker.embeddings import check_extension
    from cmd_speaker.extraction import LEFT_OUT, Shard, extract, local_device, parts_folder
    from cmd_speaker.hearing import Hearing
    from cmd_speaker.inputs import find_inputs
    from cmd_speaker.model import SpeakerModel

    check_extension(out)
    hearing = Hearing(convert, vad, window, hop)
    share = Shard.of_process(os.environ) if shard is None else Shard.parse(shard)
    found = find_inputs(inputs, data_root)
    loaded = SpeakerModel.load(model, local_device(device, os.environ), engine)
    done = extract(loaded, found, out, hearing, share)
    if done.embeddings is None:
        states = {None: "has nothing to do", 0: f"is done, {done.speed}; another call joined all"}
        waiting = f"is done, {done.speed}; parts still to be done: {done.missing}"
        print(f"{out}: share {share} {states.get(done.missing, waiting)}", file=sys.stderr)
        return
    heard = f"; speech: {done.kept:.1f} of {done.length:.1f} s" if vad else ""
    total = len(found.utterances)
    print(
        f"{out}: {len(done.embeddings)} embeddings of {total} utterances, {done.speed}{heard}",
        file=sys.stderr,
    )
    if done.errors:
        kept = f"all in {parts_folder(out) / LEFT_OUT}; the rest is kept: once files are mended, call again"
        raise DataErrors(f"{len(done.errors)} utterances left out ({kept})", done.errors)


@app.command()
def info(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    as_json: Json = False,
) -> None:
    """What a model is and was trained on; verifies its checksums and self-test."""
    import yaml

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
    description["self_test"] = "passed"
    print(yaml.safe_dump(description, sort_keys=False, allow_unicode=True, width=math.inf), end="")
    warn(decider.warnings)
