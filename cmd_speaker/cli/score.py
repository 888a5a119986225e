"""`cmd-speaker score`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import app
from cmd_speaker.cli.decide import warn
from cmd_speaker.errors import DataErrors, UsageError

BACKEND, ENROLMENT, CALIBRATION, OUTPUT = "Back-end", "Enrolment", "Calibration", "Output and memory"


@app.command()
def score(
    embeddings: Annotated[Path, typer.Argument(help="EMBEDDINGS: .npz, .safetensors or .scp.")],
    trials: Annotated[
        Path | None, typer.Argument(help="Trial list: `1 enrol test` or `enrol test target`.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="SCORES to write: `enrol test score [label]`.")],
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Score every pair of the embeddings instead of a list.")
    ] = False,
    mean_from: Annotated[
        Path | None,
        typer.Option(help="EMBEDDINGS whose mean is subtracted: training data.", rich_help_panel=BACKEND),
    ] = None,
    plda_from: Annotated[
        Path | None,
        typer.Option(help="EMBEDDINGS to train PLDA on, instead of the cosine.", rich_help_panel=BACKEND),
    ] = None,
    plda_speakers: Annotated[
        Path | None, typer.Option(help="Their speakers: manifest or utt2spk.", rich_help_panel=BACKEND)
    ] = None,
    plda_rank: Annotated[
        int | None, typer.Option(help="Dimensions of PLDA's speaker space; 100.", rich_help_panel=BACKEND)
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="EMBEDDINGS of strangers, for --norm.", rich_help_panel=BACKEND)
    ] = None,
    cohort_speakers: Annotated[
        Path | None,
        typer.Option(help="Their speakers: one cohort entry a speaker, the mean.", rich_help_panel=BACKEND),
    ] = None,
    norm: Annotated[
        str | None, typer.Option(help="none, z, t, s or as; as with a cohort.", rich_help_panel=BACKEND)
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(help="Highest cohort scores that AS-norm takes; 300.", rich_help_panel=BACKEND),
    ] = None,
    enrol_map: Annotated[
        Path | None,
        typer.Option(help="Models: `model utterance ...`; trials name models.", rich_help_panel=ENROLMENT),
    ] = None,
    enrol: Annotated[
        str | None,
        typer.Option(
            help="A model's embeddings: average; their scores: score (mean), best.", rich_help_panel=ENROLMENT
        ),
    ] = None,
    speakers: Annotated[
        Path | None,
        typer.Option(
            help="Manifest or utt2spk: labels of all pairs; no cohort speaker may be in the trials."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="From `calibrate`: writes log-likelihood ratios instead of scores.",
            rich_help_panel=CALIBRATION,
        ),
    ] = None,
    metadata: Annotated[
        list[Path] | None,
        typer.Option(help="CSV with its quality measures, by ID. Repeatable.", rich_help_panel=CALIBRATION),
    ] = None,
    save_backend: Annotated[
        Path | None,
        typer.Option(help="Folder to keep the back-end in, for `calibrate --into`.", rich_help_panel=OUTPUT),
    ] = None,
    qualities: Annotated[
        Path | None,
        typer.Option(help="CSV to write: norm and cohort mean of each utterance.", rich_help_panel=OUTPUT),
    ] = None,
    memory: Annotated[
        str, typer.Option(help="Working memory besides the embeddings: 512M, 2G.", rich_help_panel=OUTPUT)
    ] = "1G",
) -> None:
    """Score trials, by default by the cosine of their embeddings; trials that cannot be scored are listed."""
    from cmd_speaker.evaluation.calibrating import Calibrator
    from cmd_speaker.evaluation.job import ScoringJob

    if all_pairs == (trials is not None):
        raise UsageError("score takes either TRIALS or --all-pairs")
    if metadata and calibration is None:
        raise UsageError("--metadata has the quality measures of a calibration: give it with --calibration")
    calibrator = Calibrator(calibration, metadata or ()) if calibration else None
    job = ScoringJob(
        embeddings=embeddings, trials=trials, out=out, mean_from=mean_from, plda_from=plda_from,
        plda_speakers=plda_speakers, plda_rank=plda_rank, cohort=cohort, cohort_speakers=cohort_speakers,
        norm=norm, top=top, enrol_map=enrol_map, enrolment=enrol, speakers=speakers, qualities=qualities,
        memory=memory, calibrator=calibrator, save_backend=save_backend,
    )  # fmt: skip
    done = job.run()
    print(f"{out}: {done.scored} of {done.scored + done.left_out} trials", file=sys.stderr)
    if calibrator is not None:
        warn(calibrator.warnings)
    if done.left_out:
        raise DataErrors(f"{done.left_out} trials left out", done.errors, done.left_out)
