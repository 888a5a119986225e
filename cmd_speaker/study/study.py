"""From a study file to its results: screening, choice, final runs, noise, page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from cmd_speaker.errors import CmdSpeakerError, DataError, DataErrors
from cmd_speaker.files import locked
from cmd_speaker.progress import track
from cmd_speaker.study.analysis import analyse
from cmd_speaker.study.collection import finished
from cmd_speaker.study.noise import measure_noise
from cmd_speaker.study.outcome import Outcome, choose
from cmd_speaker.study.plan import Command, Run, Stage, final_runs, screening_runs
from cmd_speaker.study.report import RESULTS, Findings, write_results
from cmd_speaker.study.runner import Records, Runner
from cmd_speaker.study.spec import Study
from cmd_speaker.training.recipe import check_recipe


@dataclass(frozen=True)
class Conducted:
    """What came out of a call: the written files, and the runs that failed of all."""

    findings: Findings
    written: Sequence[Path]


def conduct(study: Study, out: Path, jobs: int) -> Conducted:
    """Do what is left of a study in the folder `out`, and write its results there; failed runs are in the outcome.

    Raises `DataError` where another process works in `out` or it holds other results, and `DataErrors` where runs
    there were done with other values; then nothing is run.
    """
    out = out.resolve()
    _refuse_other_results(out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(out, wait=False):
            outcome = _run(study, Records(Command(study, out)), jobs)
            compared = analyse(outcome.final, study)
            findings = Findings(outcome, compared, {})
            written = write_results(findings, out)
            if study.noise:
                # Whatever the noise meets, the results are there.
                findings = replace(findings, noise=measure_noise(study, compared, out / "noise"))
                written = write_results(findings, out)
            return Conducted(findings, written)
    except BlockingIOError as error:
        raise DataError(
            "another study is running in this folder", file=out, expected="one at a time",
            fix="Wait for it, or choose another --out",
        ) from error  # fmt: skip


def _refuse_other_results(out: Path) -> None:
    """Files called as a study's, in a folder where no study was begun, are somebody else's."""
    found = [name for name in RESULTS if (out / name).exists()]
    if found and not any((out / stage).is_dir() for stage in get_args(Stage)):
        raise DataError(
            "the folder holds results that no study made there", file=out,
            expected="an empty folder, or a study's", found=", ".join(found),
            fix="Choose another --out",
        )  # fmt: skip


def _run(study: Study, records: Records, jobs: int) -> Outcome:
    screening, runner = screening_runs(study), Runner(records, jobs)
    everything = {condition: list(study.configurations) for condition in study.conditions}
    # Of the final runs, all that there could be: which are chosen is not known yet.
    possible = [*screening, *final_runs(study, everything)]
    records.refuse_changed(possible)
    _refuse_impossible(study, records, possible)
    failures = runner.run(screening, "Screening")
    screened = finished(records, screening)
    chosen = choose(study, screened) if study.screen else everything
    final = final_runs(study, chosen)
    failures += runner.run(final, "Final runs")
    return Outcome(study, screened, chosen, finished(records, final), failures, records.others(final))


def _refuse_impossible(study: Study, records: Records, runs: Sequence[Run]) -> None:
    """Build every recipe that is to be run, once for all seeds: a mistake in the last must not wait."""
    left = {
        (run.stage, run.configuration.name, run.condition): run
        for run in runs
        # A control has the values of its configuration.
        if run.configuration.name in study.configurations and not records.is_finished(run)
    }
    found: dict[str, list[str]] = {}
    for run in track(list(left.values()), "Checking the recipe's values"):
        try:
            check_recipe(records.command.arguments(run))
        except CmdSpeakerError as error:
            name = f"{run.configuration.name}, {run.condition}" + (
                ", screening" if run.stage == "screening" else ""
            )
            found.setdefault(str(error), []).append(name)
    if found:
        errors = [DataError(f"{'; '.join(some)}: {text}") for text, some in found.items()]
        raise DataErrors(
            f"{study.path}: {sum(map(len, found.values()))} of {len(left)} cannot be run",
            errors,
        )
