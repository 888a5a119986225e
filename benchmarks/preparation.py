"""Files a second and memory of the preparation of VoxCeleb, beside SpeechBrain's on the same tree.

    python benchmarks/preparation.py [--files N] [--seconds S] [--repeats N] [--speechbrain CHECKOUT]

The tree is made in a temporary folder, as one `wav` folder of VoxCeleb1: 10 recordings a video, 10 videos a
speaker, 16 kHz noise, a tenth of the files of test speakers (the short default flatters whoever decodes). It has
just been written, so that both read it from the page cache. SpeechBrain's `prepare_voxceleb` comes from
`recipes/VoxCeleb/voxceleb_prepare.py` of the checkout, which should be of the installed version: recipes are not
in the wheel. It is called with `random_segment=True` and `split_speaker=True`, one row an utterance and held-out
speakers, as ours; its own trial list of the same tree for both. Both must have prepared the same utterances for
training. Each row of the table is a process of its own, the two take turns; the clock starts when all is imported,
seconds are medians, memory is the resident set.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from machine import machine  # beside this file

# NumPy and torch are imported in the children: a child's peak begins with its parent's.

ROOT = Path(__file__).resolve().parents[1]
TEST_SPEAKERS = range(10270, 10310)
TRAINING_SPEAKERS = (*range(10001, 10270), *range(10310, 11252))
PER_VIDEO, VIDEOS, TEST_SHARE = 10, 10, 0.1
RATE, TRIALS = 16000, 10000
COLUMNS = "{:<12} {:>9} {:>10} {:>13} {:>13}"


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description="Speed and memory of VoxCeleb's preparation.")
    parser.add_argument("--files", type=int, default=100_000, help="at most 125,100")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a recording")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--speechbrain", type=Path, metavar="CHECKOUT")
    parser.add_argument("--child", nargs=4, metavar=("WHO", "DATA", "OUT", "LIST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options.speechbrain, *options.child)
        return
    systems = ["cmd-speaker"] + ["speechbrain"] * (options.speechbrain is not None)
    print(machine("soundfile", "torch", "speechbrain"))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        names = list(itertools.islice(_names(options.files), options.files))
        size = _write_tree(data / "wav", names, round(options.seconds * RATE))
        trials = _write_trials(Path(folder) / "trials.txt", names)
        print(
            f"{len(names):,} files of {options.seconds:g} s, {size / 2**20:,.0f} MiB; {options.repeats} repeats"
        )
        runs: dict[str, list[dict[str, float]]] = {who: [] for who in systems}
        for repeat, who in itertools.product(range(options.repeats), systems):
            out = Path(folder) / f"{who}_{repeat}"
            runs[who].append(_run(who, data, out, trials, options.speechbrain))
        learned = {who: _learned(Path(folder) / f"{who}_0") for who in systems}
        if len(set(learned.values())) > 1:
            sys.exit("the two prepared different utterances for training")
    print("\n" + COLUMNS.format("", "seconds", "files/s", "MiB at start", "MiB at most"))
    rates = {}
    for who, results in runs.items():
        seconds, start, peak = (
            statistics.median(r[key] for r in results) for key in ("seconds", "start", "peak")
        )
        rates[who] = len(names) / seconds
        print(COLUMNS.format(who, f"{seconds:.2f}", f"{rates[who]:,.0f}", f"{start:,.0f}", f"{peak:,.0f}"))
    if len(rates) > 1:
        print(
            f"\ncmd-speaker: {rates['cmd-speaker'] / rates['speechbrain']:.1f} times as many files a second"
        )


def _names(files: int) -> Iterator[str]:
    """SPEAKER/VIDEO/UTTERANCE.wav, the test speakers first."""

    def of(speakers: Sequence[int]) -> Iterator[str]:
        for speaker, video, number in itertools.product(speakers, range(VIDEOS), range(PER_VIDEO)):
            yield f"id{speaker}/video{video:06}/{number + 1:05}.wav"

    yield from itertools.islice(of(TEST_SPEAKERS), round(files * TEST_SHARE))
    yield from of(TRAINING_SPEAKERS)


def _write_tree(folder: Path, names: list[str], samples: int) -> int:
    """Write recordings of a few lengths; returns their bytes."""
    import io

    import numpy as np
    import soundfile

    noise = 0.1 * np.random.default_rng(0).standard_normal(samples + 100)
    contents = []
    for more in range(0, 100, 10):
        buffer = io.BytesIO()
        soundfile.write(buffer, noise[: samples + more], RATE, format="WAV", subtype="PCM_16")
        contents.append(buffer.getvalue())
    size = 0
    for name, content in zip(names, itertools.cycle(contents), strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size += path.write_bytes(content)
    return size


def _write_trials(path: Path, names: list[str]) -> Path:
    """Trials over the test speakers, each utterance in one at least while there are so many."""
    test = [name for name in names if int(name[2:7]) in TEST_SPEAKERS]
    pairs = zip(itertools.cycle(test), itertools.cycle(test[1:] + test[:1]), strict=False)
    lines = [f"{int(a[:7] == b[:7])} {a} {b}\n" for a, b in itertools.islice(pairs, max(TRIALS, len(test)))]
    path.write_text("".join(lines))
    return path


def _learned(out: Path) -> frozenset[tuple[str, ...]]:
    """Speaker, video and number of each utterance to learn from; SpeechBrain has held-out speakers in dev.csv."""
    found: set[tuple[str, ...]] = set()
    for path in (out / "train.csv", out / "dev.csv"):
        if path.is_file():
            with path.open(newline="") as file:
                found.update(Path(row["wav"]).with_suffix("").parts[-3:] for row in csv.DictReader(file))
    return frozenset(found)


def _run(who: str, data: Path, out: Path, trials: Path, checkout: Path | None) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", who, str(data), str(out), str(trials)]
    command += ["--speechbrain", str(checkout)] if checkout else []
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{who}: {ended.stderr.strip()[-1000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def _child(checkout: Path | None, who: str, data: str, out: str, trials: str) -> None:
    sys.path.insert(0, str(ROOT))
    prepare = _ours() if checkout is None or who == "cmd-speaker" else _speechbrain(checkout)
    start = _resident()
    begin = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        prepare(data, out, trials)
    print(json.dumps({"seconds": time.perf_counter() - begin, "start": start, "peak": _resident()}))


def _ours() -> Callable[[str, str, str], object]:
    from data_prep.voxceleb import prepare

    return lambda data, out, trials: prepare(
        data, out, "vox1", trials=[trials], accept_unknown=True, valid_speakers=0
    )


def _speechbrain(checkout: Path) -> Callable[[str, str, str], object]:
    sys.path.insert(0, str(checkout / "recipes" / "VoxCeleb"))
    from voxceleb_prepare import prepare_voxceleb

    return lambda data, out, trials: prepare_voxceleb(
        data, out, trials, split_speaker=True, random_segment=True
    )


def _resident() -> float:
    """The highest resident set so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
