"""Seconds and memory of `cmd-speaker score` (and `evaluate`), beside what cannot be avoided and what is usual.

    python benchmarks/scoring.py [--repeats N] [--seed N] [--large] [--lists FOLDER]

Embeddings are random: 192 dimensions, 120 utterances a speaker, a cohort of 6,000, AS-norm with the highest 300.
The trials of `VoxCeleb1-O` are those of its list (veri_test.txt.gz in `--lists`) or as many random ones; those
of `VoxCeleb1-E` are as many as there, four with each utterance as enrolment. Every row of the table is a
process of its own, its start included, but for the bare product, whose clock starts when all is loaded;
seconds are medians, memory is the highest resident set. What is scaled is measured on some of the trials.

The bare product is that of length-normalised embeddings with the cohort in blocks of 1,024 rows, and
`np.partition` for the highest 300: nothing is read or written and no trial is scored. `plain` leaves threads to
BLAS, `threaded` has a block on each core. The usual way is a loop over trials: a cosine each; or, as in
SpeechBrain's verification script, the normalisation of both sides anew for each trial.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from machine import machine  # beside this file

# NumPy and torch are imported in the children, or where data are made: a child's peak begins with its parent's.

ROOT = Path(__file__).resolve().parents[1]
SIZE, COHORT, TOP, PER_SPEAKER = 192, 6000, 300, 120
O_UTTERANCES, O_TRIALS = 4715, 37720
E_UTTERANCES, E_TRIALS = 145160, 579818
LARGE = (10_000_000, 100_000_000)
NAIVE_TRIALS = 200
COLUMNS = "{:<12} {:<44} {:>9} {:>9} {:>22}"
COMMAND = "from cmd_speaker.cli import main; main()"


class Cost(NamedTuple):
    """Seconds and the highest resident set in MiB."""

    seconds: float
    mib: float

    def then(self, other: Cost) -> Cost:
        """One process after the other."""
        return Cost(self.seconds + other.seconds, max(self.mib, other.mib))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description="Speed and memory of scoring.")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the median is taken")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--large", action="store_true", help="10 and 100 million trials too (15 GB of disk)")
    parser.add_argument("--lists", type=Path, default=ROOT.parent / "shared" / "data" / "voxceleb_lists")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(**json.loads(options.child))))
        return
    print(machine("numpy", "torch", "speechbrain"))
    print(f"seed {options.seed}, median of {options.repeats}", end="\n\n")
    print(COLUMNS.format("job", "measured", "seconds", "MiB", "ratio"), flush=True)
    with tempfile.TemporaryDirectory(prefix="scoring.") as name:
        folder = Path(name)
        _small(folder, options)
        _middle(folder, options)
        if options.large:
            for trials in LARGE:
                _many(folder, trials, options.seed)


def _small(folder: Path, options: argparse.Namespace) -> None:
    """The job of VoxCeleb1-O, and the usual ways to do it."""
    known = options.lists / "veri_test.txt.gz"
    if known.is_file():
        shutil.copy(known, folder / "o.txt.gz")
    trials = folder / ("o.txt.gz" if known.is_file() else "o.txt")
    _run("data", folder=str(folder), name="o", utterances=O_UTTERANCES, trials=O_TRIALS, seed=options.seed)
    scored, evaluated = _both(folder, "o", trials, options.repeats)
    ours = scored.then(evaluated)
    job = "VoxCeleb1-O"
    _row(job, "score: AS-norm", scored)
    _row(job, "evaluate", evaluated)
    _row(job, "score and evaluate", ours)
    for name, what in (
        ("cosine_loop", "usual: a loop of cosines, no normalisation"),
        ("speechbrain_loop", f"usual: AS-norm anew for each trial (scaled, {NAIVE_TRIALS})"),
    ):
        result = _run(name, folder=str(folder), trials=str(trials))
        usual = Cost(result["seconds"], result["mib"])
        _row(job, what, usual, f"{usual.seconds / ours.seconds:,.1f} x ours")


def _middle(folder: Path, options: argparse.Namespace) -> None:
    """The job of VoxCeleb1-E beside the bare product."""
    _run("data", folder=str(folder), name="e", utterances=E_UTTERANCES, trials=E_TRIALS, seed=options.seed)
    scored, evaluated = _both(folder, "e", folder / "e.txt", options.repeats)
    _row("VoxCeleb1-E", "score: AS-norm", scored)
    for name in ("plain", "threaded"):
        results = [_run("bare", folder=str(folder), way=name) for _ in range(options.repeats)]
        bare = _median([Cost(result["seconds"], result["mib"]) for result in results])
        ratio = f"score {scored.seconds / bare.seconds:.2f} x this"
        _row("VoxCeleb1-E", f"bare product and highest {TOP}, {name}", bare, ratio)
    _row("VoxCeleb1-E", "evaluate", evaluated)


def _many(folder: Path, trials: int, seed: int) -> None:
    """Lists that do not fit in memory, over the utterances of VoxCeleb1-E."""
    job, listed, scores = f"{trials // 10**6} M trials", folder / "many.txt", folder / "many.scores"
    needed = trials * 100
    if shutil.disk_usage(folder).free < needed:
        print(COLUMNS.format(job, f"left out: {needed / 2**30:.0f} GiB of disk needed", "", "", ""))
        return
    _run("many", path=str(listed), trials=trials, seed=seed)
    try:
        files = [str(folder / "e.npz"), str(listed), "--out", str(scores)]
        scored = _command("score", *files, "--cohort", str(folder / "cohort.npz"), "--memory", "1G")
        _row(job, "score: AS-norm, --memory 1G", scored, f"{trials / scored.seconds / 1e6:.2f} M trials/s")
        listed.unlink()
        evaluated = _command("evaluate", str(scores))
        _row(job, "evaluate", evaluated, f"{trials / evaluated.seconds / 1e6:.2f} M trials/s")
    finally:
        listed.unlink(missing_ok=True)
        scores.unlink(missing_ok=True)


def _row(job: str, what: str, cost: Cost, ratio: str = "") -> None:
    print(COLUMNS.format(job, what, f"{cost.seconds:,.2f}", f"{cost.mib:,.0f}", ratio), flush=True)


def _both(folder: Path, name: str, trials: Path, repeats: int) -> tuple[Cost, Cost]:
    """The medians of scoring and of evaluating."""
    scores, costs = folder / f"{name}.scores", []
    for _ in range(repeats):
        files = [str(folder / f"{name}.npz"), str(trials), "--out", str(scores)]
        scored = _command("score", *files, "--cohort", str(folder / "cohort.npz"), "--top", str(TOP))
        costs.append((scored, _command("evaluate", str(scores))))
    first, second = zip(*costs, strict=True)
    return _median(first), _median(second)


def _median(costs: Any) -> Cost:
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def _command(*arguments: str) -> Cost:
    """A process of the command line, from its start to its end."""
    return _process([sys.executable, "-c", COMMAND, *arguments])[0]


def _run(function: str, **settings: Any) -> dict[str, Any]:
    """One of the functions below, in a process of its own; `mib` is that of the process."""
    job = json.dumps({"function": function, **settings})
    cost, output = _process([sys.executable, __file__, "--child", job])
    return {"mib": cost.mib, **json.loads(output.splitlines()[-1])}


def _process(command: list[str]) -> tuple[Cost, str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{command[2:]} ended with {process.returncode}:\n{errors.read()}")
        return Cost(seconds, usage.ru_maxrss / 1024), output.read()


def _child(function: str, **settings: Any) -> dict[str, Any]:
    jobs = {job.__name__: job for job in (data, many, bare, cosine_loop, speechbrain_loop)}
    return jobs[function](**settings) or {}


def data(folder: str, name: str, utterances: int, trials: int, seed: int) -> None:
    """Write `NAME.npz`, `cohort.npz` and, unless it is there zipped, `NAME.txt`."""
    import numpy as np

    from cmd_speaker.embeddings import Embeddings, save_embeddings

    rng, place = np.random.default_rng(seed), Path(folder)
    listed = place / f"{name}.txt.gz"
    ids = [f"id{10000 + k // PER_SPEAKER}/{k % PER_SPEAKER:05}.wav" for k in range(utterances)]
    if listed.is_file():
        with gzip.open(listed, "rt") as file:
            found = sorted({word for line in file for word in line.split()[1:]})
        ids = found + ids[len(found) :]
    else:
        enrol = np.arange(trials) * utterances // trials
        near = enrol // PER_SPEAKER * PER_SPEAKER + rng.integers(0, PER_SPEAKER, trials)
        test = np.where(np.arange(trials) % 2 == 0, near, rng.integers(0, utterances, trials)) % utterances
        labels = enrol // PER_SPEAKER == test // PER_SPEAKER
        with (place / f"{name}.txt").open("w") as file:
            rows = zip(labels.tolist(), enrol.tolist(), test.tolist(), strict=True)
            file.writelines(f"{int(label)} {ids[a]} {ids[b]}\n" for label, a, b in rows)
    for stem, names in ((name, ids), ("cohort", [f"cohort{k}" for k in range(COHORT)])):
        speakers = {utterance.split("/")[0] for utterance in names}
        voices = {who: rng.standard_normal(SIZE, dtype=np.float32) for who in sorted(speakers)}
        vectors = rng.standard_normal((len(names), SIZE), dtype=np.float32)
        vectors += np.stack([voices[utterance.split("/")[0]] for utterance in names])
        save_embeddings(place / f"{stem}.npz", Embeddings(names, vectors))


def many(path: str, trials: int, seed: int) -> None:
    """Write a list of random trials over the utterances of VoxCeleb1-E, a million at a time."""
    import numpy as np

    rng = np.random.default_rng(seed)
    ids = [f"id{10000 + k // PER_SPEAKER}/{k % PER_SPEAKER:05}.wav" for k in range(E_UTTERANCES)]
    with Path(path).open("w") as file:
        for _ in range(0, trials, 10**6):
            enrol = rng.integers(0, E_UTTERANCES, 10**6)
            near = enrol // PER_SPEAKER * PER_SPEAKER + rng.integers(0, PER_SPEAKER, 10**6)
            test = (
                np.where(rng.random(10**6) < 0.1, near, rng.integers(0, E_UTTERANCES, 10**6)) % E_UTTERANCES
            )
            labels = enrol // PER_SPEAKER == test // PER_SPEAKER
            rows = zip(labels.tolist(), enrol.tolist(), test.tolist(), strict=True)
            file.writelines(f"{int(label)} {ids[a]} {ids[b]}\n" for label, a, b in rows)


def bare(folder: str, way: str) -> dict[str, float]:
    """Seconds of the product with the cohort and the highest scores, `plain` or `threaded`."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    from threadpoolctl import threadpool_limits

    unit = []
    for name in ("e", "cohort"):
        with np.load(Path(folder) / f"{name}.npz") as file:
            vectors = file["embeddings"]
        unit.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def highest(start: int) -> None:
        scores = unit[0][start : start + 1024] @ unit[1].T
        np.partition(scores, COHORT - TOP, axis=1)[:, COHORT - TOP :].mean(axis=1)

    starts = range(0, len(unit[0]), 1024)
    begin = time.perf_counter()
    if way == "plain":
        for start in starts:
            highest(start)
    else:
        with threadpool_limits(1), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            list(pool.map(highest, starts))
    return {"seconds": time.perf_counter() - begin}


def _listed(folder: str, trials: str) -> Iterator[tuple[Any, Any]]:
    """The two embeddings of every trial of VoxCeleb1-O."""
    import numpy as np

    with np.load(Path(folder) / "o.npz") as file:
        vectors = dict(zip(file["ids"].tolist(), file["embeddings"], strict=True))
    with gzip.open(trials, "rt") if trials.endswith(".gz") else open(trials) as lines:
        for line in lines:
            _, enrol, test = line.split()
            yield vectors[enrol], vectors[test]


def cosine_loop(folder: str, trials: str) -> dict[str, float]:
    """Seconds of a cosine for each trial, one after the other."""
    import numpy as np

    pairs = list(_listed(folder, trials))
    begin = time.perf_counter()
    for enrol, test in pairs:
        np.dot(enrol, test) / np.linalg.norm(enrol) / np.linalg.norm(test)
    return {"seconds": time.perf_counter() - begin}


def speechbrain_loop(folder: str, trials: str) -> dict[str, float]:
    """Seconds of a loop that repeats both sides along the cohort for each trial, measured on some of them."""
    from itertools import islice

    import numpy as np
    import torch

    with np.load(Path(folder) / "cohort.npz") as file:
        cohort = torch.from_numpy(file["embeddings"]).unsqueeze(1)
    cosine = torch.nn.CosineSimilarity(dim=-1, eps=1e-6)
    pairs = list(islice(_listed(folder, trials), NAIVE_TRIALS))
    begin = time.perf_counter()
    for pair in pairs:
        sides = [torch.from_numpy(side).reshape(1, 1, -1) for side in pair]
        score = cosine(*sides)[0]
        for side in sides:
            best = torch.topk(cosine(side.repeat(COHORT, 1, 1), cohort), k=TOP, dim=0)[0]
            (score - torch.mean(best, dim=0)) / torch.std(best, dim=0)
    return {"seconds": (time.perf_counter() - begin) * O_TRIALS / len(pairs)}


if __name__ == "__main__":
    main()
