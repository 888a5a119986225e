"""What the figures say, in sentences that promise no more than the intervals do."""

from __future__ import annotations

from collections.abc import Sequence

from cmd_speaker.evaluation.bootstrap import Difference
from cmd_speaker.report.evaluation import System
from cmd_speaker.report.tables import eer_interval, excludes_zero, in_words, percent


def verdict(system: System) -> str:
    """One sentence about one system."""
    summary, interval = system.summary, eer_interval(system.summary)
    text = f"{system.name}: EER {percent(summary.eer)}"
    if interval is not None:
        text += f" (95 % interval over speakers {100 * interval.low:.2f} to {100 * interval.high:.2f} %)"
    at = summary.costs[0]
    if at.act_dcf is None:
        best = f"least cost for {in_words(at.point)}: {at.min_dcf:.3f}"
        return f"{text}; {best}, at a threshold that uncalibrated scores do not tell."
    text += f"; decisions for {in_words(at.point)} cost {at.act_dcf:.3f}; the best threshold would cost {at.min_dcf:.3f}"
    return f"{text}: worse than not listening at all, which costs 1." if at.act_dcf > 1 else f"{text}."


def comparisons(systems: Sequence[System]) -> list[str]:
    """For each system but the first: whether its EER differs from the first one's, and what follows."""
    return [
        _comparison(system.name, systems[0].name, system.difference.eer)
        for system in systems[1:]
        if system.difference is not None
    ]


def _comparison(name: str, first: str, found: Difference) -> str:
    low, high = 100 * found.interval.low, 100 * found.interval.high
    size, word = abs(100 * found.difference), "lower" if found.difference < 0 else "higher"
    begin = f"The EER of {name} is {size:.2f} points {word} than that of {first}"
    if found.difference == 0:
        begin = f"The EERs of {name} and {first} are equal"
    begin += f"; the 95 % interval of the difference, {low:+.2f} to {high:+.2f}, "
    if excludes_zero(found.interval):
        return begin + "excludes zero: expect a difference of this sign with other speakers too."
    return begin + "includes zero: with these speakers it cannot be told which of the two is better."
