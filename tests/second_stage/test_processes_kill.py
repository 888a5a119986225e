"""A run of two processes under `torchrun`, killed with SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training import RECIPE, arguments, weights

pytestmark = pytest.mark.second_stage
OPTIONS = {
    "ckpt_interval_minutes": 0, "ckpt_interval_steps": 1, "number_of_epochs": 8, "noise": True, "speed": True,
    "quality_weights": True, "joint_teachers": "[text]", "num_workers": 1,
}  # fmt: skip


def start(corpus, folder):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.Popen(
        [*torchrun, str(RECIPE / "train.py"), *arguments(corpus, folder, **OPTIONS)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def kill(process):
    """`torchrun` and its two processes, which are in sessions of their own, and their workers."""
    workers = children(process.pid)
    assert len(workers) == 2
    for pid in [process.pid, *workers, *(each for worker in workers for each in children(worker))]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def checkpoints(folder):
    """Names of the finished checkpoints."""
    return {path.parent.name for path in folder.glob("checkpoints/CKPT*/COMPLETE")}


def test_two_processes_that_are_killed_end_in_the_bits_of_an_unbroken_run(tiny_speechocean, tmp_path):
    corpus, folder = tiny_speechocean(), tmp_path / "killed"
    output = finish(start(corpus, tmp_path / "unbroken"))
    assert output.count("epoch 8/8:") == 1, "only one process prints"
    killed = 0
    while killed < 2:
        before = checkpoints(folder)
        process = start(corpus, folder)
        while process.poll() is None and len(checkpoints(folder) - before) < 1:
            time.sleep(0.01)
        time.sleep(0.2)
        assert process.poll() is None, "it must be killed before it ends"
        kill(process)
        killed += 1
    finish(start(corpus, folder))
    assert weights(folder) == weights(tmp_path / "unbroken")
    logs = [(path / "train_log.txt").read_text().splitlines() for path in (folder, tmp_path / "unbroken")]
    assert list(dict.fromkeys(logs[0])) == logs[1]
