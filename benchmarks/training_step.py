"""What a teacher costs a training step, where the step's time goes, and what keeping freed memory brings.

    python benchmarks/training_step.py [--steps 30] [--batch_size 32] [--width 512] [--device cpu]

Runs the Brain of recipes/VoxCeleb on decoded audio: audio-only and taught steps alternate in one process, so that
a machine that drifts slows both. The teacher has a made-up face for each speaker and everything that costs time:
feature loss, teacher's classifier, weights by the quality of face and speech. The last line compares one process
with and one without `keep_freed_memory` (CPU only).
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from machine import machine  # noqa: E402
from made_up_voxceleb import open_voxceleb, write_corpus, write_faces  # noqa: E402
from training_parts import PartTimes  # noqa: E402

from cmd_speaker.brain import SpeakerBrain  # noqa: E402
from cmd_speaker.training.data import Batch  # noqa: E402
from cmd_speaker.training.fit import build_brain  # noqa: E402
from cmd_speaker.training.memory import keep_freed_memory  # noqa: E402
from cmd_speaker.training.teachers import prepare_teachers  # noqa: E402

NAMES = {False: "audio only", True: "under teacher"}
WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--speakers", type=int, default=5994)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only_steps", choices=["plain", "kept"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_steps:
        print(step_without_brain(options))
        return
    print(machine("torch", "speechbrain"))
    print(f"{options.device}, {torch.get_num_threads()} threads; ECAPA-TDNN {options.width}, {options.speakers:,} "
          f"speakers, batches of {options.batch_size}\n")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder, 200, options.speakers, 10 * options.batch_size)
        write_faces(folder, options.speakers)
        with contextlib.redirect_stdout(sys.stderr):
            brains = {taught: prepare(folder, options, taught) for taught in NAMES}
        alternate(brains, options.steps)
    if options.device == "cpu":
        compare_memory(options)


def prepare(folder: Path, options: argparse.Namespace, taught: bool) -> SpeakerBrain:
    """The recipe's Brain, ready to fit."""
    values: dict[str, object] = {
        "batch_size": options.batch_size, "width": options.width, "device": options.device, "num_workers": 0,
        "cache_folder": folder / "cache",
    }  # fmt: skip
    if taught:
        values |= {
            "face_teacher": 1, "classifier_weight": 1, "quality_weights": True, "face_quality": "norm",
            "faces": folder / "faces.npz", "faces_table": folder / "faces.csv",
        }  # fmt: skip
    recipe, train = open_voxceleb(folder, folder / f"run_{taught}", values)
    brain, loader = build_brain(recipe, train, None, prepare_teachers(recipe, train))
    brain.on_fit_start()
    brain.modules.train()
    brain.total_steps, brain.loader = 10**6, loader
    return brain


def batches(brain: SpeakerBrain) -> Iterator[Batch]:
    epoch = 0
    while True:
        epoch += 1
        brain.loader.dataset.set_epoch(epoch)
        yield from brain.loader


def alternate(brains: dict[bool, SpeakerBrain], steps: int) -> None:
    """Both take turns step by step: steps a second, and the parts of a step."""
    sources = {taught: batches(brain) for taught, brain in brains.items()}
    times = {
        taught: PartTimes(
            brain,
            {
                "features": brain.modules.front_end,
                "SpecAugment": brain.hparams.feature_augment,
                "student": brain.modules.student,
            },
            WARM_UP,
            synchronise=True,
        )
        for taught, brain in brains.items()
    }
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for step in range(WARM_UP + steps):
        for taught in (False, True) if step % 2 else (True, False):
            begin = time.perf_counter()
            times[taught].resume()
            brains[taught].fit_batch(next(sources[taught]))
            if step >= WARM_UP:
                seconds[taught].append(time.perf_counter() - begin)
    ratios = [taught / plain for plain, taught in zip(seconds[False], seconds[True], strict=True)]
    print(f"{'':<14}{'steps/s (median)':>18}{'10 % .. 90 %':>20}")
    for taught, name in NAMES.items():
        rates = sorted(1 / value for value in seconds[taught])
        low, high = rates[len(rates) // 10], rates[-1 - len(rates) // 10]
        print(f"{name:<14}{statistics.median(rates):>18.2f}{low:>12.2f} ..{high:>6.2f}")
    print(
        f"step time under the teacher / audio only: median of the pairs {statistics.median(ratios):.3f}, "
        f"ratio of the medians {statistics.median(seconds[True]) / statistics.median(seconds[False]):.3f}\n"
    )
    print(f"{'ms a step':<20}" + "".join(f"{name:>16}{'':>7}" for name in NAMES.values()))
    parts = {taught: each.per_step() for taught, each in times.items()}
    for part in parts[True]:
        cells = [(1000 * each[part], each[part] / sum(each.values())) for each in parts.values()]
        print(f"{part:<20}" + "".join(f"{value:>16.1f}{share:>7.1%}" for value, share in cells))
    print()


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
    command = [sys.executable, __file__, *sys.argv[1:]]
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
