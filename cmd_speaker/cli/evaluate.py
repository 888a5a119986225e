"""`cmd-speaker evaluate`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmd_speaker.cli.app import Json, app

if TYPE_CHECKING:
    from cmd_speaker.evaluation.metrics import OperatingPoint

POINT = (
    "P_target[,C_miss,C_fa]: where the detection cost is measured; 0.01 and 0.05 unless given. Repeatable."
)


@app.command()
def evaluate(
    scores: Annotated[list[Path], typer.Argument(help="One SCORES file, or several to compare.")],
    trials: Annotated[
        Path | None, typer.Option(help="Labelled trial list; every trial needs a score.")
    ] = None,
    speakers: Annotated[
        Path | None, typer.Option(help="Manifest or utt2spk: gives 95 % intervals over speakers.")
    ] = None,
    metadata: Annotated[Path | None, typer.Option(help="CSV about utterances or speakers, for --by.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="COLUMN[:edges] of the metadata: error rates by group, 'duration:2,4'. Repeatable."
        ),
    ] = None,
    calibration: Annotated[
        list[Path] | None, typer.Option(help="From `calibrate`: one for all systems, or one for each.")
    ] = None,
    llr: Annotated[bool, typer.Option("--llr", help="The scores are log-likelihood ratios already.")] = False,
    point: Annotated[list[str] | None, typer.Option(help=POINT)] = None,
    far: Annotated[
        list[float] | None,
        typer.Option(help="False acceptance rate at which the miss rate is given: 0.01. Repeatable."),
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="A name for each system, in order.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="Write PAGE.html, PAGE.json and PAGE.md.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.", min=0)] = 0,
    replicates: Annotated[int, typer.Option(help="Draws of the bootstrap; 0: no intervals.", min=0)] = 1000,
    as_json: Json = False,
) -> None:
    """Error rates and costs with intervals; several systems are compared with the first, on the same trials."""
    from cmd_speaker.evaluation.evaluate import FARS, POINTS, Question, evaluate_scores
    from cmd_speaker.report import as_text, check_page, write_report

    if report:
        check_page(report)
    question = Question(
        trials=trials,
        speakers=speakers,
        metadata=metadata,
        columns=by or (),
        calibrations=calibration or (),
        llr=llr,
        points=[_point(text) for text in point] if point else POINTS,
        fars=far or FARS,
        names=name or (),
        seed=seed,
        replicates=replicates,
        keep=report is not None,
        command=shlex.join(["cmd-speaker", *sys.argv[1:]]),
    )
    evaluation = evaluate_scores(scores, question)
    rows = [system.as_dict() for system in evaluation.systems]
    print(json.dumps(rows if len(rows) > 1 else rows[0], indent=1) if as_json else as_text(evaluation))
    for warning in evaluation.warnings:
        print(f"Note: {warning}.", file=sys.stderr)
    if report:
        for path in write_report(report, evaluation):
            print(path, file=sys.stderr)


def _point(text: str) -> OperatingPoint:
    from cmd_speaker.errors import UsageError
    from cmd_speaker.evaluation.metrics import OperatingPoint

    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3):
        raise UsageError(f"--point: expected P_target or P_target,C_miss,C_fa, found '{text}'")
    return OperatingPoint(*numbers)
