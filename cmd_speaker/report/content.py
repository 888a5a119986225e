"""What the report holds, in its order, before it is written as HTML, JSON or Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cmd_speaker.evaluation.evaluation import Evaluation, System
from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.progress import track
from cmd_speaker.report import tables
from cmd_speaker.report.figures import Figure, det_figure, histogram_figure, reliability_figure
from cmd_speaker.report.tables import Table
from cmd_speaker.report.verdict import comparisons, verdict

WORST = 10
"""Trials of each class that are listed."""

UNCALIBRATED = (
    "The scores of {} are not calibrated: they put trials in order, but do not say how likely the same speaker "
    "is, so there is no reliability to draw, no actual cost and no Cllr. Fit a calibration on other speakers, "
    "`cmd-speaker calibrate SCORES --trials TRIALS --out FILE`, and give it with `--calibration FILE`; if the "
    "scores are natural-log likelihood ratios already, say `--llr`."
)
NO_DIFFERENCES = (
    "No paired differences: they need the speakers. Give them with `--speakers MANIFEST|utt2spk`, and do not call "
    "a system better for a smaller figure alone."
)
NO_BREAKDOWN = "Not asked for: give a table about utterances or speakers, `--metadata CSV --by COLUMN`."
WORST_FIRST = (
    "Listen to these first: wrong labels, empty files and two voices in one file are often among them."
)


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: sentences, then tables, then figures."""

    key: str
    title: str
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()


@dataclass(frozen=True, eq=False)
class Content:
    """The whole report; `ordered` are the sorted scores of every system, from which its curves are drawn."""

    evaluation: Evaluation
    ordered: Sequence[SortedScores]
    title: str
    sections: Sequence[Section]

    @classmethod
    def of(cls, evaluation: Evaluation) -> Content:
        """Sort, count and draw."""
        systems = evaluation.systems
        ordered = [SortedScores(s.values, s.scores.known_labels()) for s in track(systems, "Report")]
        title = "Speaker verification: " + ", ".join(system.name for system in systems)
        sections = [
            Section("verdict", "Verdict", [*map(verdict, systems), *_compared(systems)]),
            Section("figures", "Figures of merit", (), _figures(systems)),
            Section("det", "Detection error trade-off", (), (), [det_figure(systems, ordered)]),
            Section("scores", "Scores", (), (), [histogram_figure(*s) for s in _keys("scores", systems)]),
            _calibration(systems),
            _breakdown(evaluation),
            _worst(evaluation),
            Section("facts", "How this was measured", (), tables.facts(evaluation)),
        ]
        return cls(evaluation, ordered, title, sections)


def worst_trials(values: np.ndarray, labels: np.ndarray, count: int = WORST) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the targets with the lowest and of the nontargets with the highest values, worst first."""
    order = np.argsort(values, kind="stable")
    return order[labels[order]][:count], order[~labels[order]][::-1][:count]


def _keys(name: str, systems: Sequence[System]) -> list[tuple[str, System]]:
    return [(f"{name}-{number}", system) for number, system in enumerate(systems, start=1)]


def _compared(systems: Sequence[System]) -> list[str]:
    return comparisons(systems) or ([NO_DIFFERENCES] if len(systems) > 1 else [])


def _figures(systems: Sequence[System]) -> list[Table]:
    found = tables.differences(systems)
    return [tables.figures(systems), *([found] if found else [])]


def _calibration(systems: Sequence[System]) -> Section:
    raw = [system.name for system in systems if system.llr is None]
    texts = [UNCALIBRATED.format(", ".join(raw))] if raw else []
    drawn = [reliability_figure(key, s) for key, s in _keys("reliability", systems) if s.llr is not None]
    return Section("calibration", "Calibration", texts, (), drawn)


def _breakdown(evaluation: Evaluation) -> Section:
    found = tables.breakdowns(evaluation)
    return Section("breakdown", "Breakdown", () if found else (NO_BREAKDOWN,), found)


def _worst(evaluation: Evaluation) -> Section:
    found = []
    for system in evaluation.systems:
        targets, nontargets = worst_trials(system.values, system.scores.known_labels())
        for what, places in (
            ("Targets with the lowest", targets),
            ("Nontargets with the highest", nontargets),
        ):
            found.append(_worst_table(f"{what} scores, {system.name}", system, places, evaluation.speakers))
    return Section("worst", "Worst trials", (WORST_FIRST,), found)


def _worst_table(caption: str, system: System, places: np.ndarray, speakers: Mapping[str, str]) -> Table:
    header = ["rank", "score" if system.llr is None else "LLR", "enrolment", "test"]
    rows = []
    for rank, place in enumerate(places, start=1):
        pair = system.scores.trials.pair(place)
        row = [str(rank), f"{system.values[place]:.4f}", *pair]
        rows.append([*row, " / ".join(dict.fromkeys(speakers[name] for name in pair))] if speakers else row)
    return Table(caption, [*header, "speaker"] if speakers else header, rows)
