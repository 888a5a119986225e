"""What a study has run, and which configurations it chose on the validation speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cmd_speaker.study.collection import Result, by_validation, grouped
from cmd_speaker.study.runner import Failure
from cmd_speaker.study.spec import Study

RULE = "lowest validation EER, mean over the screening seeds; of equals the first by name"


@dataclass(frozen=True)
class Outcome:
    """All that a study has run: `chosen` are the configurations chosen in each condition, best first.

    `others` names finished final runs that are in the folder, but no longer among the study's.
    """

    study: Study
    screened: Sequence[Result]
    chosen: Mapping[str, Sequence[str]]
    final: Sequence[Result]
    failures: Sequence[Failure]
    others: Sequence[str]


def choose(study: Study, screened: Sequence[Result]) -> dict[str, list[str]]:
    """The best configurations of each condition by `RULE`; the baseline takes no place among them.

    A configuration of which a screening run failed cannot be compared with the others, and is not chosen.
    """
    assert study.screen is not None
    chosen = {}
    for condition in study.conditions:
        ranked = sorted(
            (by_validation(results), name)
            for name, results in grouped(screened, condition).items()
            if name != study.baseline and len(results) == len(study.screen.seeds)
        )
        chosen[condition] = [name for _, name in ranked[: study.best]]
    return chosen
