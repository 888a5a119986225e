"""The tables of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cmd_speaker.evaluation.comparison import Row
from cmd_speaker.report.tables import NOTHING, Table
from cmd_speaker.study.analysis import Compared, Line, sign
from cmd_speaker.study.collection import Result, by_validation, grouped
from cmd_speaker.study.verdict import points

WORDS = {-1: "better", 0: "cannot be told", 1: "worse"}
FINAL_NOTE = (
    "EER in %, mean over the seeds and each of them. Differences in points of EER, in brackets 95 % intervals "
    "over speakers, paired by trial and seed; costs for P_target 0.05. The last columns are of the last epoch, "
    "mean over the seeds."
)


def final_table(compared: Compared, baseline: str) -> Table:
    """A row for each configuration of a condition; a column that would be empty is left out."""
    header = [
        "configuration", "EER %", "minDCF", f"EER - {baseline}", "relative", f"control - {baseline}",
        "minus its control", "validation EER %", "outside the margin", "training losses",
    ]  # fmt: skip
    rows = [_final_row(line) for line in compared.lines]
    filled = [k for k in range(len(header)) if any(row[k] != NOTHING for row in rows)]
    return Table(
        f"Final runs: {compared.condition}", [header[k] for k in filled],
        [[row[k] for k in filled] for row in rows], FINAL_NOTE,
    )  # fmt: skip


def pairs_table(compared: Compared) -> Table:
    """What each second configuration has gained over the first."""
    rows = [(pair.first, pair.second, points(pair.difference), WORDS[sign(pair.difference.interval)])
            for pair in compared.pairs]  # fmt: skip
    return Table(
        f"Pairs: {compared.condition}", ("first", "second", "EER of the second minus the first's", ""), rows,
        "In brackets 95 % intervals over speakers, paired by trial and seed.",
    )  # fmt: skip


def _final_row(line: Line) -> list[str]:
    eers = " / ".join(f"{100 * run.eer:.2f}" for run in line.row.runs)
    difference = line.difference
    control = line.control.difference if line.control else None
    return [
        line.name,
        f"{100 * line.row.eer:.2f} ({eers})" if len(line.row.runs) > 1 else eers,
        f"{line.row.min_dcf:.3f}",
        points(difference) if difference else NOTHING,
        f"{difference.relative:+.1%}" if difference and difference.a else NOTHING,
        points(control.eer) if control else NOTHING,
        points(line.beyond_control) if line.beyond_control else NOTHING,
        _percent(line.validation_eer),
        _figures(line.outside),
        _figures(line.losses),
    ]


def _percent(rate: float | None) -> str:
    return NOTHING if rate is None else f"{100 * rate:.2f}"


def _figures(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items()) or NOTHING


def screening_table(
    results: Sequence[Result], condition: str, chosen: Sequence[str], always: Sequence[str]
) -> Table:
    """Every configuration that was tried in a condition, the best first, and what became of it."""
    found = sorted((by_validation(runs), name, runs) for name, runs in grouped(results, condition).items())
    rows = []
    for rate, name, runs in found:
        place = f"chosen, place {chosen.index(name) + 1}" if name in chosen else NOTHING
        each = " / ".join(_percent(run.validation_eer) for run in runs)
        cell = f"{100 * rate:.2f} ({each})" if len(runs) > 1 else each
        rows.append([name, cell, "always final" if name in always else place, _figures(_outside(runs[0]))])
    return Table(
        f"Screened: {condition}", ("configuration", "validation EER %", "", "outside the margin"), rows
    )


def _outside(result: Result) -> dict[str, float]:
    last = result.epochs[-1]
    names = [name for name in last if name.endswith("_active")]
    return {name.removeprefix("train ").removesuffix("_active"): last[name] for name in names}


def noise_table(condition: str, rows: Mapping[str, Sequence[Row]]) -> Table:
    """For every level of noise the systems and their differences from the first; `rows` by the level's name."""
    cells = [
        [level, row.name, f"{100 * row.eer:.2f}", points(row.difference.eer) if row.difference else NOTHING]
        for level, found in rows.items()
        for row in found
    ]
    header = ("noise", "configuration", "EER %", "difference")
    return Table(f"Noise in the test speech: {condition}", header, cells)


def runs_table(results: Sequence[Result]) -> Table:
    """Every finished run with its seconds."""
    rows = [
        [
            "final" if each.run.stage == "runs" else "screening",
            each.run.label,
            f"{each.record['seconds']:.0f}",
        ]
        for each in results
    ]
    return Table("Runs that are finished", ("stage", "run", "seconds"), rows, "Commands are in results.json.")
