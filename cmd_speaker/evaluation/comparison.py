"""Several systems on one trial list beside a baseline: the table that says what helped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from cmd_speaker.evaluation.bootstrap import Difference, PairedDifference, paired_difference
from cmd_speaker.evaluation.summary import Summary, summarise
from cmd_speaker.lists.scores import Scores

HEADER = ("system", "EER %{brackets}", "minDCF(0.05)", "EER - {baseline}, points [95 %]", "relative")


@dataclass(frozen=True)
class Row:
    """One system: a summary of each run (seed), and the paired difference from the baseline over all runs."""

    name: str
    runs: Sequence[Summary]
    difference: PairedDifference | None

    @property
    def eer(self) -> float:
        """Mean over the runs, a fraction."""
        return sum(run.eer for run in self.runs) / len(self.runs)

    @property
    def min_dcf(self) -> float:
        """Mean over the runs, normalised, P_target 0.05."""
        return sum(run.min_dcf_005 for run in self.runs) / len(self.runs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; error rates as fractions."""
        return {
            "runs": [run.as_dict() for run in self.runs],
            "eer": self.eer,
            "eer_difference": self.difference and self.difference.eer.as_dict(),
        }

    def cells(self) -> tuple[str, ...]:
        """What stands in the table, in the order of `HEADER`."""
        if len(self.runs) > 1:
            eer = f"{100 * self.eer:.2f}  ({' / '.join(f'{100 * run.eer:.2f}' for run in self.runs)})"
        else:
            only = self.runs[0]
            eer = f"{100 * only.eer:.2f}"
            if only.eer_low is not None and only.eer_high is not None:
                eer += f"  [{100 * only.eer_low:.2f}, {100 * only.eer_high:.2f}]"
        if self.difference is None:
            return (self.name, eer, f"{self.min_dcf:.3f}", "", "")
        points, relative = _points(self.difference.eer)
        return (self.name, eer, f"{self.min_dcf:.3f}", points, relative)


def _header(rows: Sequence[Row]) -> list[str]:
    brackets = " [95 %]" if len(rows[0].runs) == 1 else " (runs)"
    return [cell.format(baseline=rows[0].name, brackets=brackets) for cell in HEADER]


def _points(difference: Difference) -> tuple[str, str]:
    """Percentage points with their interval, and the relative difference (none from a perfect baseline)."""
    low, high = 100 * difference.interval.low, 100 * difference.interval.high
    relative = "" if isnan(difference.relative) else f"{difference.relative:+.1%}"
    return f"{100 * difference.difference:+.2f}  [{low:+.2f}, {high:+.2f}]", relative


def describe(rows: Sequence[Row]) -> str:
    """On what the rows were measured."""
    first = rows[0].runs[0]
    return f"{first.speakers} speakers, {first.targets:,} targets, {first.nontargets:,} nontargets"


def caution(rows: Sequence[Row]) -> str:
    """What a reader of the intervals must know, as a sentence; empty where there is nothing to say."""
    warning = rows[0].runs[0].warning
    return f"Note: {warning}." if warning else ""


def compare(
    systems: Mapping[str, Sequence[Scores]],
    utt2spk: Mapping[str, str],
    *,
    seed: int = 0,
    replicates: int = 1000,
) -> list[Row]:
    """A row for each system (name -> scores of its runs, all on one trial list); the first is the baseline.

    Runs are paired in order, so a system's k-th run and the baseline's k-th belong to one seed. Raises
    `DataError` as `summarise` and `paired_difference` do.
    """
    baseline, *_ = systems
    rows = []
    for name, runs in systems.items():
        summaries = [summarise(run, utt2spk, seed=seed, replicates=replicates) for run in runs]
        difference = None
        if name != baseline:
            common = min(len(runs), len(systems[baseline]))
            difference = paired_difference(
                systems[baseline][:common], runs[:common], utt2spk, seed, replicates=replicates
            )
        rows.append(Row(name, summaries, difference))
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows in columns, for a terminal of some 100 characters."""
    header = _header(rows)
    cells = [header, *(row.cells() for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "-" * sum((*widths, 2 * len(widths) - 2)), *lines[1:]])


def markdown(rows: Sequence[Row]) -> str:
    """The same table in Markdown."""
    header = _header(rows)
    lines = [header, ["---"] * len(header), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
