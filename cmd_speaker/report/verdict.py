"""What the figures say, in sentences that promise no more than the intervals do."""

from __future__ import annotations

from collections.abc import Sequence

from cmd_speaker.evaluation.bootstrap import Difference
from cmd_speaker.evaluation.evaluation import System
from cmd_speaker.report.tables import eer_interval, excludes_zero, percent


def verdict(system: System) -> str:
    """One sentence about one system."""
    summary, interval = system.summary, eer_interval(system.summary)
    text = f"{system.name}: EER {percent(summary.eer)}"
    if interval is not None:
        text += (
            f", with other speakers between {100 * interval.low:.2f} and {100 * interval.high:.2f} % (95 %)"
        )
    at = summary.costs[0]
    if at.act_dcf is None:
        return f"{text}; at P_target {at.point} the best threshold costs {at.min_dcf:.3f}, and the scores are not calibrated."
    return f"{text}; decisions for P_target {at.point} cost {at.act_dcf:.3f}, where the best threshold would cost {at.min_dcf:.3f}."


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
    begin = f"The EER of {name} is {size:.2f} points {word} than that of {first}; the 95 % interval of the difference"
    if found.difference == 0:
        begin = f"The EERs of {name} and {first} are equal; the 95 % interval of the difference"
    begin += f", {low:+.2f} to {high:+.2f}, "
    if excludes_zero(found.interval):
        return begin + "excludes zero: expect a difference of this sign with other speakers too."
    return begin + "includes zero: with these speakers it cannot be told which of the two is better."
