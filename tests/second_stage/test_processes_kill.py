"""A run of two processes under `torchrun`, killed with SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kills import checkpoints, finish
from tests.training import RECIPE, arguments, weights

pytestmark = pytest.mark.second_stage
MARK = "KILLED_WITH_ITS_PROCESSES"
OPTIONS = {
    "ckpt_interval_minutes": 0, "ckpt_interval_steps": 1, "number_of_epochs": 4, "noise": True, "speed": True,
    "quality_weights": True, "joint_teachers": "[text]", "num_workers": 1,
}  # fmt: skip


def start(corpus, folder):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.Popen(
        [*torchrun, str(RECIPE / "train.py"), *arguments(corpus, folder, **OPTIONS)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", MARK: str(corpus)},
    )  # fmt: skip


def kill(process, corpus):
    """All that was started for the run: `torchrun`, its processes, which have sessions of their own, and readers.

    They are known by what their environment holds. Twice, since one may just begin another.
    """
    for _ in range(2):
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if f"{MARK}={corpus}".encode() in environment.read_bytes():
                    os.kill(int(environment.parent.name), signal.SIGKILL)
    process.communicate()


def test_two_processes_that_are_killed_end_in_the_bits_of_an_unbroken_run(tiny_speechocean, tmp_path):
    corpus, folder = tiny_speechocean(), tmp_path / "killed"
    output = finish(start(corpus, tmp_path / "unbroken"))
    assert output.count("epoch 4/4:") == 1, "only one process prints"
    killed = 0
    while killed < 2:
        before = checkpoints(folder)
        process = start(corpus, folder)
        while process.poll() is None and len(checkpoints(folder) - before) < 1:
            time.sleep(0.01)
        time.sleep(0.2)
        assert process.poll() is None, "it must be killed before it ends"
        kill(process, corpus)
        killed += 1
    finish(start(corpus, folder))
    assert weights(folder) == weights(tmp_path / "unbroken")
    logs = [(path / "train_log.txt").read_text().splitlines() for path in (folder, tmp_path / "unbroken")]
    assert list(dict.fromkeys(logs[0])) == logs[1]
