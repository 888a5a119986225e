"""What helped, what did not, and what cannot be told: in words that promise no more than the intervals do."""

from __future__ import annotations

from collections.abc import Sequence

from cmd_speaker.evaluation.bootstrap import Difference
from cmd_speaker.study.analysis import Compared, Line, sign

NOTHING_HELPED = "Nothing was shown to help."


def verdicts(compared: Sequence[Compared]) -> list[str]:
    """How much was compared, then what helped, a sentence each, what did harm, and what cannot be told."""
    found: dict[int, list[tuple[str, Line, Difference]]] = {-1: [], 0: [], 1: []}
    several = len(compared) > 1
    for part in compared:
        for line in part.lines:
            if line.difference is not None:
                name = f"{line.name}, {part.condition}" if several else line.name
                found[sign(line.difference.interval)].append((name, line, line.difference))
    if not any(found.values()) and all(part.lines and not part.incomplete for part in compared):
        return ["Nothing was compared: the baseline is all that there is."]
    if not any(found.values()):
        return ["Nothing was compared: the final runs are not complete."]
    texts = [_how_many(sum(map(len, found.values())))]
    texts += [_helped(*each) for each in found[-1]] or [NOTHING_HELPED]
    if found[1]:
        texts.append(f"Worse than the baseline: {_listed(found[1])}.")
    if found[0]:
        texts.append(
            f"Cannot be told with these speakers and seeds, as the interval contains 0: {_listed(found[0])}."
        )
    return texts


def _how_many(count: int) -> str:
    if count == 1:
        return "One configuration was compared with the baseline."
    chance = f"{count / 20:.1f}".rstrip("0").rstrip(".")
    return (
        f"{count} comparisons with the baseline, each with a 95 % interval: if no teacher changed anything, about "
        f"{chance} of them would still exclude 0 by chance."
    )


def _listed(found: Sequence[tuple[str, Line, Difference]]) -> str:
    return "; ".join(f"{name} {points(difference)}" for name, _, difference in found)


def _helped(name: str, line: Line, difference: Difference) -> str:
    return f"Better than the baseline: {name}, EER {points(difference)}. {_whose(line)}"


def _whose(line: Line) -> str:
    """Whether a gain is the teacher's knowledge: its control has the same losses, but wrong teachers."""
    beyond, control = line.beyond_control, line.control
    if beyond is None or control is None or control.difference is None:
        return "It has no control, so it cannot be told whether the teacher's knowledge made the difference."
    own = f"its permuted control {points(control.difference.eer)}"
    if sign(beyond.interval) < 0:
        return f"The teacher's knowledge helps: {own}, and it is better than that by {points(beyond)}."
    if sign(control.difference.eer.interval) < 0:
        differ = f"and the two differ by {points(beyond)}"
        return f"But this is not shown to be the teacher's knowledge: {own} too, {differ}."
    return (
        f"Whether by the teacher's knowledge cannot be told: {own}, and the two differ by {points(beyond)}."
    )


def points(difference: Difference) -> str:
    """Percentage points with their interval."""
    low, high = 100 * difference.interval.low, 100 * difference.interval.high
    return f"{100 * difference.difference:+.2f} points [{low:+.2f}, {high:+.2f}]"
