"""`cmd-speaker evaluate`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import Json, app
from cmd_speaker.cli.decide import parse_point, warn

Metadata = Annotated[
    list[Path] | None,
    typer.Option(help="CSV about utterances or speakers, for --by and quality measures. Repeatable."),
]
By = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN[:EDGES]", help="Error rates by groups of its values, 'duration:2,4'. Repeatable."
    ),
]
Calibrations = Annotated[
    list[Path] | None, typer.Option(help="From `calibrate`: one for all systems, or one for each.")
]
Point = Annotated[
    list[str] | None,
    typer.Option(
        metavar="P[,CMISS,CFA]", help="Where costs are measured; 0.01 and 0.05 unless given. Repeatable."
    ),
]
Far = Annotated[
    list[float] | None,
    typer.Option(help="False acceptance rate at which the miss rate is given: 0.01. Repeatable."),
]


@app.command()
def evaluate(
    scores: Annotated[list[Path], typer.Argument(help="One SCORES file, or several to compare.")],
    trials: Annotated[
        Path | None, typer.Option(help="Labelled trial list; every trial needs a score.")
    ] = None,
    speakers: Annotated[
        Path | None, typer.Option(help="Manifest or utt2spk: gives 95 % intervals over speakers.")
    ] = None,
    metadata: Metadata = None,
    by: By = None,
    calibration: Calibrations = None,
    llr: Annotated[bool, typer.Option("--llr", help="The scores are log-likelihood ratios already.")] = False,
    point: Point = None,
    far: Far = None,
    name: Annotated[list[str] | None, typer.Option(help="A name for each system, in order.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="Write PAGE.html, PAGE.json and PAGE.md.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.", min=0)] = 0,
    replicates: Annotated[int, typer.Option(help="Draws of the bootstrap; 0: no intervals.", min=0)] = 1000,
    as_json: Json = False,
) -> None:
    """Error rates and costs with intervals; several systems are compared with the first, on the same trials."""
    from cmd_speaker.report import as_text, report_paths, write_report
    from cmd_speaker.report.evaluate import FARS, POINTS, Question, evaluate_scores
    from cmd_speaker.scoring.record import record_path

    if report:
        records = map(record_path, scores)
        given = (*scores, *records, trials, speakers, *(metadata or ()), *(calibration or ()))
        report_paths(report, [path for path in given if path])
    question = Question(
        trials=trials,
        speakers=speakers,
        metadata=metadata or (),
        columns=by or (),
        calibrations=calibration or (),
        llr=llr,
        points=list(dict.fromkeys(map(parse_point, point))) if point else POINTS,
        fars=far or FARS,
        names=name or (),
        seed=seed,
        replicates=replicates,
        keep=report is not None,
        command=shlex.join(["cmd-speaker", *sys.argv[1:]]),
    )
    evaluation = evaluate_scores(scores, question)
    rows = [system.as_dict() for system in evaluation.systems]
    # Neither a reader who closes the pipe nor a full disk takes the other form of the results away.
    try:
        written = write_report(report, evaluation) if report else []
    finally:
        print(json.dumps(rows if len(rows) > 1 else rows[0], indent=1) if as_json else as_text(evaluation))
    warn(evaluation.warnings)
    for path in written:
        print(path, file=sys.stderr)
