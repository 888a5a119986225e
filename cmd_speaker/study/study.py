"""From a study file to its results: screening, choice, final runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmd_speaker.errors import DataError, DataErrors
from cmd_speaker.files import locked
from cmd_speaker.study.collection import Result, finished, grouped, mean_validation
from cmd_speaker.study.plan import Command, Run, final_runs, screening_runs
from cmd_speaker.study.runner import Failure, Records, Runner
from cmd_speaker.study.spec import Study

RULE = "lowest validation EER, mean over the screening seeds; of equals the first by name"


@dataclass(frozen=True)
class Outcome:
    """All that a study has run: `chosen` are the configurations chosen in each condition, best first."""

    study: Study
    screened: Sequence[Result]
    chosen: Mapping[str, Sequence[str]]
    final: Sequence[Result]
    failures: Sequence[Failure]


def run_study(study: Study, out: Path, jobs: int) -> Outcome:
    """Do what is left of a study in the folder `out`; runs that fail are in the outcome.

    Raises `DataError` where another process works in `out`, and `DataErrors` where runs there were done with
    other values; then nothing is run.
    """
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(out, wait=False):
            return _run(study, Records(Command(study, out)), jobs)
    except BlockingIOError as error:
        raise DataError(
            "another study is running in this folder", file=out, expected="one at a time",
            fix="Wait for it, or choose another --out",
        ) from error  # fmt: skip


def _run(study: Study, records: Records, jobs: int) -> Outcome:
    screening, runner = screening_runs(study), Runner(records, jobs)
    everything = {condition: list(study.configurations) for condition in study.conditions}
    # Of the final runs, all that there could be: which are chosen is not known yet.
    records.refuse_changed([*screening, *final_runs(study, everything)])
    failures = runner.run(screening, "Screening")
    screened = finished(records, screening)
    chosen = choose(study, screened) if study.screen else everything
    final = final_runs(study, chosen)
    failures += runner.run(final, "Final runs")
    return Outcome(study, screened, chosen, finished(records, final), failures)


def choose(study: Study, screened: Sequence[Result]) -> dict[str, list[str]]:
    """The best configurations of each condition by `RULE`; the baseline takes no place among them.

    A configuration of which a screening run failed cannot be compared with the others, and is not chosen.
    """
    assert study.screen is not None
    chosen = {}
    for condition in study.conditions:
        ranked = sorted(
            (mean_validation(results), name)
            for name, results in grouped(screened, condition).items()
            if name != study.baseline and len(results) == len(study.screen.seeds)
        )
        chosen[condition] = [name for _, name in ranked[: study.best]]
    return chosen


def failures_error(failures: Sequence[Failure], total: int) -> DataErrors:
    """The failed runs with the ends of their logs."""
    errors = [
        DataError(f"{failure.run.label}: exit code {failure.code}\n{failure.tail()}", file=failure.log)
        for failure in failures
    ]
    return DataErrors(f"{len(failures)} of {total} runs failed; the others are done", errors)
