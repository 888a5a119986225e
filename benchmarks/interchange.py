"""Trials a second, and memory, of reading and writing trial lists, score files and embeddings.

    python benchmarks/interchange.py [--trials N] [--embeddings N] [--folder DIR]

Trials are random pairs of as many utterances as VoxCeleb1's list E has (145,160, ids as there), which is harder
on tables of ids than lists whose rows are sorted. Every step runs in a fresh process; memory is the highest
resident set of that process, Python and NumPy included. Files were just written: reading is from the page cache.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cmd_speaker.embeddings import EXTENSIONS, Embeddings, load_embeddings, save_embeddings
from cmd_speaker.lists.scores import Scores, load_scores, read_scores, write_scores
from cmd_speaker.lists.trials import BLOCK, Trials, load_trials, read_trials, write_trials

UTTERANCES = 145_160
DIMENSION = 192


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description="Speed and memory of trial lists, score files and embeddings."
    )
    parser.add_argument("--trials", type=int, default=10_000_000)
    parser.add_argument("--embeddings", type=int, default=UTTERANCES)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder if not said")
    options = parser.parse_args()
    print(f"{'step':<32} {'rows':>12} {'seconds':>9} {'rows / s':>12} {'MiB':>7} {'MB on disk':>11}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        trials, scores = Path(folder, "trials.txt"), Path(folder, "scores.txt")
        measure("write_trials", _write_trials, trials, options.trials)
        measure("read_trials", _read_trials, trials, options.trials)
        measure("load_trials", _load_trials, trials, options.trials)
        measure("write_scores", _write_scores, scores, options.trials)
        measure("read_scores", _read_scores, scores, options.trials)
        measure("load_scores", _load_scores, scores, options.trials)
        for extension in EXTENSIONS:
            path = Path(folder, f"embeddings{extension}")
            measure(f"save_embeddings {extension}", _save_embeddings, path, options.embeddings)
            measure(f"load_embeddings {extension}", _load_embeddings, path, options.embeddings)
            if extension == ".scp":
                measure("kaldiio.load_scp_sequential", _kaldiio, path, options.embeddings)


def measure(name: str, step: Callable[[Path, int], float], path: Path, rows: int) -> None:
    """Run `step` in a process of its own and print its row of the table."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, mebibytes = pool.apply(_with_memory, (step, path, rows))
    size = path.stat().st_size / 1e6
    print(
        f"{name:<32} {rows:>12,} {seconds:>9.2f} {rows / seconds:>12,.0f} {mebibytes:>7.0f} {size:>11,.0f}",
        flush=True,
    )


def _with_memory(step: Callable[[Path, int], float], path: Path, rows: int) -> tuple[float, float]:
    seconds = step(path, rows)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _ids(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [f"id{10001 + k % 1251}/{rng.bytes(6).hex()[:11]}/{k % 400:05d}.wav" for k in range(count)]


def _blocks(count: int) -> Iterator[Scores]:
    ids, rng = _ids(UTTERANCES), np.random.default_rng(1)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        enrol, test = rng.integers(0, len(ids), (2, size), dtype=np.int32)
        scores = rng.standard_normal(size, dtype=np.float32)
        yield Scores(Trials(ids, enrol, test, rng.random(size) < 0.5), scores)


def _write_trials(path: Path, count: int) -> float:
    return _seconds(lambda: write_trials(path, (scores.trials for scores in _blocks(count))))


def _write_scores(path: Path, count: int) -> float:
    return _seconds(lambda: write_scores(path, _blocks(count)))


def _read_trials(path: Path, count: int) -> float:
    return _seconds(lambda: _exhaust(read_trials(path), count))


def _read_scores(path: Path, count: int) -> float:
    return _seconds(lambda: _exhaust(read_scores(path), count))


def _exhaust(blocks: Iterator[Trials] | Iterator[Scores], count: int) -> None:
    if sum(len(block) for block in blocks) != count:
        raise SystemExit("rows were lost")


def _load_trials(path: Path, count: int) -> float:
    return _seconds(lambda: load_trials(path))


def _load_scores(path: Path, count: int) -> float:
    return _seconds(lambda: load_scores(path))


def _save_embeddings(path: Path, count: int) -> float:
    vectors = np.random.default_rng(0).standard_normal((count, DIMENSION), dtype=np.float32)
    embeddings = Embeddings(_ids(count), vectors)
    return _seconds(lambda: save_embeddings(path, embeddings))


def _load_embeddings(path: Path, count: int) -> float:
    return _seconds(lambda: load_embeddings(path))


def _kaldiio(path: Path, count: int) -> float:
    import kaldiio

    return _seconds(lambda: dict(kaldiio.load_scp_sequential(str(path))))


if __name__ == "__main__":
    main()
