"""What a text teacher brings on speechocean762, and whether it carries over to other speech.

    python benchmarks/distillation.py --data_folder CORPUS --out DIR [--librispeech CORPUS] [--seeds 1 2 3]

Trains every configuration of `CONFIGURATIONS` with every seed (`--jobs` at a time, each run once and resumed
where it stopped), then prints one table per test list: EER of each seed, mean minDCF, the difference from
audio only with a 95 % interval over speakers (paired, averaged over the seeds), and what the last epoch
logged. Also written to DIR: results.md, results.json and results.png. Each configuration meets
the test lists once; nothing is chosen on them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cmd_speaker.embeddings import Embeddings, load_embeddings, save_embeddings
from cmd_speaker.evaluation.bootstrap import PairedDifference, paired_difference
from cmd_speaker.evaluation.scores import Scores, load_scores, load_utt2spk
from cmd_speaker.evaluation.scoring import cosine_scores
from cmd_speaker.evaluation.trials import all_pairs, load_trials
from cmd_speaker.manifest import load_manifest
from cmd_speaker.model import SpeakerModel
from cmd_speaker.results import embed_utterances

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
    finished = {
        name: [
            options.out / f"{name}_{seed}" for seed in options.seeds if done(options.out / f"{name}_{seed}")
        ]
        for name in CONFIGURATIONS
    }
    text, results = tables(options, {name: runs for name, runs in finished.items() if runs})
    print(text)
    (options.out / "results.md").write_text(text + "\n", encoding="utf-8")
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, options.out / "results.png")


def done(folder: Path) -> bool:
    return (folder / "results.json").is_file()


def train(options: argparse.Namespace, name: str, seed: int) -> None:
    """One run in a process of its own, whose output goes to DIR/NAME_SEED.log."""
    folder = options.out / f"{name}_{seed}"
    if done(folder):
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


def tables(options: argparse.Namespace, runs: dict[str, list[Path]]) -> tuple[str, dict]:
    """Markdown and figures for each test list."""
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
    text, results = [], {}
    for title, (systems, utt2spk, replicates) in parts.items():
        rows = {name: compare(systems, name, utt2spk, replicates) for name in systems}
        results[title] = {name: figures(rows[name], systems[name]) for name in rows}
        text.append(markdown(title, results[title], runs))
    return "\n\n".join(text), results


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


def compare(systems: Systems, name: str, speakers: dict[str, str], replicates: int) -> PairedDifference:
    """Against audio only, over the seeds that both have."""
    common = min(len(systems[BASELINE]), len(systems[name]))
    return paired_difference(
        systems[BASELINE][:common], systems[name][:common], speakers, seed=0, replicates=replicates
    )


def figures(difference: PairedDifference, runs: list[Scores]) -> dict:
    from cmd_speaker.evaluation.metrics import OperatingPoint, eer

    return {
        "eer": [eer(scores.scores, scores.known_labels())[0] for scores in runs],
        "min_dcf": difference.min_dcf[OperatingPoint(0.01)].b,
        "eer_difference": difference.eer.as_dict(),
        "speakers": difference.speakers,
    }


def markdown(title: str, results: dict, runs: dict[str, list[Path]]) -> str:
    lines = [
        f"**{title}** ({next(iter(results.values()))['speakers']} speakers)\n",
        "| configuration | EER % by seed | mean | minDCF(0.01) | EER - audio only, points [95 %] | relative "
        "| validation EER % | feature loss | share outside the margin |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        d, last = row["eer_difference"], last_epochs(runs[name])
        seeds = " / ".join(f"{100 * value:.2f}" for value in row["eer"])
        paired = f"{100 * d['difference']:+.2f} [{100 * d['low']:+.2f}, {100 * d['high']:+.2f}]"
        relative = f"{d['relative']:+.1%}"
        if name == BASELINE:
            paired, relative = "", ""
        mean = sum(row["eer"]) / len(row["eer"])
        lines.append(
            f"| {name} | {seeds} | {mean:.2%} | {row['min_dcf']:.3f} | {paired} | {relative} "
            f"| {last['valid eer']} | {last['train text.feature']} | {last['train text.feature_active']} |"
        )
    return "\n".join(lines)


def last_epochs(runs: list[Path]) -> dict[str, str]:
    """What the last epoch logged, averaged over the seeds."""
    found: dict[str, list[float]] = {
        "valid eer": [],
        "train text.feature": [],
        "train text.feature_active": [],
    }
    for run in runs:
        line = (run / "train_log.txt").read_text(encoding="utf-8").splitlines()[-1]
        for name in found:
            if match := re.search(rf"{re.escape(name)}: ([-+.\de]+)", line):
                found[name].append(float(match[1]))
    means = {name: sum(values) / len(values) if values else None for name, values in found.items()}
    scale = {"valid eer": 100.0}
    return {name: "" if mean is None else f"{scale.get(name, 1) * mean:.3g}" for name, mean in means.items()}


def draw(results: dict, path: Path) -> None:
    """Every seed's EER and the paired difference with its interval, one row of panels a test list."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        len(results), 2, figsize=(9, 2.4 * len(results)), squeeze=False, sharey=True
    )
    for (left, right), (title, rows) in zip(panels, results.items(), strict=True):
        for place, row in enumerate(rows.values()):
            left.plot(
                [100 * value for value in row["eer"]], [place] * len(row["eer"]), "o", color="C0", alpha=0.7
            )
            left.plot(100 * sum(row["eer"]) / len(row["eer"]), place, "|", color="black", markersize=16)
            d = row["eer_difference"]
            right.plot([100 * d["low"], 100 * d["high"]], [place, place], color="C0", linewidth=3, alpha=0.6)
            right.plot(100 * d["difference"], place, "o", color="C0")
        left.set_yticks(range(len(rows)), list(rows))
        left.invert_yaxis()
        left.set(title=title, xlabel="EER % (dots: seeds, bar: mean)")
        right.axvline(0, color="black", linewidth=0.8)
        right.set(title="difference from audio only", xlabel="EER points, 95 % over speakers, paired")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
