"""The clock that tells waiting for data from computing, on a clock of the test's own."""

import os

import pytest

from cmd_speaker.training import waiting
from cmd_speaker.training.waiting import FIRST, DataWait


@pytest.fixture
def clock(monkeypatch):
    """A list whose sum is the time."""
    gone = [0.0]
    monkeypatch.setattr(waiting.time, "perf_counter", lambda: sum(gone))
    return gone


def epoch(clock, steps, waited, computed):
    wait = DataWait()
    wait.start()
    for number in range(steps):
        # The first steps wait for workers that start.
        clock.append(waited if number >= FIRST else 100)
        wait.step()
        clock.append(computed)
        wait.stepped()
    return wait


def test_share_of_the_steps_after_the_first(clock):
    """10 steps of 1 s waiting and 3 s computing: a quarter of 40 s."""
    wait = epoch(clock, FIRST + 10, 1, 3)
    assert wait.share == 0.25
    assert str(wait) == "; 40 s, 25% of them waiting for data"


def test_an_epoch_too_short_to_say(clock):
    wait = epoch(clock, FIRST, 1, 3)
    assert (wait.share, str(wait), wait.hint(0, "")) == (0.0, "", "")


def test_every_epoch_begins_anew(clock):
    wait = epoch(clock, FIRST + 10, 1, 3)
    wait.start()
    assert (wait.share, str(wait)) == (0.0, "")


@pytest.mark.parametrize(
    ("workers", "hint"),
    [
        (0, "read ahead with --num_workers 2 (now 0, 8 CPUs)"),
        (3, "read ahead with --num_workers 6 (now 3, 8 CPUs)"),
        (6, "read ahead with --num_workers 8 (now 6, 8 CPUs)"),
        (8, "all CPUs read already: do otherwise"),
    ],
)
def test_hint(clock, monkeypatch, workers, hint):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    said = epoch(clock, 20, 1, 3).hint(workers, "do otherwise")
    assert said == f"25% of the epoch was waiting for data: {hint}"


@pytest.mark.parametrize(
    ("workers", "hint"),
    [
        (1, "read ahead with --num_workers 2 (now 1, 2 CPUs a process)"),
        (2, "all CPUs read already: do otherwise"),
    ],
)
def test_processes_share_the_cpus(clock, monkeypatch, workers, hint):
    """8 CPUs and four processes on the machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(waiting, "local_processes", lambda: 4)
    assert epoch(clock, 20, 1, 3).hint(workers, "do otherwise").endswith(f"for data: {hint}")


def test_no_hint_where_little_is_lost(clock):
    assert epoch(clock, 20, 1, 5).hint(0, "do otherwise") == ""
