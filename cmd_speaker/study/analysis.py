"""What the final runs of a study say: every configuration beside the baseline and its control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmd_speaker.evaluation.bootstrap import Difference, paired_difference
from cmd_speaker.evaluation.comparison import Row, compare
from cmd_speaker.evaluation.intervals import Interval
from cmd_speaker.lists.speakers import load_utt2spk
from cmd_speaker.progress import track
from cmd_speaker.study.collection import Result, grouped, mean_validation
from cmd_speaker.study.spec import Configuration, Study, control_name

SEED, REPLICATES = 0, 1000
"""Of the bootstrap."""
NOT_A_LOSS = ("_active", "_weight", "_margin", ".weight")
"""Ends of the names of logged figures that are no loss."""
ACTIVE = "_active"
"""End of the names of the shares of samples outside the margin."""


@dataclass(frozen=True)
class Line:
    """A configuration in one condition, all its seeds done.

    `row` has EERs and the difference from the baseline. `control` is that of its permuted teachers and
    `beyond_control` how its EER differs from the control's, both None where it has no control.
    """

    configuration: Configuration
    results: Sequence[Result]
    row: Row
    control: Row | None = None
    beyond_control: Difference | None = None

    @property
    def name(self) -> str:
        return self.configuration.name

    @property
    def validation_eer(self) -> float | None:
        """Mean over the seeds, a fraction; None without validation speakers."""
        return mean_validation(self.results)

    @property
    def difference(self) -> Difference | None:
        """From the baseline; None for the baseline itself."""
        return None if self.row.difference is None else self.row.difference.eer

    @property
    def last_epoch(self) -> dict[str, float]:
        """What the last epoch logged, mean over the seeds."""
        last = [result.epochs[-1] for result in self.results]
        names = set(last[0]).intersection(*last[1:])
        return {name: sum(each[name] for each in last) / len(last) for name in last[0] if name in names}

    @property
    def losses(self) -> dict[str, float]:
        """Of the last epoch, by term."""
        return {
            name: value for name, value in self._trained().items()
            if not name.endswith(NOT_A_LOSS) and name != "loss"
        }  # fmt: skip

    @property
    def outside(self) -> dict[str, float]:
        """Share of the samples outside the margin in the last epoch, by term."""
        return {
            name.removesuffix(ACTIVE): value
            for name, value in self._trained().items()
            if name.endswith(ACTIVE)
        }

    def _trained(self) -> dict[str, float]:
        last = self.last_epoch
        return {
            name.removeprefix("train "): value for name, value in last.items() if name.startswith("train ")
        }

    def as_dict(self) -> dict[str, Any]:
        """For JSON; error rates as fractions."""
        return {
            "configuration": self.name,
            "values": dict(self.configuration.values),
            "seeds": [result.run.seed for result in self.results],
            **self.row.as_dict(),
            "min_dcf_005": self.row.min_dcf,
            "control": self.control and self.control.as_dict(),
            "difference_from_control": self.beyond_control and self.beyond_control.as_dict(),
            "validation_eer": self.validation_eer,
            "last_epoch": self.last_epoch,
        }


@dataclass(frozen=True)
class Pair:
    """Two configurations beside each other: EER of the second minus that of the first."""

    first: str
    second: str
    difference: Difference


@dataclass(frozen=True)
class Compared:
    """One condition: `lines`, the baseline first; controls stand beside what they control."""

    condition: str
    lines: Sequence[Line]
    incomplete: Sequence[str]
    """Configurations that lack a seed, and so are not compared."""
    pairs: Sequence[Pair] = ()
    """Those that the study asks for and that are complete."""


def analyse(final: Sequence[Result], study: Study) -> list[Compared]:
    """Compare what is complete in every condition; without the baseline there is nothing to compare with."""
    return [_condition(grouped(final, name), name, study) for name in track(study.conditions, "Comparing")]


def _condition(found: Mapping[str, Sequence[Result]], condition: str, study: Study) -> Compared:
    complete = {name: results for name, results in found.items() if len(results) == len(study.final.seeds)}
    incomplete = [name for name in found if name not in complete]
    if study.baseline not in complete:
        return Compared(condition, [], list(found))
    speakers = load_utt2spk(complete[study.baseline][0].listed("test.csv"))
    scores = {name: [result.scores for result in results] for name, results in complete.items()}
    rows = {row.name: row for row in compare(scores, speakers, seed=SEED, replicates=REPLICATES)}

    def beside(first: str, second: str) -> Difference:
        return paired_difference(scores[first], scores[second], speakers, SEED, REPLICATES).eer

    lines = []
    for name, results in complete.items():
        if results[0].run.configuration.is_control:
            continue
        control = rows.get(control_name(name))
        beyond = beside(control.name, name) if control else None
        lines.append(Line(results[0].run.configuration, results, rows[name], control, beyond))
    asked = [pair for pair in study.pairs if set(pair) <= complete.keys()]
    return Compared(condition, lines, incomplete, [Pair(*pair, beside(*pair)) for pair in asked])


def by_validation_eer(lines: Sequence[Line]) -> list[Line]:
    """The lowest first; of equals the first by name; what was not validated comes last."""
    return sorted(lines, key=lambda line: (line.validation_eer is None, line.validation_eer, line.name))


def sign(interval: Interval) -> int:
    """-1: all of the interval lies below 0, 1: above, 0: it contains 0."""
    return -1 if interval.high < 0 else 1 if interval.low > 0 else 0
