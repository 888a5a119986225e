"""`cmd-speaker calibrate`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmd_speaker.cli.app import Json, app
from cmd_speaker.cli.decide import warn
from cmd_speaker.errors import DataError, UsageError

if TYPE_CHECKING:
    from cmd_speaker.calibration.calibrating import Fitted
    from cmd_speaker.scoring.backend import Backend


@app.command()
def calibrate(
    scores: Annotated[
        Path, typer.Argument(help="SCORES to fit to: of other speakers than those decided on.")
    ],
    trials: Annotated[
        Path | None, typer.Option(help="Labelled trial list, where SCORES has no labels.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Calibration to write: .json.")] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL|REGISTRY", help="Folder to write it into: verify and identify use it there."
        ),
    ] = None,
    backend: Annotated[
        Path | None,
        typer.Option(help="Folder of the back-end of SCORES, from `score --save-backend`; for --into."),
    ] = None,
    prior: Annotated[float, typer.Option(help="Prior of a target for which it shall fit best.")] = 0.01,
    metadata: Annotated[
        list[Path] | None, typer.Option(help="CSV about utterances, for --quality. Repeatable.")
    ] = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(help="Numeric column of it: duration (seconds), norm, cohort_mean, ... Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Learn from labelled scores what a score says: a log-likelihood ratio (LLR), so that costs can decide."""
    from cmd_speaker.calibration.calibrating import calibrate_file
    from cmd_speaker.calibration.calibration_file import save_calibration
    from cmd_speaker.files import refuse_overwriting
    from cmd_speaker.scoring.record import record_path

    if (out is None) == (into is None):
        raise UsageError("calibrate needs either --out FILE or --into MODEL|REGISTRY")
    if backend is not None and into is None:
        raise UsageError("--backend belongs to --into")
    refuse_overwriting([out], [scores, record_path(scores), trials, *(metadata or ())])
    columns = list(dict.fromkeys(quality or []))
    fitted = calibrate_file(scores, trials, prior=prior, metadata=metadata or (), columns=columns)
    warnings = list(fitted.warnings)
    if fitted.unlisted:
        warnings.append(
            f"{scores}: {fitted.unlisted} scores of trials that {trials} does not list were left out"
        )
    if out is not None:
        save_calibration(out, fitted.calibration)
    else:
        assert into is not None
        warnings += _write_into(into, fitted, backend)
    print(json.dumps(_as_dict(fitted), indent=1) if as_json else _in_words(fitted))
    warn(warnings)
    print(out or into, file=sys.stderr)


def _write_into(folder: Path, fitted: Fitted, backend_folder: Path | None) -> list[str]:
    """Write calibration and back-end into the folder of a model or registry; returns warnings."""
    from cmd_speaker.decision import Decider

    checksum = _model_of(folder)
    backend = _backend_of(fitted, backend_folder)
    record = {"backend": backend.description(), "embeddings": {"model": checksum}}
    # What is not known of the scores has been warned of when they were read.
    unknown = [text for text in fitted.calibration.check(record, folder) if text not in fitted.warnings]
    Decider(backend, fitted.calibration).save(folder)
    return unknown


def _model_of(folder: Path) -> str:
    """The checksum of the model of a model folder or a registry."""
    from cmd_speaker.registry import Registry

    if Registry.exists(folder):
        return Registry.model_of(folder)
    from cmd_speaker.model import SpeakerModel

    return SpeakerModel.load(folder).checksum


def _backend_of(fitted: Fitted, folder: Path | None) -> Backend:
    """The back-end that made the scores; raises `DataError` where it was not a plain cosine and is not given."""
    from cmd_speaker.calibration.calibration import comparable
    from cmd_speaker.scoring.backend import FILE_NAME, Backend

    made, columns = fitted.calibration.origin.backend, fitted.calibration.columns
    if folder is not None:
        if not (folder / FILE_NAME).is_file():
            raise DataError(
                "no back-end", file=folder, expected=FILE_NAME, fix="Make it with score --save-backend"
            )
        return Backend.load(folder)
    plain = Backend()
    if made is not None and comparable(made, columns) != comparable(plain.description(), columns):
        raise DataError(
            "the scores were not made by a plain cosine", file=fitted.calibration.origin.scores["name"],
            expected="the back-end that made them", found="none",
            fix="Score with --save-backend FOLDER, and give that folder with --backend",
        )  # fmt: skip
    return plain


def _as_dict(fitted: Fitted) -> dict[str, Any]:
    from cmd_speaker.calibration.calibration_file import describe
    from cmd_speaker.evaluation.operating_point import POINTS

    calibration = fitted.calibration
    return {
        **describe(calibration),
        "cllr_before": fitted.cllr_before, "cllr_after": fitted.cllr_after, "min_cllr": fitted.min_cllr,
        "thresholds": [
            {**asdict(p), "llr": calibration.threshold(p), "score": calibration.score_threshold(p)} for p in POINTS
        ],
    }  # fmt: skip


def _in_words(fitted: Fitted) -> str:
    from cmd_speaker.evaluation.operating_point import POINTS

    calibration, origin = fitted.calibration, fitted.calibration.origin
    speakers = "" if origin.speakers is None else f" of {origin.speakers:,} speakers"
    lines = [
        f"fitted on {origin.scores['name']}: {origin.targets:,} targets, {origin.nontargets:,} nontargets"
        f"{speakers}, prior {calibration.prior:g}",
        calibration.in_words(),
        f"Cllr {fitted.cllr_before:.4f} of the scores as they were, {fitted.cllr_after:.4f} calibrated, "
        f"{fitted.min_cllr:.4f} at least without quality measures (on the list of the fit: optimistic)",
    ]
    for point in POINTS:
        score = calibration.score_threshold(point)
        as_score = "" if score is None else f", score {score:.6g}"
        lines.append(f"threshold at prior {point}: LLR {calibration.threshold(point):.4f}{as_score}")
    return "\n".join(lines)
