"""`cmd-speaker verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmd_speaker.cli.app import Convert, Device, Json, app
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
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Do two recordings have the same speaker? Exit code 0: yes, or nothing to decide by; 1: no.

    A model with a calibration decides by the log-likelihood ratio (LLR), from the prior and the costs of
    --point. A model without one gives a score only.
    """
    from cmd_speaker.decision import Decider, embed_recording
    from cmd_speaker.model import SpeakerModel

    loaded = SpeakerModel.load(model, device)
    decider = Decider.load(model, loaded.checksum)
    rule = find_rule(decider.calibration, point, threshold)
    if threshold is not None and _gives_cosines(decider) and not -1 <= threshold <= 1:
        raise UsageError(f"--threshold is compared with a cosine: expected -1 to 1, found {threshold}")
    sides = [embed_recording(loaded, path, convert=convert) for path in (first, second)]
    found = decider.compare([sides[:1]], sides[1])
    score, llr = float(found.scores[0]), None if found.llrs is None else float(found.llrs[0])
    warn([*decider.warnings, *found.warnings])
    if decider.calibration is None:
        warn_uncalibrated(model)
    same = None
    if rule is not None:
        value = score if rule.point is None or llr is None else llr
        same = value >= rule.threshold
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
