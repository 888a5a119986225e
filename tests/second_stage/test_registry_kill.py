"""A registry whose writers are killed with SIGKILL at random moments, and two that write at once."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from cmd_speaker.encoder import SpeakerEncoder
from cmd_speaker.features import KaldiFbank
from cmd_speaker.files import file_checksum
from cmd_speaker.model import SpeakerModel
from cmd_speaker.registry import Registry
from cmd_speaker.registry.store import FILE_NAME
from cmd_speaker.students import EcapaTdnn
from tests.conftest import write_audio
from tests.registries import KEY, MODEL, counts, enrolled, folder_bytes

pytestmark = pytest.mark.second_stage
COMMAND = "from cmd_speaker.cli import main; main()"
KILLS, FILES = 20, 90
CHURN = """
import sys
from tests.registries import KEY, MODEL, enrolled
from cmd_speaker.registry import Registry
folder, first, key = sys.argv[1], int(sys.argv[2]), KEY if sys.argv[3] == "encrypted" else None
with Registry.begin(folder, MODEL, folder, key) as registry:
    for number in range(first, 10**6):
        print("enrol", number, flush=True)
        registry.enrol(f"person {number}", [enrolled(number + 0.1, k + 0.7, number * 0.3) for k in range(5)])
        print("enrolled", number, flush=True)
        if number % 3 == 0:
            print("forget", number, flush=True)
            registry.forget(f"person {number}")
            print("forgotten", number, flush=True)
"""


def start(*arguments):
    line = [sys.executable, "-c", *map(str, arguments)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small model and short recordings, each of another content."""
    folder = tmp_path_factory.mktemp("kill")
    torch.manual_seed(0)
    SpeakerModel(SpeakerEncoder(KaldiFbank(), EcapaTdnn(width=16, embedding_size=24))).save(folder / "model")
    for k in range(FILES):
        samples = 0.1 * np.random.default_rng(k).standard_normal(16000)
        write_audio(folder / f"{k}.wav", samples.astype(np.float32))
    return folder


def rows(folder):
    """How many recordings another process sees."""
    if not (folder / FILE_NAME).exists():
        return 0
    database = sqlite3.connect(f"file:{folder / FILE_NAME}?mode=rw", uri=True, timeout=60)
    try:
        if not database.execute("PRAGMA user_version").fetchone()[0]:
            return 0
        return database.execute("SELECT COUNT(*) FROM recordings").fetchone()[0]
    finally:
        database.close()


def test_the_command_is_killed(made, tmp_path):
    registry, rng = tmp_path / "reg", random.Random(0)
    names = {f"person {k % 3}": [made / f"{j}.wav" for j in range(k, FILES, 3)] for k in range(3)}
    jobs = [["enroll", registry, name, *files, "--model", made / "model"] for name, files in names.items()]
    killed = broken_off = 0
    while killed < KILLS:
        before = rows(registry)
        process = start(COMMAND, *jobs[killed % 3])
        while process.poll() is None and rows(registry) == before < FILES:
            time.sleep(0.002)
        time.sleep(0.02 * rng.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += 1
        broken_off += (registry / f"{FILE_NAME}-journal").exists()
        assert rows(registry) >= before, "what was enrolled stays"
    for job in jobs:
        process = start(COMMAND, *job)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    with Registry.open(registry) as opened:
        assert counts(opened) == {name: len(files) for name, files in names.items()}, "nothing doubled"
        for name, files in names.items():
            assert {opened.holder(file_checksum(file)) for file in files} == {name}, "nothing lost"
    print(f"{killed} kills, {broken_off} within a transaction")


@pytest.mark.parametrize("way", ["open", "encrypted"])
def test_enrolling_and_forgetting_are_killed(tmp_path, way):
    key, rng, state, number, broken_off = KEY if way == "encrypted" else None, random.Random(1), {}, 0, 0
    for _ in range(KILLS):
        process = start(CHURN, tmp_path, number, way)
        process.stdout.readline()
        time.sleep(0.15 * rng.random())
        process.send_signal(signal.SIGKILL)
        # The first line was read: the process began at least that one.
        said = ["enrol", str(number), *process.communicate()[0].split()]
        for act, which in zip(said[::2], said[1::2], strict=False):
            state[int(which)] = act
        number = max(state) + 1
        broken_off += (tmp_path / f"{FILE_NAME}-journal").exists()
        with Registry.open(tmp_path, key) as registry:
            found = counts(registry)
        assert set(found.values()) <= {5}, "a speaker is enrolled with all recordings or none"
        for each, act in state.items():
            name = f"person {each}"
            if act in ("enrolled", "forgotten"):
                assert (name in found) == (act == "enrolled"), (name, act)
            state[each] = "enrolled" if name in found else "forgotten"
        content = folder_bytes(tmp_path)
        for each in (each for each, act in state.items() if act == "forgotten"):
            assert f"person {each}".encode() + b"\0" not in content
            assert enrolled(each + 0.1, 4.7, each * 0.3).recording.embedding.tobytes() not in content
    assert broken_off, "at least one kill hit a transaction"
    assert list(state.values()).count("enrolled") > KILLS


@pytest.mark.parametrize("way", ["open", "encrypted"])
def test_two_processes_at_once_lose_nothing(tmp_path, way):
    """Both begin the registry, enrol and forget."""
    script = CHURN.replace("10**6", "first + 60")
    processes = [start(script, tmp_path, first, way) for first in (0, 60)]
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    with Registry.open(tmp_path, KEY if way == "encrypted" else None) as registry:
        assert registry.model == MODEL
        assert counts(registry) == {f"person {k}": 5 for k in range(120) if k % 3}


def test_two_commands_at_once_lose_nothing(made, tmp_path):
    registry = tmp_path / "reg"
    files = [[made / f"{k}.wav" for k in range(start, FILES, 2)] for start in (0, 1)]
    processes = [
        start(COMMAND, "enroll", registry, name, *own, "--model", made / "model")
        for name, own in zip("ab", files, strict=True)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    with Registry.open(registry) as opened:
        assert counts(opened) == {"a": FILES // 2, "b": FILES // 2}
