"""Seconds and memory of EER and minDCF beside SpeechBrain's, and how far both are from a reference.

    python benchmarks/metrics.py [--trials N ...] [--peer-trials N] [--seed N]

Scores are normal, float32, half of the trials targets, as in VoxCeleb1's test list of 37,720 trials. Every
figure comes from a fresh process; memory is its highest resident set above what it held, libraries and
scores included, before the call. The reference is scikit-learn's ROC curve with all its points, the EER
interpolated and the cost minimised over them here. SpeechBrain's minDCF is divided by 0.01 to be normalised
as ours is; its EER is the mean of FAR and FRR at the threshold where they are nearest.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import machine  # beside this file

# NumPy and torch are imported in the children only: a child's peak begins at what its parent holds.

ROOT = Path(__file__).resolve().parents[1]
P_TARGET = 0.01
SEPARATION = 3.6
"""Distance of the class means in standard deviations: an EER of 3.6 %."""
COLUMNS = "{:>9}  {:<26} {:>9} {:>10} {:>9} {:>9} {:>14}"


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description="Speed and memory of EER and minDCF beside SpeechBrain's.")
    parser.add_argument(
        "--trials", type=int, nargs="+", default=[5000, 37720, 600000], help="sizes to measure"
    )
    parser.add_argument(
        "--peer-trials", type=int, default=37720, help="largest size for SpeechBrain (18 GiB at 37,720)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(**json.loads(options.child))))
        return
    print(
        machine("numpy", "scikit-learn", "torch", "speechbrain"), f"seed {options.seed}", sep="\n", end="\n\n"
    )
    header = ("trials", "measured", "seconds", "MiB above", "EER %", "minDCF", "off reference")
    print(COLUMNS.format(*header), flush=True)
    for trials in options.trials:
        reference = _measure("reference", trials, options.seed)["values"]
        names = ["ours: EER and minDCF", "SpeechBrain: EER", "SpeechBrain: minDCF"]
        for name in names if trials <= options.peer_trials else names[:1]:
            _print_row(name, trials, _measure(name, trials, options.seed), reference)
        if trials > options.peer_trials:
            print(
                COLUMNS.format(f"{trials:,}", "SpeechBrain: not attempted", "", "", "", "", ""),
                _reason(trials),
            )


def _print_row(name: str, trials: int, result: dict[str, Any], reference: dict[str, float]) -> None:
    values = result["values"]
    off = max(abs(value - reference[metric]) for metric, value in values.items())
    eer = f"{values['eer']:.4%}"[:-1] if "eer" in values else ""
    min_dcf = f"{values['min_dcf']:.5f}" if "min_dcf" in values else ""
    cells = (
        f"{trials:,}",
        name,
        f"{result['seconds']:.3f}",
        f"{result['mib']:,.0f}",
        eer,
        min_dcf,
        f"{off:.1e}",
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
    import numpy as np

    labels = np.arange(trials) % 2 == 0
    scores = np.random.default_rng(seed).standard_normal(trials, dtype=np.float32)
    scores[labels] += np.float32(SEPARATION)
    scores *= np.float32(0.15)
    if name == "reference":
        return {"values": _reference(scores, labels)}
    if name.startswith("ours"):
        call = _ours(scores, labels)
    else:
        call = _speechbrain(scores, labels, "eer" if name.endswith("EER") else "min_dcf")
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    values = call()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "mib": (peak - base) / 1024, "values": values}


def _ours(scores: Any, labels: Any) -> Any:
    from cmd_speaker.evaluation.metrics import OperatingPoint, SortedScores

    def call() -> dict[str, float]:
        curve = SortedScores(scores, labels).curve()
        return {"eer": curve.eer()[0], "min_dcf": curve.min_dcf(OperatingPoint(P_TARGET))}

    return call


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
    return {"eer": float(eer), "min_dcf": float(min_dcf)}


if __name__ == "__main__":
    main()
