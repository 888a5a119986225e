"""The results of a study for people and machines: one self-contained page, Markdown and JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from cmd_speaker import __version__
from cmd_speaker.evaluation.comparison import Row, caution, describe
from cmd_speaker.files import file_checksum, write_atomically, write_json
from cmd_speaker.report.content import Section
from cmd_speaker.report.figures import Figure
from cmd_speaker.report.markdown import markdown_text
from cmd_speaker.report.page import html_page
from cmd_speaker.report.tables import Table
from cmd_speaker.study.analysis import Compared, Pair
from cmd_speaker.study.collection import Result, by_validation, grouped
from cmd_speaker.study.outcome import RULE, Outcome
from cmd_speaker.study.plan import recipe_name
from cmd_speaker.study.plots import curve_figures, differences_figure, noise_figure, sweep_figure
from cmd_speaker.study.runner import published
from cmd_speaker.study.spec import Configuration
from cmd_speaker.study.tables import final_table, noise_table, pairs_table, runs_table, screening_table
from cmd_speaker.study.verdict import verdicts

RESULTS = PAGE, TEXT, MACHINE = "study.html", "results.md", "results.json"
LISTS = (".csv", ".txt")
"""Ends of the names of manifests and lists."""
Noise = Mapping[str, Mapping[str, Sequence[Row]]]
"""Condition -> level of noise -> baseline and best configuration."""


@dataclass(frozen=True)
class Findings:
    """What a study ran and what that says."""

    outcome: Outcome
    compared: Sequence[Compared]
    noise: Noise

    @property
    def results(self) -> list[Result]:
        """All finished runs."""
        return [*self.outcome.screened, *self.outcome.final]


def write_results(findings: Findings, folder: Path) -> list[Path]:
    """Write page, Markdown and JSON; their paths."""
    study = findings.outcome.study
    sections, warnings = content(findings), _warnings(findings)
    title = f"Study: {study.title}"
    made_by = f"cmd-speaker {__version__}, {date.today().isoformat()}."
    texts = {
        PAGE: html_page(title, sections, warnings, made_by),
        TEXT: markdown_text(title, sections, warnings),
    }
    for name, text in texts.items():
        with write_atomically(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_json(folder / MACHINE, published(as_json(findings)))
    return [folder / name for name in RESULTS]


def content(findings: Findings) -> list[Section]:
    """The page's sections: what helped first, then everything that it rests on."""
    outcome, study = findings.outcome, findings.outcome.study
    complete = [part for part in findings.compared if part.lines]
    pictures = [
        differences_figure(f"differences-{number}", part, study.baseline)
        for number, part in enumerate(complete)
        if len(part.lines) > 1
    ]
    tables = [final_table(part, study.baseline) for part in complete]
    tables += [pairs_table(part) for part in complete if part.pairs]
    on = [f"{part.condition}: {describe([line.row for line in part.lines])}." for part in complete]
    sections = [
        Section("helped", "What helped", verdicts(findings.compared), (), pictures),
        Section("final", "Final runs", on, tables),
    ]
    if study.screen is not None:
        always = [study.baseline, *study.always]
        found = [
            screening_table(outcome.screened, condition, outcome.chosen[condition], always)
            for condition in study.conditions
        ]
        sections.append(Section("screening", "Screening", [_how_chosen(outcome)], found))
    if sweeps := _sweeps(findings):
        sections.append(Section("margin", "Margin sweep", (), (), sweeps))
    if findings.noise:
        sections.append(_noise(findings.noise))
    curves = [
        each for number, part in enumerate(complete) for each in curve_figures(part, f"curves-{number}")
    ]
    if curves:
        sections.append(
            Section(
                "curves",
                "Training curves",
                ["Mean over the seeds; the baseline and those of the lowest validation EER."],
                (),
                curves,
            )
        )
    sections.append(
        Section("facts", "How this was measured", (), [_facts(findings), runs_table(findings.results)])
    )
    return sections


def _warnings(findings: Findings) -> list[str]:
    outcome = findings.outcome
    warnings = [f"{failure.run.label} failed with exit code {failure.code}" for failure in outcome.failures]
    for part in findings.compared:
        names = ", ".join(part.incomplete)
        warnings += [f"{part.condition}: not all seeds are done, so not compared: {names}"] if names else []
        warnings += (
            [caution([line.row for line in part.lines]).removeprefix("Note: ").rstrip(".")]
            if part.lines
            else []
        )
    warnings += _changes(findings)
    commits = {str(result.provenance()["commit"]) for result in findings.results}
    if len(commits) > 1:
        warnings.append(
            f"the runs were made by {len(commits)} versions of the code: {', '.join(sorted(commits))}"
        )
    threads = sorted({result.record["threads"] for result in findings.results if "threads" in result.record})
    if len(threads) > 1:
        numbers = " and ".join(map(str, threads))
        warnings.append(
            f"the runs were made on {numbers} threads, which alone makes the bits of a run differ"
        )
    return list(dict.fromkeys(filter(None, warnings)))


def _changes(findings: Findings) -> list[str]:
    """What of a study was not the same from its first call to this one."""
    outcome, results = findings.outcome, findings.results
    warnings = []
    if outcome.others:
        warnings.append(
            f"{len(outcome.others)} runs met the test list too, but are not among the final ones any more: "
            + "; ".join(outcome.others)
        )
    recipe = file_checksum(outcome.study.recipe)
    if before := sum(result.record.get("recipe_sha256", recipe) != recipe for result in results):
        warnings.append(f"{outcome.study.recipe.name} was changed after {before} of {len(results)} runs")
    for part in findings.compared:
        lists: dict[str, set[str]] = {}
        for result in (result for line in part.lines for result in line.results):
            for name, checksum in result.checksums().items():
                if name.endswith(LISTS):
                    lists.setdefault(name, set()).add(checksum)
        if differing := [name for name, found in lists.items() if len(found) > 1]:
            warnings.append(f"{part.condition}: not all runs had the same {', '.join(differing)}")
    return warnings


def _how_chosen(outcome: Outcome) -> str:
    study = outcome.study
    assert study.screen is not None
    tried = len(study.configurations) * len(study.conditions)
    return (
        f"{tried} configurations were tried (all are listed) with {len(study.screen.seeds)} seed(s) and without "
        f"the test list. The best {study.best} of each condition were chosen by the {RULE}; each then met the "
        "test list once a seed."
    )


def _sweeps(findings: Findings) -> list[Figure]:
    figures, outcome = [], findings.outcome
    for number, condition in enumerate(outcome.study.conditions):
        found = grouped(outcome.screened, condition)
        validated = [(runs[0].run.configuration, by_validation(runs)) for runs in found.values()]
        base = [by_validation([run]) for run in found.get(outcome.study.baseline, [])]
        figures.append(sweep_figure(f"screened-{number}", f"Validation EER, {condition},", validated, base))
    for number, part in enumerate(findings.compared):
        tested: list[tuple[Configuration, float]] = [
            (line.configuration, line.row.eer) for line in part.lines
        ]
        base = [run.eer for run in part.lines[0].row.runs] if part.lines else []
        figures.append(sweep_figure(f"sweep-{number}", f"Test EER, {part.condition},", tested, base))
    return [figure for figure in figures if figure is not None]


def _noise(noise: Noise) -> Section:
    figures, tables = [], []
    for number, (condition, levels) in enumerate(noise.items()):
        clean, *noisy = levels.values()
        snrs = [float(level.split()[0]) for level in list(levels)[1:]]
        eers = {
            row.name: {snr: rows[k].eer for snr, rows in zip(snrs, noisy, strict=True)}
            for k, row in enumerate(clean)
        }
        at_rest = {row.name: row.eer for row in clean}
        figures.append(noise_figure(f"noise-{number}", condition, eers, at_rest))
        tables.append(noise_table(condition, levels))
    text = (
        "White noise added to the speech of all trials, the same noise for every system; the baseline, and the "
        "configuration with the lowest validation EER of the final runs."
    )
    return Section("noise", "Noise", [text], tables, figures)


def _facts(findings: Findings) -> Table:
    outcome, study = findings.outcome, findings.outcome.study
    seconds = sum(result.record["seconds"] for result in findings.results)
    facts = {
        "Study file": f"{study.path.name}, SHA-256 {file_checksum(study.path)}",
        "Recipe": f"{recipe_name(study.recipe)}, SHA-256 {file_checksum(study.recipe)}",
        "Runs": f"{len(outcome.screened)} screening, {len(outcome.final)} final, {len(outcome.failures)} failed",
        "Seeds": ", ".join(map(str, study.final.seeds)),
        "Time": f"{seconds:,.0f} s of runs, on {os.cpu_count()} processors",
        "Version": f"cmd-speaker {__version__}",
    }
    if findings.results:
        last = findings.results[-1]
        facts["Commit"] = str(last.provenance()["commit"])
        facts["Made with"] = ", ".join(f"{k} {v}" for k, v in last.provenance()["versions"].items())
        found: dict[str, dict[str, None]] = {}
        for result in findings.results:
            for name, checksum in result.checksums().items():
                if name.endswith(LISTS):
                    found.setdefault(name, {})[checksum] = None
        # Several conditions have several versions of a list.
        facts |= {f"SHA-256 of {name}": ", ".join(versions) for name, versions in found.items()}
    return Table("Facts", ("what", "value"), list(facts.items()))


def as_json(findings: Findings) -> dict[str, Any]:
    """Everything, unrounded; error rates as fractions."""
    outcome, study = findings.outcome, findings.outcome.study
    return {
        "title": study.title,
        "study": {"name": study.path.name, "sha256": file_checksum(study.path)},
        "verdicts": verdicts(findings.compared),
        "tried": list(study.configurations),
        "rule": RULE if study.screen else None,
        "chosen": {condition: list(names) for condition, names in outcome.chosen.items()},
        "compared": {part.condition: [line.as_dict() for line in part.lines] for part in findings.compared},
        "pairs": {part.condition: [_pair_as_json(pair) for pair in part.pairs] for part in findings.compared},
        "incomplete": {part.condition: list(part.incomplete) for part in findings.compared},
        "noise": {
            condition: {level: {row.name: row.as_dict() for row in rows} for level, rows in levels.items()}
            for condition, levels in findings.noise.items()
        },
        "runs": [_run_as_json(result) for result in findings.results],
        "other_final_runs": list(outcome.others),
        "failed": [{"run": each.run.label, "exit_code": each.code} for each in outcome.failures],
    }  # fmt: skip


def _pair_as_json(pair: Pair) -> dict[str, Any]:
    return {"first": pair.first, "second": pair.second, "eer": pair.difference.as_dict()}


def _run_as_json(result: Result) -> dict[str, Any]:
    return {
        "stage": "final" if result.run.stage == "runs" else "screening",
        **result.record,
        **result.provenance(),
        "checksums": result.checksums(),
        "validation_eer": result.validation_eer,
        "last_epoch": result.epochs[-1],
    }
