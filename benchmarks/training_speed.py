"""Utterances a second of an audio-only training, beside SpeechBrain's own recipe for VoxCeleb.

    python benchmarks/training_speed.py [--speechbrain CHECKOUT] [--device cuda] [--batch_size N] [--steps N] ...

Ours is recipes/VoxCeleb through its Brain and loader. SpeechBrain's is `train_speaker_embeddings.py` with
`train_ecapa_tdnn.yaml` of `recipes/VoxCeleb/SpeakerRec` in the checkout: its Brain, its `dataio_prep`. Recipes
are not in the wheel; the library under both is the installed one. Both train ECAPA-TDNN (its parameters are
counted) with AAM-softmax over `--speakers` classes and Adam, on one manifest of made-up recordings of 4 to 15 s
(made_up_voxceleb.py), crops of `--crop` seconds, with the same batch, threads, workers and precision. Each keeps
its filterbank of 80 bands. The files have just been written: they come from the page cache.

    off    no augmentation, neither of waveforms nor of features
    on     every batch is resampled (speed 95, 100, 105 %), reverberated and mixed with noise (0 to 15 dB), in
           random order, in place of the original, with the same files. The recipes draw how many of these they
           apply; here all are, so that two runs have the same to do.
    stock  SpeechBrain's as it comes: noise, reverberation, dropped frequencies and dropped chunks, each on a
           copy of its own, beside the original: 5 samples of an utterance, and a fifth of the utterances a batch

Counted are samples through the student, the same as utterances but for `stock`. Each run is a process of its
own; the systems take turns; the clock starts after `--warm_up` steps. Rates: median and range of the repeats.
Parts of a step: means over all repeats. On a GPU they mean something with `--parts` only: each part is then
waited for, which costs a little.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import machine  # beside this file

# torch is imported in the children, and here only to write the corpus.

ROOT = Path(__file__).resolve().parents[1]
SHARDS, SPEECHBRAIN = "shards", "SpeechBrain"
SYSTEMS = ["loose files", "decoded cache", SHARDS, "face teacher", SPEECHBRAIN]


def main() -> None:
    """Print a table of rates and one of parts for each kind of augmentation."""
    options = _options()
    if options.child:
        print(json.dumps(_child(options, *options.child)))
        return
    sys.path.insert(0, str(ROOT))
    from made_up_voxceleb import write_corpus, write_faces, write_noises, write_shards

    print(machine("torch", "speechbrain", "soundfile"))
    print(
        f"{options.device}, {options.precision}, {options.threads} threads, {options.num_workers} workers; "
        f"batches of {options.batch_size} crops of {options.crop:g} s; {options.speakers:,} speakers; "
        f"{options.steps} steps after {options.warm_up}, {options.repeats} repeats"
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        steps = options.warm_up + options.steps + 2
        manifest = write_corpus(folder, options.files, options.speakers, steps * options.batch_size)
        if options.shards:
            write_shards(folder, manifest)
        write_noises(folder, options.noises)
        write_faces(folder, options.speakers)
        for augmentation in options.augmentation:
            systems = _systems(options, augmentation)
            runs: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
            for repeat, system in itertools.product(range(options.repeats), systems):
                turn = systems[(systems.index(system) + repeat) % len(systems)]
                runs[turn].append(_run(turn, augmentation, folder))
            _print(augmentation, runs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speechbrain", type=Path, metavar="CHECKOUT")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--crop", type=float, default=2.0, help="seconds")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm_up", type=int, default=2, help="one at least")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--num_workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--speakers", type=int, default=5994)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--noises", type=int, default=843)
    parser.add_argument("--augmentation", nargs="+", default=["off", "on"], choices=["off", "on", "stock"])
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, choices=SYSTEMS)
    parser.add_argument("--shards", action="store_true", help="ours also from shards of `cmd-speaker pack`")
    parser.add_argument("--parts", action="store_true", help="wait for a GPU after each part of a step")
    parser.add_argument("--folder", type=Path, help="where the files are made; the system's temporary folder")
    parser.add_argument(
        "--child", nargs=3, metavar=("SYSTEM", "AUGMENTATION", "FOLDER"), help=argparse.SUPPRESS
    )
    return parser.parse_args()


def _systems(options: argparse.Namespace, augmentation: str) -> list[str]:
    """Those that are asked for and can do this augmentation."""
    there = {SPEECHBRAIN: options.speechbrain, SHARDS: options.shards}
    found = [name for name in options.systems if there.get(name, True)]
    return [name for name in found if name == SPEECHBRAIN or augmentation != "stock"]


def _run(system: str, augmentation: str, folder: Path) -> dict[str, Any]:
    """One run in a process of its own, with the options of this one."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", system, augmentation, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{system}: {ended.stderr.strip()[-3000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def _print(augmentation: str, runs: dict[str, list[dict[str, Any]]]) -> None:
    rates = {system: [run["rate"] for run in of] for system, of in runs.items()}
    beside = statistics.median(rates[SPEECHBRAIN]) if SPEECHBRAIN in rates else None
    print(f"\n{'augmentation ' + augmentation:<20}{'samples/s':>10}{'range':>20}{'beside SB':>11}{'student':>12}"
          f"{'classifier':>12}{'loss':>8}")  # fmt: skip
    for system, of in runs.items():
        rate, last = statistics.median(rates[system]), of[-1]
        ratio = f"{rate / beside:.2f} x" if beside else ""
        span = f"{min(rates[system]):.1f} .. {max(rates[system]):.1f}"
        print(f"{system:<20}{rate:>10.1f}{span:>20}{ratio:>11}{last['student']:>12,}{last['classifier']:>12,}"
              f"{last['loss']:>8.2f}")  # fmt: skip
    print(f"\n{'ms a step':<20}" + "".join(f"{system:>16}" for system in runs))
    for part in dict.fromkeys(part for of in runs.values() for run in of for part in run["parts"]):
        means = [1000 * statistics.mean(run["parts"].get(part, 0.0) for run in of) for of in runs.values()]
        print(f"{part:<20}" + "".join(f"{mean:>16.1f}" for mean in means))


def _child(options: argparse.Namespace, system: str, augmentation: str, folder: str) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT))
    import torch
    from training_parts import PartTimes
    from training_systems import ours, speechbrain

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(dir=folder) as run, contextlib.redirect_stdout(sys.stderr):
        if system == SPEECHBRAIN:
            trained = speechbrain(options, augmentation, Path(folder), Path(run))
        else:
            trained = ours(options, system, augmentation, Path(folder), Path(run))
        trained.brain.optimizer_step_limit = options.warm_up + options.steps
        times = PartTimes(trained.brain, trained.modules, options.warm_up, options.parts)
        trained.fit()
    counts = [
        sum(weight.numel() for weight in each.parameters()) for each in (trained.student, trained.classifier)
    ]
    return {
        "rate": times.samples / times.seconds, "parts": times.per_step(),
        "student": counts[0], "classifier": counts[1], "loss": times.loss,
    }  # fmt: skip


if __name__ == "__main__":
    main()
