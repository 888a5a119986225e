"""`cmd-speaker study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import app


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def study(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="recipes/CORPUS/studies/NAME.yaml.")],
    out: Annotated[Path | None, typer.Option(help="Folder of runs and results.")] = None,
    jobs: Annotated[int, typer.Option(help="Runs at once.", min=1)] = 1,
) -> None:
    """Train what a study asks for, each run once, and tell what helped; --key value sets a recipe key for all."""
    import sys

    from cmd_speaker.study.reader import load_study
    from cmd_speaker.study.runner import failures_error
    from cmd_speaker.study.study import conduct
    from cmd_speaker.study.verdict import verdicts

    conducted = conduct(load_study(file, context.args), out or Path("results") / "studies" / file.stem, jobs)
    print("\n".join(verdicts(conducted.findings.compared)))
    for path in conducted.written:
        print(path, file=sys.stderr)
    if failures := conducted.findings.outcome.failures:
        raise failures_error(failures, len(failures) + len(conducted.findings.results))
