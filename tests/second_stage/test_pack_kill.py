"""Packing, killed with SIGKILL at random moments."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from tests.kills import finish
from tests.shards import RATE, content, manifest_of, noise

pytestmark = pytest.mark.second_stage
UTTERANCES, KILLS = 1200, 6


def start(manifest, out):
    line = [sys.executable, "-c", "from cmd_speaker.cli import main; main()", "pack", str(manifest.path)]
    line += ["--out", str(out), "--data-root", str(manifest.path.parent), "--shard-size", "0.5"]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)


def finished(folder):
    """Name -> what tells a shard that was written again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*.tar")}


def test_a_killed_packing_ends_in_the_bytes_of_an_unbroken_one(tmp_path):
    rows = []
    for number in range(UTTERANCES):
        soundfile.write(tmp_path / f"{number}.wav", noise(1.0, number), RATE)
        rows.append(
            (f"s{number % 7}/{number}.wav", 1.0, f"$data_root/{number}.wav", "", "", f"s{number % 7}", "")
        )
    manifest = manifest_of(tmp_path, rows)
    finish(start(manifest, tmp_path / "unbroken"))

    out, rng, killed, torn = tmp_path / "killed", random.Random(0), 0, 0
    for _ in range(40):
        before = finished(out)
        process = start(manifest, out)
        while process.poll() is None and len(finished(out)) <= len(before):
            time.sleep(0.001)
        time.sleep(0.02 * rng.random())
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
        torn += bool(list(out.glob(".*.tmp")))
        after = finished(out)
        # The last one may have been finished without its line in the index: that one is made again.
        assert {name: after[name] for name in sorted(before)[:-1]} == dict(sorted(before.items())[:-1])
        if killed == KILLS or process.returncode == 0:
            break
    assert killed >= 3
    assert torn, "at least one kill hit a shard that was being written"
    finish(start(manifest, out))
    assert content(out) == content(tmp_path / "unbroken")
    before = finished(out)
    finish(start(manifest, out))
    assert finished(out) == before, "a finished packing is left as it is"
