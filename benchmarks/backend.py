"""What mean subtraction, score normalisation, PLDA and calibration bring on real embeddings.

    python benchmarks/backend.py --runs RUN [RUN ...] --data_folder CORPUS --out DIR

RUN are folders of trained speechocean762 students (the seeds of one configuration). Statistics, cohort and
PLDA come from the training speakers, calibrations from the trials of the validation speakers; the trials of
the test speakers are met once by each back-end, and nothing is chosen on them. Everything is done by the
commands that a user has. Prints one table, also written to DIR/results.md and results.json: for each
back-end the EER and its difference from the raw cosine (paired over trials, speakers and seeds, 95 %),
and the actual against the minimum cost once it is calibrated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmd_speaker.evaluation.comparison import Row, caution, compare, describe
from cmd_speaker.files import write_json
from cmd_speaker.lists.scores import load_scores
from cmd_speaker.lists.speakers import load_utt2spk

MEAN = ["--mean-from", "train.npz"]
COHORT = ["--cohort", "train.npz"]
BACKENDS: dict[str, list[str]] = {
    "raw cosine": [],
    "mean-subtracted": MEAN,
    "AS-norm without the mean": [*COHORT, "--norm", "as", "--top", "300"],
    "S-norm": [*MEAN, *COHORT, "--norm", "s"],
    "AS-norm, top 300 utterances": [*MEAN, *COHORT, "--norm", "as", "--top", "300"],
    "AS-norm, top 50 speakers": [
        *MEAN,
        *COHORT,
        "--cohort-speakers",
        "train.csv",
        "--norm",
        "as",
        "--top",
        "50",
    ],
    "PLDA": [*MEAN, "--plda-from", "train.npz", "--plda-speakers", "train.csv"],
}
QUALITIES = ["duration", "norm", "cohort_mean"]
PRIOR = "0.05"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--data_folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    folders = [options.out / f"run_{k}" for k in range(1, len(options.runs) + 1)]
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in BACKENDS}
    for run, folder in zip(options.runs, folders, strict=True):
        embed(run.resolve(), folder, options.data_folder.resolve())
        for name, arguments in BACKENDS.items():
            figures[name].append(measure(folder, name, arguments))
    speakers = load_utt2spk(folders[0] / "test.csv")
    scores = {
        name: [load_scores(folder / scores_file(name, "test")) for folder in folders] for name in BACKENDS
    }
    rows = compare(scores, speakers)
    text = f"{describe(rows)}; runs: {len(folders)}\n\n{table(rows, figures)}\n\n{caution(rows)}"
    print(text)
    (options.out / "results.md").write_text(text + "\n", encoding="utf-8")
    write_json(
        options.out / "results.json", {"compared": [row.as_dict() for row in rows], "figures": figures}
    )


def command(folder: Path, *arguments: str | Path) -> str:
    """Run `cmd-speaker` in a folder; its standard output."""
    line = [sys.executable, "-c", "from cmd_speaker.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(line, cwd=folder, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def embed(run: Path, folder: Path, data: Path) -> None:
    """The embeddings and lists of one run in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train.csv", "valid.csv", "test.csv", "valid_trials.txt", "test_trials.txt"):
        (folder / name).write_bytes((run / "manifests" / name).read_bytes())
    for part in ("train", "valid", "test"):
        if not (folder / f"{part}.npz").is_file():
            source = (run / "model", folder.resolve() / f"{part}.csv")
            command(folder, "embed", *source, "--data-root", data, "--out", f"{part}.npz")


def scores_file(backend: str, part: str) -> str:
    """Where the scores of a back-end are."""
    return f"{backend.replace(' ', '_').replace(',', '')}.{part}.txt"


def measure(folder: Path, name: str, arguments: list[str]) -> dict[str, Any]:
    """Figures on the test list: as calibrated by the score alone, and by the score and `QUALITIES`."""
    for part in ("valid", "test"):
        out = ["--out", scores_file(name, part), "--qualities", f"{part}.qualities.csv"]
        command(folder, "score", f"{part}.npz", f"{part}_trials.txt", *out, *arguments)
    figures = {}
    known = [name for name in QUALITIES if name != "cohort_mean" or "--cohort" in arguments]
    for calibration, chosen in (("score", []), ("score and qualities", known)):
        tables = {
            part: [f"--metadata={part}.csv", f"--metadata={part}.qualities.csv"] if chosen else []
            for part in ("valid", "test")
        }
        fit = [*(f"--quality={quality}" for quality in chosen), *tables["valid"]]
        command(folder, "calibrate", scores_file(name, "valid"), f"--prior={PRIOR}", "--out=c.json", *fit)
        applied = [scores_file(name, "test"), "--calibration=c.json", *tables["test"], "--json"]
        figures[calibration] = json.loads(command(folder, "evaluate", *applied))
    return figures


def table(rows: Sequence[Row], figures: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown, one row a back-end, means over the runs."""

    def mean(row: Row, calibration: str, figure: str) -> float:
        return sum(run[calibration][figure] for run in figures[row.name]) / len(figures[row.name])

    header = [
        "back-end", "EER %", f"EER - {rows[0].name}, points [95 %]", f"minDCF({PRIOR})",
        "minDCF(0.01)", f"actDCF({PRIOR})", "actDCF(0.01)", "min Cllr", "Cllr", "with qualities: EER %", "Cllr",
    ]  # fmt: skip
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for row in rows:
        cells = [row.name, f"{100 * row.eer:.2f}", row.cells()[3]]
        names = ("min_dcf_005", "min_dcf_001", "act_dcf_005", "act_dcf_001", "min_cllr", "cllr")
        cells += [f"{mean(row, 'score', name):.3f}" for name in names]
        cells += [f"{100 * mean(row, 'score and qualities', 'eer'):.2f}"]
        cells += [f"{mean(row, 'score and qualities', 'cllr'):.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
