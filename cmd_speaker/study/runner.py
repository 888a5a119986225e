"""Runs of a study, each in a process of its own, several at once, each once."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import file_checksum, locked, write_json
from cmd_speaker.study.plan import Command, Run, recipe_name
from cmd_speaker.training.run import FOLDERS

TAIL = 12
"""Lines of a failed run's log that are shown."""
PAUSE = 0.2
"""Seconds from one look at the processes to the next."""
ENDING = 20
"""Seconds that a process has to end when it is told to."""


@dataclass(frozen=True)
class Failure:
    """A run that ended with an error."""

    run: Run
    code: int
    log: Path

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-TAIL:])


class Records:
    """What is known of the runs in `out`: `NAME.json` beside the folder of each."""

    def __init__(self, command: Command) -> None:
        self.command, self.out = command, command.out
        self.recipe_checksum = file_checksum(command.recipe)
        self._checksums = dict[Path, str]()

    def folder(self, run: Run) -> Path:
        return self.out / run.stage / run.name

    def path(self, run: Run) -> Path:
        return self.out / run.stage / f"{run.name}.json"

    def log(self, run: Run) -> Path:
        return self.out / run.stage / f"{run.name}.log"

    def read(self, run: Run) -> dict[str, Any] | None:
        """The record of a run, None where it was never begun; raises `DataError` for one that is damaged."""
        path = self.path(run)
        return self._read(path) if path.is_file() else None

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            record["fingerprint"], record["values"], record["state"], record["seconds"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                "the record of this run is damaged", file=path, expected="what a study writes", found=repr(error),
                fix="Delete it and the run's folder: the run will be done again",
            ) from error  # fmt: skip
        return record

    def files(self, run: Run) -> dict[str, str]:
        """SHA-256 of the files that the run's values name, by key: their contents decide its result too."""
        named = {key: Path(value) for key, value in run.decisive.items() if isinstance(value, str) and value}
        there = {key: path for key, path in named.items() if path.is_file()}
        for path in there.values():
            if path not in self._checksums:
                self._checksums[path] = file_checksum(path)
        return {key: self._checksums[path] for key, path in there.items()}

    def others(self, runs: Sequence[Run]) -> list[str]:
        """Finished final runs in `out` that are none of `runs`, as labels: they met the test list too."""
        known = {self.path(run) for run in runs}
        paths = [path for path in sorted((self.out / "runs").glob("*.json")) if path not in known]
        return [
            f"{each['configuration']}, {each['condition']}, seed {each['seed']}"
            for each in map(self._read, paths)
            if each["state"] == "finished"
        ]

    def is_finished(self, run: Run) -> bool:
        record = self.read(run)
        return record is not None and record["state"] == "finished"

    def write(self, run: Run, state: str, seconds: float, threads: int, code: int | None = None) -> None:
        """Note how far a run is, with no folder of this machine, so that it can be published."""
        line = [part.replace(f"{self.out}{os.sep}", "") for part in self.command.arguments(run)]
        line = [recipe_name(Path(line[0])), *(FOLDERS.sub("", part) for part in line[1:])]
        write_json(
            self.path(run),
            {
                "state": state, "exit_code": code, "seconds": round(seconds, 1), "threads": threads,
                "seed": run.seed,
                "configuration": run.configuration.name, "condition": run.condition,
                "fingerprint": run.fingerprint(self.command.recipe), "values": published(run.decisive),
                "files": self.files(run), "recipe_sha256": self.recipe_checksum,
                "command": shlex.join(["cmd-speaker", "train", *line]),
            },
        )  # fmt: skip

    def refuse_changed(self, runs: Sequence[Run]) -> None:
        """Raise `DataErrors` where a run of that name was done with other values, or files, than there are now.

        One that failed left no result: with its mistake corrected it is tried again.
        """
        errors = []
        for run in runs:
            record = self.read(run)
            if record is None or record["state"] == "failed":
                continue
            then, files = record.get("files", {}), self.files(run)
            changed_files = [key for key in then.keys() & files.keys() if then[key] != files[key]]
            if record["fingerprint"] == run.fingerprint(self.command.recipe) and not changed_files:
                continue
            before = record["values"] | {key: f"SHA-256 {then[key][:12]}..." for key in changed_files}
            now = published(run.decisive) | {key: f"SHA-256 {files[key][:12]}..." for key in changed_files}
            changed = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
            errors.append(
                DataError(
                    f"{run.label} was run with other values", file=self.path(run),
                    expected=", ".join(f"{key}: {before.get(key)}" for key in changed) or "the same folders",
                    found=", ".join(f"{key}: {now.get(key)}" for key in changed)
                    or f"{self.command.recipe.name}, values that name other folders",
                    fix="Choose another --out or another name, or delete this run: record, log and folder",
                )
            )  # fmt: skip
        if errors:
            raise DataErrors(f"{len(errors)} runs do not fit the study any more", errors)


def published(value: Any) -> Any:
    """A value as JSON has it, with no folder of this machine."""
    return json.loads(FOLDERS.sub("", json.dumps(value)))


@dataclass
class _Job:
    run: Run
    process: subprocess.Popen[bytes]
    began: float
    before: float
    """Seconds of earlier attempts."""
    resources: ExitStack


class Runner:
    """Does runs, `jobs` at a time; a finished one is never done again, one that was broken off goes on."""

    def __init__(self, records: Records, jobs: int) -> None:
        self.records, self.jobs = records, jobs
        # What is set outside wins: a run has the same bits on the same number of threads only.
        given = os.environ.get("OMP_NUM_THREADS", "")
        self.threads = int(given) if given.isdecimal() else max(1, (os.cpu_count() or 1) // jobs)
        self.environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}

    def run(self, runs: Sequence[Run], what: str) -> list[Failure]:
        """Do those that are not finished; the failures, which do not stop the others."""
        left = [run for run in runs if not self.records.is_finished(run)]
        if runs:
            print(f"{what}: {len(runs)} runs, {len(runs) - len(left)} of them done before", file=sys.stderr)
        done, failures, active, total = list[float](), list[Failure](), list[_Job](), len(left)
        try:
            while left or active:
                while left and len(active) < self.jobs:
                    active.append(self._start(left.pop(0)))
                time.sleep(PAUSE)
                for job in [job for job in active if job.process.poll() is not None]:
                    active.remove(job)
                    failures += self._end(job)
                    done.append(time.monotonic() - job.began)
                    self._say(job, done, total)
        finally:
            self._stop(active)
        return failures

    def _start(self, run: Run) -> _Job:
        folder, log = self.records.folder(run), self.records.log(run)
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as resources:
            # The process inherits the lock: should this one be killed, the next waits until the orphan is done.
            waiting = f"{run.label}: waiting for the process of an earlier call"
            lock = resources.enter_context(locked(folder, waiting=waiting))
            before = (self.records.read(run) or {"seconds": 0.0})["seconds"]
            self.records.write(run, "begun", before, self.threads)
            output: IO[bytes] = resources.enter_context(log.open("ab"))
            process = subprocess.Popen(
                self.records.command.line(run), stdout=output, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, env=self.environment, pass_fds=() if lock is None else (lock,),
            )  # fmt: skip
            return _Job(run, process, time.monotonic(), before, resources.pop_all())
        raise AssertionError("unreachable")

    def _end(self, job: _Job) -> list[Failure]:
        job.resources.close()
        code, seconds = job.process.returncode, job.before + time.monotonic() - job.began
        self.records.write(job.run, "failed" if code else "finished", seconds, self.threads, code)
        return [Failure(job.run, code, self.records.log(job.run))] if code else []

    def _say(self, job: _Job, done: Sequence[float], total: int) -> None:
        seconds, left = done[-1], total - len(done)
        how = f"exit code {job.process.returncode}" if job.process.returncode else f"{seconds:.0f} s"
        rest = f", about {_duration(sum(done) / len(done) * left / self.jobs)} left" if left else ""
        print(f"[{len(done)}/{total}] {job.run.label}: {how}{rest}", file=sys.stderr, flush=True)

    def _stop(self, active: Sequence[_Job]) -> None:
        """End what still runs, after Ctrl-C or an error; it goes on from its last checkpoint next time."""
        for job in active:
            job.process.terminate()
        for job in active:
            try:
                job.process.wait(ENDING)
            except subprocess.TimeoutExpired:
                job.process.kill()
                job.process.wait()
            job.resources.close()


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes >= 60
        else f"{minutes} min"
        if minutes
        else "a minute"
    )


def failures_error(failures: Sequence[Failure], total: int) -> DataErrors:
    """The failed runs with the ends of their logs."""
    errors = [
        DataError(f"{failure.run.label}: exit code {failure.code}\n{failure.tail()}", file=failure.log)
        for failure in failures
    ]
    return DataErrors(f"{len(failures)} of {total} runs failed; the others are done", errors)
