"""What a training on all of VoxCeleb2 would cost: hours on one and on eight GPUs, and bytes.

    python benchmarks/training_cost.py [--device cuda --precision bf16 --batch_size 256 --steps 100]

The training has the epochs and crops of recipes/VoxCeleb. Counted for each student and sample, its classifier
included: operations of forward and backward (torch.utils.flop_counter, held against a layer worked by hand; a
multiplication and an addition are two), and the bytes that they read and write in memory when none of them is
fused. Samples a second are measured: the real Brain, audio decoded before, no augmentation. With `--device cuda`
the hours follow from them. Elsewhere they are estimated for two GPUs from the operations, the bytes, and the
assumptions that are printed with them; the measured rate of this machine is only shown.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import yaml  # noqa: E402
from machine import machine  # noqa: E402
from made_up_voxceleb import RECIPE, write_corpus  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from training_parts import PartTimes  # noqa: E402
from training_systems import ours  # noqa: E402

from cmd_speaker.audio import SAMPLE_RATE  # noqa: E402
from cmd_speaker.features import KaldiFbank  # noqa: E402
from cmd_speaker.losses.aam import AamSoftmax  # noqa: E402
from cmd_speaker.students import build_student  # noqa: E402

UTTERANCES, SPEAKERS, MEAN_SECONDS = 1_092_009, 5_994, 7.8
"""VoxCeleb2's development part; the mean length: Chung et al., Interspeech 2018, table 2."""
STUDENTS = {
    "ECAPA-TDNN 512": ("ecapa_tdnn", 512),
    "ECAPA-TDNN 1024": ("ecapa_tdnn", 1024),
    "ResNet34, 1/4": ("resnet34", 16),
    "ResNet34, 1/2": ("resnet34", 32),
    "ResNet34, full": ("resnet34", 64),
    "x-vector": ("xvector", 512),
}
GPUS = {"A100": (312e12, 2.0e12), "H100": (989e12, 3.35e12)}
"""Dense bfloat16 operations and bytes of memory a second, SXM forms of 80 GB: NVIDIA's data sheets."""
PEAK_USED, BANDWIDTH_USED, EIGHT = (0.1, 0.3), (0.4, 0.8), 0.9
FLAC, TAR = 0.55, 1024
"""The share of a wav file that flac takes (clean speech at 16 kHz); bytes around a recording in a tar file."""
ASSUMED = [
    f"{PEAK_USED[0]:.0%} to {PEAK_USED[1]:.0%} of the peak is used, less than by large matrices: channels are few",
    f"{BANDWIDTH_USED[0]:.0%} to {BANDWIDTH_USED[1]:.0%} of the memory's bandwidth is used, and nothing is fused",
    "bfloat16 moves half of the bytes that were counted",
    "the slower of the two decides; reading, features, augmentation and optimiser take no time",
]
ASSUMED_EIGHT = f"eight GPUs do {8 * EIGHT:.1f} times the work of one"
ASSUMED_BYTES = (
    f"recordings last {MEAN_SECONDS} s on average (Chung et al. 2018); flac takes {FLAC:.0%} of wav"
)


class Count(NamedTuple):
    """Of one sample: operations, bytes read and written; `parameters` of the student."""

    operations: float
    bytes: float
    parameters: int


class Traffic(TorchDispatchMode):
    """Counts the bytes of the tensors that operations read and write; a view reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [each for each in tree_leaves((args, kwargs, out)) if isinstance(each, torch.Tensor)]
            self.bytes += sum(each.numel() * each.element_size() for each in tensors)
        return out


def main() -> None:
    """Print a table of what is counted and measured, one of hours, one of bytes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warm_up", type=int, default=2, help="one at least")
    parser.add_argument("--num_workers", type=int, default=0)
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument(
        "--folder", type=Path, help="where recordings are made; the system's temporary folder"
    )
    options = parser.parse_args()
    recipe = yaml.load((RECIPE / "hparams" / "voxceleb.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
    options.crop, epochs = float(recipe["crop_seconds"]), int(recipe["number_of_epochs"])
    check_counter()
    print(machine("torch"))
    print(
        f"{options.device}, {options.precision}, {torch.get_num_threads()} threads, batch {options.batch_size}"
    )
    print(f"\n{f'a sample of {options.crop:g} s':<18}{'parameters':>12}{'GFLOP':>8}{'MB moved':>10}"
          f"{'samples/s here':>16}{'TFLOP/s here':>14}")  # fmt: skip
    counts, rates = {}, {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        write_corpus(Path(name), 100, SPEAKERS, (options.warm_up + options.steps + 1) * options.batch_size)
        for student in options.students:
            counts[student] = work = count(*STUDENTS[student], options.crop)
            rates[student] = rate = measured(options, Path(name), *STUDENTS[student])
            print(f"{student:<18}{work.parameters:>12,}{work.operations / 1e9:>8.2f}{work.bytes / 1e6:>10.0f}"
                  f"{rate:>16.1f}{rate * work.operations / 1e12:>14.3f}", flush=True)  # fmt: skip
    print(f"\n{UTTERANCES:,} utterances x {epochs} epochs = {UTTERANCES * epochs / 1e6:.1f} million samples")
    samples = UTTERANCES * epochs
    if options.device == "cpu":
        rates = print_estimates(counts, samples)
    else:
        print_hours(rates, samples)
    print_bytes(options.crop, *next(iter(rates.items())))


def check_counter() -> None:
    """The first layer of ECAPA-TDNN 512 by hand: 80 x 512 x 5 products at each of 200 frames.

    An addition goes with each: 81.92 million operations. Backward does as many for the weights; its input, the
    features, needs no gradient.
    """
    layer = nn.Conv1d(80, 512, kernel_size=5, padding=2)
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(1, 80, 200)).sum().backward()
    assert counter.get_total_flops() == 2 * (2 * 80 * 512 * 5 * 200), counter.get_total_flops()


def count(architecture: str, width: int, seconds: float, batch: int = 4) -> Count:
    """What twice the batch needs more, in float32: weights, which a batch reads once, are left out."""
    student: Any = build_student(architecture, width=width)
    classifier = AamSoftmax(SPEAKERS, student.embedding_size)
    features = KaldiFbank()(0.1 * torch.randn(2 * batch, round(seconds * SAMPLE_RATE)))
    weights, found = [*student.parameters(), *classifier.parameters()], []
    for size in (batch, 2 * batch):
        with FlopCounterMode(display=False) as operations, Traffic() as traffic:
            loss = classifier(student(features[:size]), torch.arange(size)).mean()
            torch.autograd.grad(loss, weights)  # backward() would add to the gradients of the first batch
        found.append((operations.get_total_flops(), traffic.bytes))
    (flops, moved), (more_flops, more_moved) = found
    parameters = sum(weight.numel() for weight in student.parameters())
    return Count((more_flops - flops) / batch, (more_moved - moved) / batch, parameters)


def measured(options: argparse.Namespace, folder: Path, architecture: str, width: int) -> float:
    """Samples a second of the recipe's Brain on this machine."""
    options.width, run = width, folder / f"{architecture}_{width}"
    with contextlib.redirect_stdout(sys.stderr):
        training = ours(options, "decoded cache", "off", folder, run, architecture)
        training.brain.optimizer_step_limit = options.warm_up + options.steps
        times = PartTimes(training.brain, training.modules, options.warm_up)
        training.fit()
    return times.samples / times.seconds


def print_estimates(counts: dict[str, Count], samples: int) -> dict[str, float]:
    """Hours from what was counted, at the better and the worse end of what is assumed; the highest samples/s."""
    print(*(f"assumed: {each}" for each in [*ASSUMED, ASSUMED_EIGHT]), sep="\n")
    print("\n" + f"{'hours':<18}" + "".join(f"{gpu:>16}{'eight':>16}" for gpu in GPUS) + "   decided by")
    fastest = dict.fromkeys(counts, 0.0)
    for name, work in counts.items():
        cells, limits = "", []
        for peak, bandwidth in GPUS.values():
            hours = []
            for of_peak, of_bandwidth in zip(PEAK_USED, BANDWIDTH_USED, strict=True):
                computing = work.operations / (of_peak * peak)
                moving = work.bytes / 2 / (of_bandwidth * bandwidth)
                fastest[name] = max(fastest[name], 1 / max(computing, moving))
                hours.append(max(computing, moving) * samples / 3600)
                limits.append("operations" if computing > moving else "memory")
            for devices in (1, 8 * EIGHT):
                cells += f"{f'{hours[1] / devices:.2g} .. {hours[0] / devices:.2g}':>16}"
        print(f"{name:<18}{cells}   {', '.join(dict.fromkeys(limits))}")
    return fastest


def print_hours(rates: dict[str, float], samples: int) -> None:
    """Hours at the measured rates."""
    print(f"assumed: {ASSUMED_EIGHT}\n\n{'hours':<18}{'one such GPU':>16}{'eight':>16}")
    for name, rate in rates.items():
        hours = samples / rate / 3600
        print(f"{name:<18}{hours:>16.2g}{hours / (8 * EIGHT):>16.2g}")


def print_bytes(seconds: float, student: str, rate: float) -> None:
    """How much lies on disk, and what one GPU reads of it at this student's highest rate."""
    wav = 2 * SAMPLE_RATE
    forms = {
        "wav": (wav, 0), "flac": (FLAC * wav, 0), "shards of flac": (FLAC * wav, TAR),
        "decoded cache, float32": (2 * wav, 0),
    }  # fmt: skip
    print(f"\nassumed: {ASSUMED_BYTES}\nread for {rate:,.0f} samples/s: {student}, one GPU at best")
    print(f"\n{'on disk':<24}{'GB':>8}{'MB/s, whole recordings':>26}{'MB/s, crops only':>20}")
    for name, (per_second, around) in forms.items():
        whole = MEAN_SECONDS * per_second + around
        crops = "" if around else f"{rate * seconds * per_second / 1e6:,.0f}"
        print(f"{name:<24}{UTTERANCES * whole / 1e9:>8.0f}{rate * whole / 1e6:>26,.0f}{crops:>20}")


if __name__ == "__main__":
    main()
