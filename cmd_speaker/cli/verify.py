"""`cmd-speaker verify`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmd_speaker.cli.app import Convert, Device, Json, Vad, app
from cmd_speaker.cli.decide import Point, find_rule, warn, warn_uncalibrated
from cmd_speaker.errors import UsageError

if TYPE_CHECKING:
    from cmd_speaker.decision import Decider


@app.command()
def verify(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    first: Annotated[Path, typer.Argument(metavar="A", help="An audio file.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    point: Point = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Decide by the raw score instead of its log-likelihood ratio."),
    ] = None,
    convert: Convert = False,
    vad: Vad = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Do two recordings have the same speaker? Exit code 0: yes, or nothing to decide by; 1: no.

    A model with a calibration decides by the log-likelihood ratio (LLR), from the prior and the costs of
    --point. A model without one gives a score only.
    """
    from cmd_speaker.model import SpeakerModel

    loaded = SpeakerModel.load(model, device)
    decider = loaded.decider()
    rule = find_rule(decider.calibration, point, threshold)
    if threshold is not None and _gives_cosines(decider) and not -1 <= threshold <= 1:
        raise UsageError(f"--threshold is compared with a cosine: expected -1 to 1, found {threshold}")
    a, b = (loaded.recording(path, convert=convert, vad=vad) for path in (first, second))
    found = decider.verify(a, b, rule.point if rule else None)
    score, llr = found.score, found.llr
    warn(found.warnings)
    if vad:
        kept = " and ".join(f"{side.seconds:.1f} of {side.length:.1f} s" for side in (a, b))
        print(f"speech: {kept}", file=sys.stderr)
    if decider.calibration is None:
        warn_uncalibrated(model)
    same = found.same_speaker if threshold is None else score >= threshold
    if as_json:
        decided = rule.as_dict() if rule else {"threshold": None, "point": None}
        print(json.dumps({"score": score, "llr": llr, **decided, "same_speaker": same}))
    else:
        words = {None: "", True: "  same speaker", False: "  different speakers"}
        ratio = "" if llr is None else f"  LLR {llr:+.2f}"
        print(f"score {score:.4f}{ratio}{f'  {rule}' if rule else ''}{words[same]}")
    if same is False:
        raise typer.Exit(1)


def _gives_cosines(decider: Decider) -> bool:
    return decider.backend.plda is None and not decider.backend.normalises
