"""Seconds and memory of a registry of many speakers, beside plain files of NumPy and faiss.

    python benchmarks/registry.py [--speakers N] [--size D] [--directions K] [--repeats N] [--threads N]
        [--folder DIR]

Each speaker has one recording, its embedding random, or with `--directions` falling off: the k-th direction varies
by exp(-k / K). Every step is a process of its own. `load` begins with the
folder on disk and ends with the first answer; `identify one` is the median of later ones, the ten likeliest each;
`enrol one` and `forget one` open the folder, change it safely and close it; memory is the highest resident set
above that of the imports. Beside it, both exact: `.npz` with names and a product with all embeddings, and a flat
index of faiss, which has no names. They have no transactions, no checksums and no encryption; their `enrol one`
writes the file anew, under another name first. Files were just written: reading is from the page cache. Random
embeddings are the hardest for the index of `--approximate`: nothing but chance makes two of them alike, and the
more directions count, the more cells have to be searched.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import machine  # beside this file

from cmd_speaker.decision import Decider
from cmd_speaker.recording import Recording
from cmd_speaker.registry import Enrolled, Registry
from cmd_speaker.scoring.backend import Backend

MODEL = "a" * 64
KEY = bytes(range(32))
DECIDER = Decider(Backend())
TOP = 10


class Setting(NamedTuple):
    """What is measured: a folder, its number of speakers, dimensions, how many count, repeats of an answer."""

    folder: Path
    speakers: int
    size: int
    directions: float
    repeats: int


class Step(NamedTuple):
    """A row of the table; `seconds` of the parts that `call` gives, by their names."""

    what: str
    call: Callable[[Setting], dict[str, float]]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description="Speed and memory of a registry.")
    parser.add_argument("--speakers", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=192, help="dimensions of an embedding")
    parser.add_argument(
        "--directions", type=float, default=math.inf, help="how many of them count; else all do"
    )
    parser.add_argument("--repeats", type=int, default=30, help="answers of which the median is taken")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS and faiss")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder if not said")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # read by the processes of the steps
    print(machine("numpy", "faiss-cpu", "cryptography"))
    size = f"{options.speakers:,} speakers x {options.size}, {options.directions:g} directions"
    print(f"{size}, {options.threads} threads", end="\n\n")
    print(f"{'step':<24} {'part':<28} {'seconds':>10} {'MiB':>7} {'MB on disk':>11}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="registry.") as folder:
        for step in STEPS:
            measure(
                step,
                Setting(Path(folder), options.speakers, options.size, options.directions, options.repeats),
            )


def measure(step: Step, setting: Setting) -> None:
    """Run a step in a process of its own and print its rows."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        parts, mebibytes = pool.apply(_with_memory, (step.call, setting))
    size = sum(path.stat().st_size for path in (setting.folder / step.what.split()[0]).rglob("*")) / 1e6
    for part, seconds in parts.items():
        print(f"{step.what:<24} {part:<28} {seconds:>10.4f} {mebibytes:>7.0f} {size:>11,.0f}", flush=True)


def _with_memory(
    call: Callable[[Setting], dict[str, float]], setting: Setting
) -> tuple[dict[str, float], float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parts = call(setting)
    return parts, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _random(setting: Setting, rng: np.random.Generator, count: int) -> np.ndarray:
    spread = np.exp(-np.arange(setting.size, dtype=np.float32) / np.float32(setting.directions))
    return rng.standard_normal((count, setting.size), dtype=np.float32) * spread


def _vectors(setting: Setting) -> np.ndarray:
    return _random(setting, np.random.default_rng(0), setting.speakers)


def _tests(setting: Setting) -> Iterator[np.ndarray]:
    """Recordings at a cosine of about 0.7 with a speaker."""
    rng = np.random.default_rng(0)
    first = _random(setting, rng, 1)[0]
    while True:
        yield first + _random(setting, rng, 1)[0]


def _median(setting: Setting, answer: Callable[[np.ndarray], object]) -> float:
    tests = _tests(setting)
    return statistics.median(_seconds(lambda: answer(next(tests))) for _ in range(setting.repeats))


def _recording(vector: np.ndarray) -> Recording:
    return Recording(vector, 3.0, model=MODEL)


class _OfRegistry:
    """The steps of a registry in the sub-folder `name`, under `key` or without."""

    def __init__(self, name: str, key: bytes | None) -> None:
        self.name, self.key = name, key

    def _open(self, setting: Setting) -> Registry:
        return Registry.open(setting.folder / self.name, self.key)

    def enrol_all(self, setting: Setting) -> dict[str, float]:
        everybody = (
            (f"speaker {k}", [Enrolled(f"{k}.wav", f"{k:064x}", _recording(vector))])
            for k, vector in enumerate(_vectors(setting))
        )
        folder = setting.folder / self.name
        with Registry.begin(folder, MODEL, folder, self.key) as registry:
            return {"enrol all, at once": _seconds(lambda: registry.enrol_all(everybody))}

    def identify(self, setting: Setting) -> dict[str, float]:
        start = time.perf_counter()
        with self._open(setting) as registry:

            def answer(vector: np.ndarray) -> object:
                return registry.identify(_recording(vector), DECIDER, top=TOP)

            answer(next(_tests(setting)))
            load = time.perf_counter() - start
            return {"load, with first answer": load, "identify one": _median(setting, answer)}

    def change(self, setting: Setting) -> dict[str, float]:
        vector = next(_tests(setting))

        def enrol() -> None:
            with self._open(setting) as registry:
                registry.enrol("New", [Enrolled("new.wav", "f" * 64, _recording(vector))])

        def forget() -> None:
            with self._open(setting) as registry:
                registry.forget("New")

        return {"enrol one": _seconds(enrol), "forget one": _seconds(forget)}

    def approximate(self, setting: Setting) -> dict[str, float]:
        with self._open(setting) as registry:

            def answer(vector: np.ndarray, approximate: bool = True) -> list[str]:
                found = registry.identify(_recording(vector), DECIDER, top=1, approximate=approximate)
                said.update(found.warnings)
                return [each.name for each in found.candidates]

            said: set[str] = set()
            tests = _tests(setting)
            answer(next(tests), False)
            made = _seconds(lambda: answer(next(tests)))
            median = _median(setting, answer)
            same = statistics.mean(
                answer(vector) == answer(vector, False) for vector, _ in zip(tests, range(100), strict=False)
            )
            print(f"  {'; '.join(said)}; of 100 others {same:.0%} had the answer of exact search")
            return {"make the index": made, "identify one": median}


def _numpy(setting: Setting) -> dict[str, float]:
    folder, vectors = setting.folder / "numpy", _vectors(setting)
    folder.mkdir()
    path, other = folder / "all.npz", folder / "new.npz"
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.array([f"speaker {k}" for k in range(setting.speakers)])
    written = _seconds(lambda: np.savez(path, names=names, units=units))

    def load() -> tuple[np.ndarray, np.ndarray]:
        with np.load(path) as file:
            return file["names"], file["units"]

    def answer(vector: np.ndarray) -> object:
        scores = units @ (vector / np.linalg.norm(vector))
        best = np.argpartition(scores, -TOP)[-TOP:]
        return names[best[np.argsort(-scores[best])]]

    def enrol() -> None:
        old, matrix = load()
        np.savez(other, names=np.append(old, "New"), units=np.append(matrix, units[:1], axis=0))
        os.replace(other, path)

    first = _seconds(lambda: (load(), answer(vectors[0])))
    return {
        "enrol all, at once": written, "load, with first answer": first,
        "identify one": _median(setting, answer), "enrol one": _seconds(enrol),
    }  # fmt: skip


def _faiss(setting: Setting) -> dict[str, float]:
    import faiss

    folder, vectors = setting.folder / "faiss", _vectors(setting)
    folder.mkdir()
    path, other = str(folder / "all.index"), str(folder / "new.index")
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(setting.size)
    written = _seconds(lambda: (index.add(units), faiss.write_index(index, path)))

    def answer(vector: np.ndarray) -> object:
        return index.search((vector / np.linalg.norm(vector))[np.newaxis], TOP)

    def enrol() -> None:
        again = faiss.read_index(path)
        again.add(units[:1])
        faiss.write_index(again, other)
        os.replace(other, path)

    first = _seconds(lambda: (faiss.read_index(path), answer(vectors[0])))
    return {
        "enrol all, at once": written, "load, with first answer": first,
        "identify one": _median(setting, answer), "enrol one": _seconds(enrol),
    }  # fmt: skip


OPEN, ENCRYPTED = _OfRegistry("registry", None), _OfRegistry("encrypted", KEY)
STEPS = (
    *(Step("registry", call) for call in (OPEN.enrol_all, OPEN.identify, OPEN.change)),
    Step("registry --approximate", OPEN.approximate),
    *(Step("encrypted", call) for call in (ENCRYPTED.enrol_all, ENCRYPTED.identify, ENCRYPTED.change)),
    Step("numpy", _numpy),
    Step("faiss flat", _faiss),
)

if __name__ == "__main__":
    main()
