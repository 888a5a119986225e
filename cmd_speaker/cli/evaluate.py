"""`cmd-speaker evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmd_speaker.cli.app import Json, app

if TYPE_CHECKING:
    from cmd_speaker.evaluation.scores import Scores


@app.command()
def evaluate(
    scores: Annotated[list[Path], typer.Argument(help="One SCORES file, or several to compare.")],
    trials: Annotated[
        Path | None, typer.Option(help="Labelled trial list; every trial needs a score.")
    ] = None,
    speakers: Annotated[
        Path | None, typer.Option(help="Manifest or utt2spk: gives 95 % intervals over speakers.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """EER and normalised minDCF; several systems are compared pairwise with the first, on the same trials."""
    from cmd_speaker.evaluation.bootstrap import paired_difference
    from cmd_speaker.evaluation.scores import load_utt2spk, match_pairs
    from cmd_speaker.evaluation.summary import summarise

    systems = [_labelled(path, trials) for path in scores]
    for other in systems[1:]:
        match_pairs(systems[0], other.trials)
        match_pairs(other, systems[0].trials)
    utt2spk = load_utt2spk(speakers) if speakers else None
    summaries = [summarise(system, utt2spk, seed=seed) for system in systems]
    differences = [
        paired_difference([systems[0]], [other], utt2spk, seed) if utt2spk else None for other in systems[1:]
    ]
    if as_json:
        rows: list[dict[str, Any]] = [
            {"scores": str(path), **summary.as_dict()}
            for path, summary in zip(scores, summaries, strict=True)
        ]
        for row, difference in zip(rows[1:], differences, strict=True):
            row["eer_difference"] = difference and difference.eer.as_dict()
        print(json.dumps(rows[0] if len(rows) == 1 else rows, indent=1))
    else:
        for path, summary in zip(scores, summaries, strict=True):
            print(f"{path}: {summary}")
        for path, difference in zip(scores[1:], differences, strict=True):
            if difference is not None:
                print(f"{path} - {scores[0]}: EER {difference.eer}")
    if utt2spk is None:
        print("No interval: give the speakers with --speakers MANIFEST|utt2spk.", file=sys.stderr)
    elif summaries[0].warning:
        print(f"Warning: {summaries[0].warning}.", file=sys.stderr)


def _labelled(path: Path, trials: Path | None) -> Scores:
    from cmd_speaker.evaluation.scores import attach_labels, load_scores
    from cmd_speaker.evaluation.trials import load_trials

    scores = load_scores(path)
    if trials is None:
        return scores
    labelled, extra = attach_labels(scores, load_trials(trials))
    if extra:
        print(f"{path}: {extra} scores of trials that {trials} does not list were left out", file=sys.stderr)
    return labelled
