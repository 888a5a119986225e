"""Where a training step's time goes, and what a teacher costs.

    python benchmarks/training_step.py [--steps 60] [--batch_size 64] [--width 128] [--device cpu]

Runs the real Brain on made-up speech of the recipe's shape: audio-only and taught steps alternate in one
process, so that a machine that drifts slows both. The last table compares one process with and one
without `keep_freed_memory` (CPU only).
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import speechbrain as sb
import torch

from cmd_speaker.brain import SpeakerBrain
from cmd_speaker.manifest import Manifest, load_manifest, write_manifest
from cmd_speaker.teachers.head import TeacherTargets
from cmd_speaker.teachers.matching import match_rows
from cmd_speaker.teachers.stage1 import PreparedTeacher
from cmd_speaker.training.data import Batch
from cmd_speaker.training.fit import build_brain
from cmd_speaker.training.memory import keep_freed_memory
from cmd_speaker.training.recipe import Recipe, open_recipe

HPARAMS = Path(__file__).resolve().parents[1] / "recipes/SpeechOcean762/hparams/text_teacher.yaml"
SPEAKERS, UTTERANCES = 105, 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only_steps", choices=["plain", "kept"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_steps:
        print(step_without_brain(options))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}; seed 1, ")
    print(f"batch {options.batch_size} x 2 s, ECAPA-TDNN width {options.width}, device {options.device}\n")
    with tempfile.TemporaryDirectory() as folder:
        brains = {taught: prepare(Path(folder), options, taught) for taught in (False, True)}
        alternate(brains, options.steps)
        breakdown(brains[True], options.steps)
    if options.device == "cpu":
        compare_memory(options)


def prepare(folder: Path, options: argparse.Namespace, taught: bool) -> SpeakerBrain:
    """A Brain of the recipe on made-up speech, with or without a teacher of both distillation terms."""
    manifest = made_up_corpus(folder)
    recipe = opened(folder, options, taught)
    match = match_rows([("identity", speaker) for speaker in manifest.speakers], manifest)
    generator = torch.Generator().manual_seed(1)
    targets = TeacherTargets(
        torch.randn(SPEAKERS, 192, generator=generator), torch.arange(SPEAKERS) % 37,
        torch.randn(37, 192, generator=generator), {"norm": torch.rand(SPEAKERS, generator=generator)},
        torch.arange(SPEAKERS), torch.zeros(SPEAKERS), torch.arange(SPEAKERS),
    )  # fmt: skip
    teachers = [PreparedTeacher("text", targets, match, {})] if taught else []
    brain, loader = build_brain(recipe, manifest, None, teachers)
    brain.on_fit_start()
    brain.modules.train()
    brain.total_steps, brain.loader = 10**6, loader
    return brain


def opened(folder: Path, options: argparse.Namespace, taught: bool) -> Recipe:
    weight = "1.0" if taught else "0.0"
    return open_recipe(
        [str(HPARAMS), "--data_folder", str(folder), "--output_folder", str(folder / f"run_{taught}"),
         "--batch_size", str(options.batch_size), "--width", str(options.width), "--device", options.device,
         "--cache_folder", str(folder / "cache"), "--feature_weight", weight, "--classifier_weight", weight,
         "--quality_weights", str(taught)],
        own_keys={"data_folder", "validation_speakers"},
    )  # fmt: skip


def made_up_corpus(folder: Path) -> Manifest:
    path = folder / "train.csv"
    if not path.exists():
        rng = np.random.default_rng(1)
        soundfile.write(folder / "noise.wav", 0.1 * rng.standard_normal(4 * 16000), 16000)
        rows = [
            (f"{s}-{u}", 4.0, str(folder / "noise.wav"), 0, 64000, f"s{s:03}")
            for s in range(SPEAKERS)
            for u in range(UTTERANCES)
        ]
        write_manifest(path, (), rows)
    return load_manifest(path)


def batches(brain: SpeakerBrain) -> Iterator[Batch]:
    epoch = 0
    while True:
        epoch += 1
        brain.loader.dataset.set_epoch(epoch)
        yield from brain.loader


def synchronise(brain: SpeakerBrain) -> None:
    if brain.device_type == "cuda":
        torch.cuda.synchronize()


def alternate(brains: dict[bool, SpeakerBrain], steps: int) -> None:
    """Steps per second of both, taking turns step by step."""
    sources = {taught: batches(brain) for taught, brain in brains.items()}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for step in range(steps + 5):
        for taught in (False, True) if step % 2 else (True, False):
            brain = brains[taught]
            begin = time.perf_counter()
            brain.fit_batch(next(sources[taught]))
            synchronise(brain)
            if step >= 5:
                seconds[taught].append(time.perf_counter() - begin)
    ratios = [taught / plain for plain, taught in zip(seconds[False], seconds[True], strict=True)]
    print(f"{'':<14}{'steps/s (median)':>18}{'10 % .. 90 %':>20}")
    for taught, name in ((False, "audio only"), (True, "under teacher")):
        rates = sorted(1 / value for value in seconds[taught])
        low, high = rates[len(rates) // 10], rates[-len(rates) // 10 - 1]
        print(f"{name:<14}{statistics.median(rates):>18.2f}{low:>12.2f} ..{high:>6.2f}")
    print(
        f"step time under the teacher / audio only: median of the pairs {statistics.median(ratios):.3f}, "
        f"ratio of the medians {statistics.median(seconds[True]) / statistics.median(seconds[False]):.3f}\n"
    )


def breakdown(brain: SpeakerBrain, steps: int) -> None:
    """Seconds of one step by part."""
    parts: dict[str, list[float]] = defaultdict(list)
    source = batches(brain)
    for step in range(steps + 3):
        marks = [("", time.perf_counter())]

        def mark(name: str, marks: list[tuple[str, float]] = marks) -> None:
            synchronise(brain)
            marks.append((name, time.perf_counter()))

        batch: Batch = next(source)
        mark("reading (cache, crops, batch)")
        waveforms = batch.waveforms.to(brain.device)
        with torch.no_grad():
            brain.encoder.features(waveforms)
        mark("features")
        outputs = brain.compute_forward(batch, sb.Stage.TRAIN)
        mark("forward and SpecAugment")
        loss = brain.compute_objectives(outputs, batch, sb.Stage.TRAIN)
        mark("losses")
        loss.backward()
        mark("backward")
        brain.optimizers_step()
        mark("optimiser")
        if step >= 3:
            for (_, begin), (name, end) in pairwise(marks):
                parts[name].append(end - begin)
    medians = {name: statistics.median(values) for name, values in parts.items()}
    # compute_forward computes the features once more.
    medians["forward and SpecAugment"] -= medians["features"]
    total = sum(medians.values())
    for name, value in medians.items():
        print(f"{name:<32}{1000 * value:>8.1f} ms{value / total:>8.1%}")
    print(f"{'total':<32}{1000 * total:>8.1f} ms\n")


def step_without_brain(options: argparse.Namespace) -> float:
    """Median seconds of forward and backward of the student alone."""
    from cmd_speaker.students import EcapaTdnn

    if options.only_steps == "kept":
        keep_freed_memory()
    torch.manual_seed(1)
    student = EcapaTdnn(width=options.width)
    features = torch.randn(options.batch_size, 200, 80)
    seconds = []
    for _ in range(max(10, options.steps // 3)):
        begin = time.perf_counter()
        student(features).square().sum().backward()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[3:])


def compare_memory(options: argparse.Namespace) -> None:
    command = [sys.executable, __file__, "--steps", str(options.steps), "--width", str(options.width),
               "--batch_size", str(options.batch_size)]  # fmt: skip
    found: dict[str, list[float]] = {"plain": [], "kept": []}
    for _ in range(2):
        for mode in found:
            done = subprocess.run(
                [*command, "--only_steps", mode], capture_output=True, text=True, check=True
            )
            found[mode].append(float(done.stdout))
    plain, kept = (min(values) for values in found.values())
    print(f"forward + backward, memory handed back {1000 * plain:.0f} ms, kept {1000 * kept:.0f} ms: "
          f"{plain / kept:.2f} x")  # fmt: skip


if __name__ == "__main__":
    main()
