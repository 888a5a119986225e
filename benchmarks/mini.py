"""What the teachers bring on Mini: every student of the recipe with several seeds, one table and one picture.

    python benchmarks/mini.py --out DIR [--seeds 1 2 3] [--KEY VALUE ...]

Runs the recipe with `--train all` once a seed, all on one corpus (resumed where it was broken off; other
options are passed on), then compares the students on the test trials: EER of each
seed, and the difference from audio only with a 95 % interval over speakers, paired by trial and seed. Also
written to DIR: results.md, results.json and results.png.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cmd_speaker.evaluation.comparison import caution, compare, describe, markdown
from cmd_speaker.files import write_json
from cmd_speaker.lists.scores import load_scores
from cmd_speaker.lists.speakers import load_utt2spk
from cmd_speaker.plots import draw_comparison
from cmd_speaker.training.log import last_epochs_table
from cmd_speaker.training.options import top_level

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "Mini"
HPARAMS = RECIPE / "hparams" / "mini.yaml"
LOGGED = {
    "valid eer": "validation EER",
    "train text.feature_active": "text outside m",
    "train face.feature_active": "face outside m",
}
"""What the last epoch of a student's log says, and what it is called in the table."""
PAIRS = [
    (f"{name}_{other}", name) for name in ("text", "face", "text_and_face") for other in ("hard", "control")
]
"""Students compared with each other, where both were trained: what the second has gained over the first."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--train", default="all", help="the students, separated by blanks, or all")
    options, more = parser.parse_known_args()
    for seed in options.seeds:
        train(options, seed, more)
    students = [key.value for key, _ in top_level(HPARAMS)["students"][1].value]
    students = students if options.train == "all" else options.train.split()
    runs = {name: [options.out / f"seed_{seed}" / name for seed in options.seeds] for name in students}
    scores = {name: [load_scores(run / "scores.txt") for run in folders] for name, folders in runs.items()}
    speakers = load_utt2spk(options.out / "corpus" / "manifests" / "test.csv")
    rows = compare(scores, speakers)
    pairs = [compare({a: scores[a], b: scores[b]}, speakers) for a, b in PAIRS if {a, b} <= scores.keys()]
    gains = [f"- {b.name} - {a.name}: EER {b.difference.eer}" for a, b in pairs if b.difference]
    text = "\n".join(
        [
            describe(rows),
            "",
            markdown(rows),
            "",
            caution(rows),
            "",
            *gains,
            "",
            last_epochs_table(runs, LOGGED),
        ]
    )
    print(text)
    (options.out / "results.md").write_text(text + "\n", encoding="utf-8")
    write_json(options.out / "results.json", {row.name: row.as_dict() for row in rows})
    draw_comparison([(describe(rows), rows)], options.out / "results.png")


def train(options: argparse.Namespace, seed: int, more: Sequence[str]) -> None:
    """The students of one seed, in a process of its own whose output goes to DIR/seed_SEED.log."""
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(RECIPE / "train.py"), str(HPARAMS)]
    command += ["--train", options.train, "--seed", str(seed), "--output_folder", str(out / f"seed_{seed}")]
    command += ["--data_folder", str(out / "corpus"), "--cache_folder", str(out / "cache"), *more]
    begin = time.perf_counter()
    with (out / f"seed_{seed}.log").open("w") as log:
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True)
    print(f"seed {seed}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
