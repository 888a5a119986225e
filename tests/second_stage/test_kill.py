"""Training, killed with SIGKILL at random moments."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.kills import checkpoints, finish
from tests.training import RECIPE, arguments, weights

pytestmark = pytest.mark.second_stage
KILLS = 6
OPTIONS = {
    "ckpt_interval_minutes": 0, "ckpt_interval_steps": 1, "number_of_epochs": 12, "noise": True, "speed": True,
    "quality_weights": True,
}  # fmt: skip


def start(corpus, folder):
    command = [sys.executable, str(RECIPE / "train.py"), *arguments(corpus, folder, **OPTIONS)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def test_a_killed_run_ends_in_the_bits_of_an_unbroken_one(tiny_speechocean, tmp_path):
    corpus = tiny_speechocean()
    finish(start(corpus, tmp_path / "unbroken"))
    rng = random.Random(0)
    killed = 0
    for _ in range(40):
        process = start(corpus, tmp_path / "killed")
        before = checkpoints(tmp_path / "killed")
        # Wait until this process has saved something, then strike within the next second.
        while process.poll() is None and checkpoints(tmp_path / "killed") == before:
            time.sleep(0.01)
        time.sleep(rng.random())
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
        if killed == KILLS or process.returncode == 0:
            break
    finish(start(corpus, tmp_path / "killed"))
    assert killed >= 3
    assert weights(tmp_path / "killed") == weights(tmp_path / "unbroken")
    logs = [(tmp_path / name / "train_log.txt").read_text().splitlines() for name in ("killed", "unbroken")]
    # A kill between the log and the checkpoint of an epoch writes its line twice, and it is the same line.
    assert list(dict.fromkeys(logs[0])) == logs[1]
