"""`cmd-speaker study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import app
from cmd_speaker.errors import UsageError


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def study(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="recipes/CORPUS/studies/NAME.yaml.")],
    out: Annotated[Path | None, typer.Option(help="Folder of runs and results.")] = None,
    jobs: Annotated[int, typer.Option(help="Runs at once.", min=1)] = 1,
) -> None:
    """Train what a study asks for, each run once, and tell what helped; --key value sets a recipe key for all."""
    from cmd_speaker.study.reader import load_study
    from cmd_speaker.study.report import write_results
    from cmd_speaker.study.study import failures_error, run_study

    if any(argument in ("--seed", "--test", "--output_folder") for argument in context.args):
        raise UsageError("--seed, --test and --output_folder are set by the study itself")
    opened = load_study(file, context.args)
    folder = out or Path("results") / "studies" / file.stem
    outcome = run_study(opened, folder, jobs)
    print(write_results(outcome, folder))
    if outcome.failures:
        raise failures_error(
            outcome.failures, len(outcome.failures) + len(outcome.screened) + len(outcome.final)
        )
