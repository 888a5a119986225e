"""The tables of an evaluation, the same for the terminal, Markdown and HTML: rows of text under a caption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan

from cmd_speaker.evaluation.bootstrap import Difference, Interval
from cmd_speaker.evaluation.breakdown import Group
from cmd_speaker.evaluation.operating_point import OperatingPoint
from cmd_speaker.evaluation.summary import Summary
from cmd_speaker.report.evaluation import Evaluation, System

NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """The first cell of a row says what the row is about; `note` is what a reader of the numbers must know."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def percent(fraction: float | None) -> str:
    """A rate, with enough digits for the small ones."""
    if fraction is None:
        return NOTHING
    return f"{100 * fraction:.3f} %" if 0 < fraction < 0.001 else f"{100 * fraction:.2f} %"


def percent_interval(fraction: float | None, interval: Interval | None) -> str:
    """A rate with its interval, where it has one."""
    if interval is None:
        return percent(fraction)
    return f"{percent(fraction)} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def cost(value: float | None, interval: Interval | None = None) -> str:
    """A normalised cost or a Cllr with its interval, where there are such."""
    if value is None:
        return NOTHING
    return f"{value:.3f}" if interval is None else f"{value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def in_words(point: OperatingPoint) -> str:
    """An operating point with its costs, where they are not 1."""
    text = f"P_target {point.p_target:g}"
    return (
        text if point.c_miss == point.c_fa == 1 else f"{text}, C_miss {point.c_miss:g}, C_fa {point.c_fa:g}"
    )


def figures(systems: Sequence[System]) -> Table:
    """A column for each system; a measure that no system has is left out."""
    columns = [dict(_measures(system.summary)) for system in systems]
    rows = [(name, *(column.get(name, NOTHING) for column in columns)) for name in columns[0]]
    rows = [row for row in rows if set(row[1:]) != {NOTHING}]
    bounded = any(eer_interval(system.summary) for system in systems)
    note = "In brackets: 95 % intervals over speakers. " if bounded else ""
    note += (
        "Costs are normalised: 1 is what accepting or rejecting every trial costs, the cheaper of the two. "
    )
    note += "minDCF(P_target, C_miss, C_fa): costs of 1 are left out. "
    note += "Cllr in bits: 0 is perfect, 1 is what no information costs."
    return Table("Error rates and costs", ("measure", *(system.name for system in systems)), rows, note)


def eer_interval(summary: Summary) -> Interval | None:
    """The interval of the EER, where there is one."""
    if summary.eer_low is None or summary.eer_high is None:
        return None
    return Interval(summary.eer_low, summary.eer_high)


def _measures(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "EER", percent_interval(summary.eer, eer_interval(summary))
    for far, miss in summary.miss_at_far.items():
        yield f"miss rate at FAR {100 * far:g} %", percent_interval(miss, summary.miss_intervals.get(far))
    for at in summary.costs:
        yield f"minDCF({at.point})", cost(at.min_dcf, at.min_dcf_interval)
        yield f"actDCF({at.point})", cost(at.act_dcf, at.act_dcf_interval)
    yield "min Cllr", cost(summary.min_cllr, summary.min_cllr_interval)
    yield "Cllr", cost(summary.cllr, summary.cllr_interval)
    yield "threshold at the EER", f"{summary.eer_threshold:.4f}"
    yield "targets", f"{summary.targets:,}"
    yield "nontargets", f"{summary.nontargets:,}"
    yield "speakers", NOTHING if summary.speakers is None else f"{summary.speakers:,}"


def differences(systems: Sequence[System]) -> Table | None:
    """Each system minus the first, paired; None without speakers or for a single system."""
    rows = []
    for system in systems[1:]:
        if system.difference is None:
            return None
        rows.append((system.name, "EER", *_difference(system.difference.eer, 100, "points")))
        for kind, found in (("min", system.difference.min_dcf), ("act", system.difference.act_dcf)):
            for point, difference in found.items():
                rows.append((system.name, f"{kind}DCF({point})", *_difference(difference, 1, "")))
        if system.difference.cllr is not None:
            rows.append((system.name, "Cllr", *_difference(system.difference.cllr, 1, "")))
    if not rows:
        return None
    header = ("system", "measure", f"minus {systems[0].name} [95 %]", "relative", "interval excludes zero")
    note = "Paired: on the same trials, with the same draws of speakers. Below zero is better than the first."
    return Table(f"Differences from {systems[0].name}", header, rows, note)


def _difference(found: Difference, factor: int, unit: str) -> tuple[str, str, str]:
    digits = 2 if factor == 100 else 3
    numbers = [
        f"{factor * x:+.{digits}f}" for x in (found.difference, found.interval.low, found.interval.high)
    ]
    relative = NOTHING if isnan(found.relative) else f"{found.relative:+.1%}"
    value = f"{numbers[0]} {unit}".rstrip()
    return f"{value} [{numbers[1]}, {numbers[2]}]", relative, "yes" if excludes_zero(found.interval) else "no"


def excludes_zero(interval: Interval) -> bool:
    """Whether the difference would have its sign with other speakers too, as far as the interval tells."""
    return interval.low > 0 or interval.high < 0


def breakdowns(systems: Sequence[System]) -> list[Table]:
    """A table for every column that groups are made of; the systems stand below each other in every group."""
    columns = dict.fromkeys(group.column for system in systems for group in system.groups)
    return [_breakdown(column, systems) for column in columns]


def _breakdown(column: str, systems: Sequence[System]) -> Table:
    names = dict.fromkeys(
        group.name for system in systems for group in system.groups if group.column == column
    )
    rows = [
        (group.name, system.name, *_group(group))
        for name in names
        for system in systems
        for group in system.groups
        if (group.column, group.name) == (column, name)
    ]
    header = (column, "system", "EER [95 %]", "FAR", "miss rate", "targets", "nontargets", "speakers")
    shared = ", ".join(f"{system.summary.eer_threshold:.4f} ({system.name})" for system in systems)
    note = f"EER: the group's own. FAR and miss rate: at the threshold of the whole list's EER, {shared}."
    return Table(f"By {column}", header, rows, note)


def _group(group: Group) -> tuple[str, ...]:
    return (
        percent_interval(group.eer, group.eer_interval),
        percent(group.far),
        percent(group.frr),
        f"{group.targets:,}",
        f"{group.nontargets:,}",
        NOTHING if group.speakers is None else f"{group.speakers:,}",
    )


def facts(evaluation: Evaluation) -> list[Table]:
    """On what and how it was measured: for all systems, then for each."""
    tables = [Table("All systems", ("fact", "value"), list(evaluation.facts.items()))]
    return tables + [
        Table(system.name, ("fact", "value"), list(system.facts.items())) for system in evaluation.systems
    ]


def text_table(table: Table) -> str:
    """The table in columns, for a terminal."""
    lines = [table.header, *table.rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(table.header))]
    written = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([table.caption, "", written[0], "-" * (sum(widths) + 2 * len(widths) - 2), *written[1:]])
