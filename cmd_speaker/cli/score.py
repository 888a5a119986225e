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


def _option(group: str, text: str) -> typer.models.OptionInfo:
    return typer.Option(help=text, rich_help_panel=group)


MeanFrom = Annotated[Path | None, _option(BACKEND, "EMBEDDINGS whose mean is subtracted: training data.")]
PldaFrom = Annotated[Path | None, _option(BACKEND, "EMBEDDINGS to train PLDA on, instead of the cosine.")]
PldaSpeakers = Annotated[Path | None, _option(BACKEND, "Their speakers: manifest or utt2spk.")]
PldaRank = Annotated[int | None, _option(BACKEND, "Dimensions of PLDA's space of speakers; 100.")]
Cohort = Annotated[Path | None, _option(BACKEND, "EMBEDDINGS of strangers, for --norm.")]
CohortSpeakers = Annotated[
    Path | None, _option(BACKEND, "Their speakers: one cohort entry a speaker, the mean.")
]
Norm = Annotated[str | None, _option(BACKEND, "none, z, t, s or as; with a cohort: as.")]
Top = Annotated[int | None, _option(BACKEND, "Highest cohort scores that AS-norm takes; 300.")]
EnrolMap = Annotated[Path | None, _option(ENROLMENT, "`model utterance ...`; trials then name models.")]
Enrol = Annotated[
    str | None, _option(ENROLMENT, "average of a model's embeddings; mean (score) or best of their scores.")
]
Speakers = Annotated[
    Path | None,
    typer.Option(
        help="Manifest or utt2spk: labels all pairs; checks that no cohort speaker is in the trials."
    ),
]
Calibration = Annotated[
    Path | None, _option(CALIBRATION, "From `calibrate`: writes log-likelihood ratios instead of scores.")
]
Metadata = Annotated[
    list[Path] | None, _option(CALIBRATION, "CSV with its quality measures, by ID. Repeatable.")
]
SaveBackend = Annotated[
    Path | None, _option(OUTPUT, "Folder to keep the back-end in, for `calibrate --backend`.")
]
Qualities = Annotated[Path | None, _option(OUTPUT, "CSV to write: norm and cohort mean of each utterance.")]
Memory = Annotated[str, _option(OUTPUT, "Working memory besides the embeddings: 512M, 2G.")]


@app.command()
def score(
    embeddings: Annotated[Path, typer.Argument(help="EMBEDDINGS: .npz, .safetensors, .scp or .ark.")],
    trials: Annotated[Path | None, typer.Argument(help="Trial list of VoxCeleb, Kaldi or CN-Celeb.")] = None,
    *,
    out: Annotated[
        Path,
        typer.Option(help="SCORES to write: `enrol test score`, then the label where the trials have one."),
    ],
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Score every pair of the embeddings instead of a list.")
    ] = False,
    mean_from: MeanFrom = None,
    plda_from: PldaFrom = None,
    plda_speakers: PldaSpeakers = None,
    plda_rank: PldaRank = None,
    cohort: Cohort = None,
    cohort_speakers: CohortSpeakers = None,
    norm: Norm = None,
    top: Top = None,
    enrol_map: EnrolMap = None,
    enrol: Enrol = None,
    speakers: Speakers = None,
    calibration: Calibration = None,
    metadata: Metadata = None,
    save_backend: SaveBackend = None,
    qualities: Qualities = None,
    memory: Memory = "1G",
) -> None:
    """Score trials, by default by the cosine of their embeddings; trials that cannot be scored are listed."""
    from cmd_speaker.calibration.calibrating import Calibrator
    from cmd_speaker.lists.metadata import load_metadata
    from cmd_speaker.scoring.job import ScoringJob

    if all_pairs == (trials is not None):
        raise UsageError("score takes either TRIALS or --all-pairs")
    if metadata and calibration is None:
        raise UsageError("--metadata has the quality measures of a calibration: give it with --calibration")
    calibrator = None
    if calibration:
        calibrator = Calibrator(calibration, [load_metadata(table) for table in metadata or ()])
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
