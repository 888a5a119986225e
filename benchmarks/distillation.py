"""What a text teacher brings on speechocean762, and whether it carries over to other speech.

    python benchmarks/distillation.py --data_folder CORPUS --out DIR [--librispeech CORPUS] [--seeds 1 2 3]

Trains every configuration of `CONFIGURATIONS` with every seed (`--jobs` at a time, each run once and resumed
where it stopped), then prints one table per test list (EER of each seed, mean minDCF, the difference from
audio only with a 95 % interval over speakers, paired, averaged over the seeds), and what the last epoch
logged. Also written to DIR: results.md, results.json and results.png. Each configuration meets
the test lists once; nothing is chosen on them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.evaluation.comparison import Row, caution, compare, describe, markdown
from cmd_speaker.files import write_json
from cmd_speaker.lists.scores import Scores, load_scores
from cmd_speaker.lists.speakers import load_utt2spk
from cmd_speaker.lists.trials import all_pairs, load_trials
from cmd_speaker.manifest import load_manifest
from cmd_speaker.model import SpeakerModel
from cmd_speaker.plots import draw_comparison
from cmd_speaker.results import embed_utterances
from cmd_speaker.scoring.scorer import cosine_scores
from cmd_speaker.training.log import last_epochs_table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RECIPE = ROOT / "recipes" / "SpeechOcean762"
BASELINE = "audio_only"
CONFIGURATIONS: dict[str, dict[str, float | bool]] = {
    BASELINE: {"feature_weight": 0, "classifier_weight": 0},
    "hard": {"margin": 0, "feature_weight": 2},
    "soft_1.0": {"margin": 1.0, "feature_weight": 2},
    "permuted_1.0": {"margin": 1.0, "permute_teacher": True, "feature_weight": 2},
    "soft_1.2": {"margin": 1.2, "feature_weight": 2},
}
LOGGED = {
    "valid eer": "validation EER",
    "train text.feature": "feature loss",
    "train text.feature_active": "share outside the margin",
}
"""What the last epoch of a run's log says, and what it is called in the table."""
Systems = dict[str, list[Scores]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--librispeech", type=Path, help="librispeech_mini, for the out-of-domain table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    jobs = [(name, seed) for seed in options.seeds for name in CONFIGURATIONS]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda job: train(options, *job), jobs))
    runs = {name: [options.out / f"{name}_{seed}" for seed in options.seeds] for name in CONFIGURATIONS}
    compared = compare_on_all_lists(options, runs)
    parts = [(f"{title}: {describe(rows)}", rows) for title, rows in compared.items()]
    text = "\n\n".join([f"**{title}**\n\n{markdown(rows)}\n\n{caution(rows)}" for title, rows in parts])
    text += "\n\n" + last_epochs_table(runs, LOGGED)
    print(text)
    (options.out / "results.md").write_text(text + "\n", encoding="utf-8")
    results = {title: {row.name: row.as_dict() for row in rows} for title, rows in compared.items()}
    write_json(options.out / "results.json", results)
    draw_comparison(parts, options.out / "results.png")


def train(options: argparse.Namespace, name: str, seed: int) -> None:
    """One run in a process of its own, whose output goes to DIR/NAME_SEED.log."""
    folder = options.out / f"{name}_{seed}"
    if (folder / "results.json").is_file():
        return
    options.out.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, (os.cpu_count() or 1) // options.jobs))
    arguments = {
        "data_folder": options.data_folder, "output_folder": folder, "cache_folder": options.out / "cache",
        "device": options.device, "seed": seed, **CONFIGURATIONS[name],
    }  # fmt: skip
    command = [sys.executable, str(RECIPE / "train.py"), str(RECIPE / "hparams" / "text_teacher.yaml")]
    command += [str(part) for key, value in arguments.items() for part in (f"--{key}", value)]
    begin = time.perf_counter()
    with (options.out / f"{name}_{seed}.log").open("w") as log:
        environment = os.environ | {"OMP_NUM_THREADS": threads}
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=True)
    print(f"{name} seed {seed}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)


def compare_on_all_lists(options: argparse.Namespace, runs: dict[str, list[Path]]) -> dict[str, list[Row]]:
    """The rows of each test list, by its title."""
    first = runs[BASELINE][0] / "manifests"
    speakers = load_utt2spk(first / "test.csv")
    listed = {name: [load_scores(run / "scores.txt") for run in folders] for name, folders in runs.items()}
    every = {name: [score_all_pairs(run, speakers) for run in folders] for name, folders in runs.items()}
    parts = {
        "test/trials.txt": (listed, speakers, 1000),
        "all pairs of the test speakers": (every, speakers, 200),
    }
    if options.librispeech:
        parts["librispeech_mini"] = out_of_domain(options, runs)
    return {
        title: compare(systems, utt2spk, replicates=replicates)
        for title, (systems, utt2spk, replicates) in parts.items()
    }


def score_all_pairs(run: Path, speakers: dict[str, str]) -> Scores:
    embeddings = load_embeddings(run / "embeddings.npz")
    return cosine_scores(embeddings, all_pairs(embeddings.ids, [speakers[i] for i in embeddings.ids]))[0]


def out_of_domain(
    options: argparse.Namespace, runs: dict[str, list[Path]]
) -> tuple[Systems, dict[str, str], int]:
    from data_prep.librispeech_mini import prepare

    prepared = prepare(options.librispeech, options.out / "librispeech_mini")
    test, trials = load_manifest(prepared.test, options.librispeech), load_trials(prepared.test_trials)

    def embedded(run: Path) -> Embeddings:
        path = run / "librispeech_mini.npz"
        if not path.is_file():
            model = SpeakerModel.load(run / "model", options.device)
            save_embeddings(path, embed_utterances(model, test.utterances, list_path=test.path)[0])
        return load_embeddings(path)

    systems = {
        name: [cosine_scores(embedded(run), trials)[0] for run in folders] for name, folders in runs.items()
    }
    return systems, load_utt2spk(prepared.test), 1000


if __name__ == "__main__":
    main()
