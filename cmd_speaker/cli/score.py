"""`cmd-speaker score`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cmd_speaker.cli.app import app
from cmd_speaker.errors import DataErrors


@app.command()
def score(
    embeddings: Annotated[Path, typer.Argument(help="EMBEDDINGS: .npz or .safetensors.")],
    trials: Annotated[Path, typer.Argument(help="Trial list: `1 enrol test` or `enrol test target`.")],
    out: Annotated[Path, typer.Option(help="SCORES to write: `enrol test score [label]`.")],
) -> None:
    """Score trials by the cosine of their embeddings; trials that cannot be scored are listed."""
    from cmd_speaker.embeddings import load_embeddings
    from cmd_speaker.evaluation.scores import save_scores
    from cmd_speaker.evaluation.scoring import cosine_scores
    from cmd_speaker.evaluation.trials import load_trials

    scores, errors = cosine_scores(load_embeddings(embeddings), load_trials(trials))
    save_scores(out, scores)
    print(f"{out}: {len(scores)} of {len(scores) + len(errors)} trials", file=sys.stderr)
    if errors:
        raise DataErrors(f"{len(errors)} trials left out", errors)
