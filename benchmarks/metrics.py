"""Seconds and memory of our metrics beside SpeechBrain's, and how far both are from a reference.

    python benchmarks/metrics.py [--trials N ...] [--peer-trials N] [--blocks N ...] [--seed N]

Scores are normal, float32, half of the trials targets, as in VoxCeleb1's test list of 37,720 trials. Every
figure comes from a fresh process; memory is its highest resident set above what it held, libraries and
scores included, before the call. The reference is scikit-learn's ROC curve with all its points, the EER
interpolated and the cost minimised over them here, its isotonic regression for the minimum Cllr, and the
definition of Cllr. SpeechBrain's minDCF is divided by 0.01 to be normalised as ours is; its EER is the mean
of FAR and FRR at the threshold where they are nearest. Intervals are those of EER, minDCF and actual cost at two
points and Cllr, of lists with one speaker for 940 trials, as VoxCeleb1's has.

`--blocks` measures everything of a summary but intervals for scores that come in blocks of 65,536 (float64), as
from a file of any length; its memory is the highest of the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmd_speaker.lists.scores import Scores

# NumPy and torch are imported in the children only: a child's peak begins at what its parent holds.

ROOT = Path(__file__).resolve().parents[1]
P_TARGET = 0.01
REPLICATES = 1000
TRIALS_A_SPEAKER = 940
SEPARATION = 3.6
"""Distance of the class means in standard deviations: an EER of 3.6 %."""
COLUMNS = "{:>11}  {:<28} {:>9} {:>10} {:>9} {:>9} {:>14}"


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description="Speed and memory of EER and minDCF beside SpeechBrain's.")
    parser.add_argument(
        "--trials", type=int, nargs="+", default=[5000, 37720, 600000], help="sizes to measure"
    )
    parser.add_argument(
        "--peer-trials", type=int, default=37720, help="largest size for SpeechBrain (18 GiB at 37,720)"
    )
    parser.add_argument("--blocks", type=int, nargs="*", default=[10**7], help="sizes to measure in blocks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(**json.loads(options.child))))
        return
    print(_machine(), f"seed {options.seed}", sep="\n", end="\n\n")
    header = ("trials", "measured", "seconds", "MiB above", "EER %", "minDCF", "off reference")
    print(COLUMNS.format(*header), flush=True)
    for trials in options.trials:
        reference = _measure("reference", trials, options.seed)["values"]
        for name in OURS:
            _print_row(name, trials, _measure(name, trials, options.seed), reference)
        for name in PEERS if trials <= options.peer_trials else ():
            _print_row(name, trials, _measure(name, trials, options.seed), reference)
        if trials > options.peer_trials:
            print(
                COLUMNS.format(f"{trials:,}", "SpeechBrain: not attempted", "", "", "", "", ""),
                _reason(trials),
            )
    for trials in options.blocks:
        result = _measure(BLOCKS, trials, options.seed)
        _print_row(BLOCKS, trials, result | {"mib": result["peak_mib"]}, {})


def _print_row(name: str, trials: int, result: dict[str, Any], reference: dict[str, float]) -> None:
    values = result["values"]
    off = [abs(value - reference[metric]) for metric, value in values.items() if metric in reference]
    eer = f"{values['eer']:.4%}"[:-1] if "eer" in values else ""
    min_dcf = f"{values['min_dcf']:.5f}" if "min_dcf" in values else ""
    cells = (
        f"{trials:,}",
        name,
        f"{result['seconds']:.3f}",
        f"{result['mib']:,.0f}",
        eer,
        min_dcf,
        f"{max(off):.1e}" if off else "",
    )
    print(COLUMNS.format(*cells), flush=True)


def _reason(trials: int) -> str:
    """Its minDCF copies the scores of each class once for each of up to 2n - 1 thresholds, as float32."""
    gibibytes = (trials / 2) * (2 * trials - 1) * 4 / 2**30
    return f"(both are quadratic; minDCF would hold a matrix of {gibibytes:,.1f} GiB)"


def _measure(name: str, trials: int, seed: int) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    job = json.dumps({"name": name, "trials": trials, "seed": seed})
    command = [sys.executable, __file__, "--child", job]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"'{name}' with {trials:,} trials ended with exit code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def _child(name: str, trials: int, seed: int) -> dict[str, Any]:
    """Seconds, MiB above the start, and the metrics of one measurement."""
    if name == BLOCKS:
        call = partial(_blocks, trials, seed)
    else:
        scores, labels = _draw(trials, seed)
        if name == "reference":
            return {"values": _reference(scores, labels)}
        call = (
            _speechbrain(scores, labels, PEERS[name])
            if name in PEERS
            else partial(OURS[name], scores, labels)
        )
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    values = call()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "mib": (peak - base) / 1024, "peak_mib": peak / 1024, "values": values}


def _draw(trials: int, seed: int) -> tuple[Any, Any]:
    import numpy as np

    labels = np.arange(trials) % 2 == 0
    scores = np.random.default_rng(seed).standard_normal(trials, dtype=np.float32)
    scores[labels] += np.float32(SEPARATION)
    scores *= np.float32(0.15)
    return scores, labels


def _rates(scores: Any, labels: Any) -> dict[str, float]:
    from cmd_speaker.evaluation.metrics import OperatingPoint, SortedScores

    curve = SortedScores(scores, labels).curve()
    return {"eer": curve.eer()[0], "min_dcf": curve.min_dcf(OperatingPoint(P_TARGET))}


def _cllr(scores: Any, labels: Any) -> dict[str, float]:
    from cmd_speaker.evaluation.llr import curve_cllr, curve_min_cllr
    from cmd_speaker.evaluation.metrics import SortedScores

    curve = SortedScores(scores, labels).curve()
    return {"cllr": curve_cllr(curve), "min_cllr": curve_min_cllr(curve)}


def _intervals(scores: Any, labels: Any) -> dict[str, float]:
    import numpy as np

    from cmd_speaker.evaluation.bootstrap import speaker_interval
    from cmd_speaker.evaluation.metrics import SortedScores

    speakers = max(len(scores) // TRIALS_A_SPEAKER, 2)
    enrol = np.arange(len(scores)) // 2 % speakers
    test = np.where(labels, enrol, (enrol + 1 + np.arange(len(scores)) % (speakers - 1)) % speakers)
    speaker_interval(SortedScores(scores, labels), enrol, test, 0, REPLICATES, llr=True)
    return {}


def _blocks(trials: int, seed: int) -> dict[str, float]:
    import numpy as np

    from cmd_speaker.evaluation.metrics import SortedScores
    from cmd_speaker.evaluation.summary import measure
    from cmd_speaker.lists.scores import Scores
    from cmd_speaker.lists.trials import BLOCK, Trials

    def blocks() -> Iterator[Scores]:
        rng = np.random.default_rng(seed)
        for start in range(0, trials, BLOCK):
            count = min(BLOCK, trials - start)
            labels, ids = np.arange(count) % 2 == 0, np.zeros(count, dtype=np.int32)
            yield Scores(Trials(["a"], ids, ids, labels), rng.standard_normal(count) + SEPARATION * labels)

    found = measure(SortedScores.from_blocks(blocks()), llr=True)
    return {"eer": found.eer, "min_dcf": found.min_dcf_001}


OURS = {
    "ours: EER and minDCF": _rates,
    "ours: Cllr and minimum": _cllr,
    "ours: intervals, 1,000 draws": _intervals,
}
PEERS = {"SpeechBrain: EER": "eer", "SpeechBrain: minDCF": "min_dcf"}
BLOCKS = "ours: all, in blocks"


def _speechbrain(scores: Any, labels: Any, metric: str) -> Any:
    import torch
    from speechbrain.utils.metric_stats import EER, minDCF

    positive, negative = torch.from_numpy(scores[labels]), torch.from_numpy(scores[~labels])
    if metric == "eer":
        return lambda: {"eer": EER(positive, negative)[0]}
    return lambda: {"min_dcf": minDCF(positive, negative, p_target=P_TARGET)[0] / P_TARGET}


def _reference(scores: Any, labels: Any) -> dict[str, float]:
    from sklearn.metrics import roc_curve

    far, detected, _ = roc_curve(labels, scores, drop_intermediate=False)
    frr = 1 - detected
    after = int((far >= frr).argmax())  # the curve goes from accepting none to accepting all
    before = after - 1
    gap_before, gap_after = frr[before] - far[before], frr[after] - far[after]
    eer = far[before] + (far[after] - far[before]) * gap_before / (gap_before - gap_after)
    min_dcf = (P_TARGET * frr + (1 - P_TARGET) * far).min() / P_TARGET
    return {"eer": float(eer), "min_dcf": float(min_dcf), **_reference_cllr(scores, labels)}


def _reference_cllr(scores: Any, labels: Any) -> dict[str, float]:
    import numpy as np
    from sklearn.isotonic import IsotonicRegression

    def mean_cost(llr: Any) -> float:
        bits = np.logaddexp(0, np.where(labels, -llr, llr)) / np.log(2)
        return float(bits[labels].mean() + bits[~labels].mean()) / 2

    share = IsotonicRegression().fit_transform(scores.astype(np.float64), labels)
    with np.errstate(divide="ignore"):
        best = np.log(share) - np.log1p(-share) - np.log(labels.sum() / (~labels).sum())
    return {"cllr": mean_cost(scores.astype(np.float64)), "min_cllr": mean_cost(best)}


def _machine() -> str:
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = models[0].split(":", 1)[1].strip() if models else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("numpy", "scikit-learn", "torch", "speechbrain")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    machine = f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"
    return f"{machine}\nPython {platform.python_version()}, {versions}"


if __name__ == "__main__":
    main()
