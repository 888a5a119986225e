"""A study, killed and interrupted in the middle, and one that really trains."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.kills import finish
from tests.studies import SIMPLE, calls

pytestmark = pytest.mark.second_stage
SLOW = SIMPLE.replace("seeds: [1, 2]", "seeds: [1, 2, 3]\nset: {sleep: 1.0}") + "controls: [feature]\n"
RUNS = 5 * 3
"""Baseline, two margins, their controls; three seeds."""


def start(path, out, *more):
    command = "from cmd_speaker.cli import main; main()"
    line = [sys.executable, "-c", command, "study", str(path), "--out", str(out), "--jobs", "2", *more]
    return subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def begun(process, out, number):
    """Wait until so many runs were begun."""
    while process.poll() is None and len(calls(out)) < number:
        time.sleep(0.01)


def states(out):
    records = [json.loads(path.read_text()) for path in (out / "runs").glob("*.json")]
    return [record["state"] for record in records]


def compared(out):
    return json.loads((out / "results.json").read_text())["compared"]


def test_a_killed_study_goes_on_and_does_no_finished_run_again(write_study, tmp_path):
    path, out, unbroken = write_study(SLOW), tmp_path / "killed", tmp_path / "unbroken"
    finish(start(path, unbroken), timeout=500)
    finished = 0
    for number in (3, 8):
        process = start(path, out)
        begun(process, out, number)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert states(out).count("finished") >= finished
        finished = states(out).count("finished")
    # Its last children may still run: the next call waits for them, and does not train beside them.
    done = {p.stem for p in (out / "runs").glob("*.json") if json.loads(p.read_text())["state"] == "finished"}
    before = calls(out)
    finish(start(path, out), timeout=500)
    assert 0 < len(done) < RUNS
    assert not {name.partition("/")[2] for name in calls(out)[len(before) :]} & done
    assert states(out) == ["finished"] * RUNS
    assert compared(out) == compared(unbroken)


def test_an_interrupted_study_leaves_no_process_behind(write_study, tmp_path):
    path, out = write_study(SLOW.replace("sleep: 1.0", "sleep: 300.0")), tmp_path / "out"
    process = start(path, out)
    begun(process, out, 2)
    # To this process alone, as `kill -INT` sends it.
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(out) not in listed


def test_a_study_of_the_recipe_from_corpus_to_noise(tiny_speechocean, tmp_path):
    from tests.training import HPARAMS, SMALL

    values = {key: value for key, value in SMALL.items() if key not in ("teachers", "device")}
    study = {
        "recipe": str(HPARAMS),
        "set": {**values, "teachers": {"text": {"steps": 30, "size": 16, "layers": 1}}},
        "seeds": [1, 2],
        "baseline": "audio only",
        "configurations": {
            "audio only": {"terms": {"feature": {"weight": 0}}},
            "feature": {"grid": {"terms.feature.margin": [0, 1.2]}},
        },
        "controls": "chosen",
        "conditions": {"two each": {"utterances_per_speaker": 2}},
        "screen": {"set": {"number_of_epochs": 1}},
        "final": {"best": 1},
        "noise": [20, 0],
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    output = finish(
        start(tmp_path / "study.yaml", tmp_path / "out", "--data_folder", str(tiny_speechocean())),
        timeout=500,
    )
    assert "Nothing was shown to help." in output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(results["runs"]) == 3 + 2 * 3
    assert list(results["noise"]["two each"]) == ["clean", "20 dB", "0 dB"]
    screened = [run for run in results["runs"] if run["stage"] == "screening"]
    assert not any(name.startswith("manifests/test") for run in screened for name in run["checksums"])
    assert all("manifests/train_part.csv" in run["checksums"] for run in results["runs"])
    made = list((tmp_path / "out" / "noise").rglob("*.npz"))
    before = {path: path.stat().st_mtime_ns for path in made}
    assert len(before) == 2 * 2 * 2
    finish(
        start(tmp_path / "study.yaml", tmp_path / "out", "--data_folder", str(tiny_speechocean())),
        timeout=500,
    )
    assert {path: path.stat().st_mtime_ns for path in made} == before
