"""`cmd-speaker`: parses, calls the library, prints. Heavy imports wait until a command needs them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmd_speaker import __version__
from cmd_speaker.errors import DataError, DataErrors, UsageError, exit_code_of

if TYPE_CHECKING:
    from cmd_speaker.evaluation.scores import Scores

app = typer.Typer(
    help="Speaker recognition whose models were taught by a richer modality.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, cuda:1, ...")]
Convert = Annotated[
    bool, typer.Option("--convert", help="Allow other sample rates (resampled) and several channels (mean).")
]


def main() -> None:
    """Entry point: exit code 0, 1 (negative decision), 2 (usage) or 3 (bad data)."""
    sys.exit(exit_code_of(app))


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"cmd-speaker {__version__}")
        raise typer.Exit


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    hparams: Annotated[Path, typer.Argument(help="A recipe's YAML: recipes/CORPUS/hparams/NAME.yaml.")],
) -> None:
    """Train a student: run the train.py beside hparams/, with --key value to change what the YAML says."""
    import importlib.util

    script = hparams.resolve().parent.parent / "train.py"
    if not hparams.is_file() or not script.is_file():
        raise DataError(
            "no recipe here", file=hparams, expected="RECIPE/hparams/NAME.yaml beside RECIPE/train.py",
            found="no such YAML" if not hparams.is_file() else f"no {script.name} in {script.parent}",
            fix="Run it from a checkout, which has recipes/",
        )  # fmt: skip
    spec = importlib.util.spec_from_file_location("cmd_speaker_recipe", script)
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.main([str(hparams), *context.args])


@app.command()
def embed(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    inputs: Annotated[list[str], typer.Argument(help="A manifest .csv, wav.scp, folder, pattern or files.")],
    out: Annotated[Path, typer.Option(help="EMBEDDINGS to write: .npz or .safetensors.")],
    data_root: Annotated[Path | None, typer.Option(help="Folder that $data_root stands for.")] = None,
    convert: Convert = False,
    device: Device = "cpu",
) -> None:
    """Embed audio; what cannot be read is listed and the rest is done."""
    from cmd_speaker.embeddings import check_extension, save_embeddings
    from cmd_speaker.inputs import find_inputs
    from cmd_speaker.model import SpeakerModel
    from cmd_speaker.results import embed_utterances

    check_extension(out)
    found = find_inputs(inputs, data_root)
    embeddings, errors = embed_utterances(
        SpeakerModel.load(model, device), found.utterances, convert=convert, list_path=found.list_path
    )
    save_embeddings(out, embeddings)
    print(f"{out}: {len(embeddings)} embeddings of {len(found.utterances)} utterances", file=sys.stderr)
    if errors:
        raise DataErrors(f"{len(errors)} utterances left out", errors)


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


@app.command()
def verify(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    first: Annotated[Path, typer.Argument(metavar="A", help="An audio file.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    threshold: Annotated[
        float | None,
        typer.Option(help="Decide: exit code 0 at or above it, 1 below. Take it from `evaluate`."),
    ] = None,
    convert: Convert = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Score two recordings by the cosine of their embeddings; a decision needs a threshold."""
    from cmd_speaker.model import SpeakerModel

    cosine = SpeakerModel.load(model, device).similarity(first, second, convert=convert)
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"--threshold is compared with a cosine: expected -1 to 1, found {threshold}")
    same = None if threshold is None else cosine >= threshold
    if as_json:
        print(json.dumps({"score": cosine, "threshold": threshold, "same_speaker": same}))
    else:
        words = {None: "", True: "  same speaker", False: "  different speakers"}
        print(f"score {cosine:.4f}{words[same]}")
    if same is False:
        raise typer.Exit(1)


@app.command()
def info(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    as_json: Json = False,
) -> None:
    """What a model is and was trained on; verifies its checksums and self-test."""
    from cmd_speaker.model import SpeakerModel

    loaded = SpeakerModel.load(model)
    description = {k: v for k, v in loaded.description.items() if k != "self_test"}
    description["parameters"] = sum(p.numel() for p in loaded.encoder.student.parameters())
    if as_json:
        print(json.dumps(description, indent=1))
        return
    for name, value in description.items():
        print(f"{name:<16} {value if not isinstance(value, dict) else json.dumps(value)}")
    print("self-test        passed")


@app.command("check-data")
def check_data(
    dataset: Annotated[str, typer.Argument(help="Name of the corpus, for example speechocean762.")],
    path: Annotated[Path, typer.Argument(help="Its folder.")],
    full: Annotated[
        bool, typer.Option("--full", help="Decode every file instead of reading headers.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a corpus's folder before anything is trained on it: files, counts, checksums, audio headers."""
    from cmd_speaker.corpora import check_data as check

    report = check(dataset, path, full=full)
    if as_json:
        print(json.dumps([row._asdict() for row in report.rows], indent=1))
    else:
        for row in report.rows:
            mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[row.status]
            print(f"{mark}  {row.what}: expected {row.expected}, found {row.found}")
    if not report.ok:
        raise DataError(f"{len(report.problems)} problems", file=path, fix="Correct them before training")


if __name__ == "__main__":
    main()
