"""What the report holds, in its order, before it is written as HTML, JSON or Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.evaluation.worst import WorstTrial, worst_trials
from cmd_speaker.progress import track
from cmd_speaker.report import tables
from cmd_speaker.report.evaluation import Evaluation, System
from cmd_speaker.report.figures import Figure, det_figure, histogram_figure, reliability_figure
from cmd_speaker.report.tables import Table
from cmd_speaker.report.verdict import comparisons, verdict

WORST = 10
"""Trials of each class that are listed."""
NAMED_IN_TITLE = 3
"""More systems than this are counted in the title: their names fill half a phone."""

DET = (
    "A curve nearer to the lower left is better. Both axes are normal deviates: normally distributed scores give "
    "straight lines; a rate of zero is put on the edge."
)
HISTOGRAMS = "The less the two overlap, the better. Each class has the same area, however many trials it has."
RELIABILITY = (
    "Below the diagonal LLRs are too high and accept too easily, above it they are too low; where the line is "
    "flatter than the diagonal, the system is too sure of itself."
)
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
        ordered = [_sorted(system) for system in track(systems, "Report")]
        names = ", ".join(system.name for system in systems)
        several = len(systems) > NAMED_IN_TITLE
        title = f"Speaker verification: {f'{len(systems)} systems' if several else names}"
        sections = [
            Section("verdict", "Verdict", [*map(verdict, systems), *_compared(systems)]),
            Section("figures", "Figures of merit", (), _figures(systems)),
            Section("det", "Detection error trade-off", (DET,), (), [det_figure(systems, ordered)]),
            Section(
                "scores", "Scores", (HISTOGRAMS,), (), _draw("scores", histogram_figure, systems, ordered)
            ),
            _calibration(systems, ordered),
            _breakdown(evaluation),
            _worst(evaluation),
            Section("facts", "How this was measured", (), tables.facts(evaluation)),
        ]
        return cls(evaluation, ordered, title, sections)


def _sorted(system: System) -> SortedScores:
    scores = system.kept_scores()
    return SortedScores(scores.scores, scores.known_labels())


def _draw(
    key: str,
    figure: Callable[[str, System, SortedScores], Figure],
    systems: Sequence[System],
    ordered: Sequence[SortedScores],
) -> list[Figure]:
    """The same figure for every system."""
    pairs = enumerate(zip(systems, ordered, strict=True), start=1)
    return [figure(f"{key}-{number}", *pair) for number, pair in pairs]


def _compared(systems: Sequence[System]) -> list[str]:
    return comparisons(systems) or ([NO_DIFFERENCES] if len(systems) > 1 else [])


def _figures(systems: Sequence[System]) -> list[Table]:
    found = tables.differences(systems)
    return [tables.figures(systems), *([found] if found else [])]


def _calibration(systems: Sequence[System], ordered: Sequence[SortedScores]) -> Section:
    raw = [system.name for system in systems if not system.is_llr]
    texts = [UNCALIBRATED.format(", ".join(raw))] if raw else []
    texts += [RELIABILITY] if len(raw) < len(systems) else []
    llr = [pair for pair in zip(systems, ordered, strict=True) if pair[0].is_llr]
    drawn = _draw("reliability", reliability_figure, *zip(*llr, strict=True)) if llr else []
    return Section("calibration", "Calibration", texts, (), drawn)


def _breakdown(evaluation: Evaluation) -> Section:
    found = tables.breakdowns(evaluation.systems)
    return Section("breakdown", "Breakdown", () if found else (NO_BREAKDOWN,), found)


def _worst(evaluation: Evaluation) -> Section:
    found = []
    for system in evaluation.systems:
        sides = worst_trials(system.kept_scores(), WORST, evaluation.speakers)
        for what, trials in zip(
            ("Targets with the lowest", "Nontargets with the highest"), sides, strict=True
        ):
            found.append(_worst_table(f"{what} scores, {system.name}", system, trials))
    return Section("worst", "Worst trials", (WORST_FIRST,), found)


def _worst_table(caption: str, system: System, trials: Sequence[WorstTrial]) -> Table:
    header = ["rank", "LLR" if system.is_llr else "score", "enrolment", "test"]
    rows = []
    for rank, trial in enumerate(trials, start=1):
        row = [str(rank), f"{trial.score:.4f}", trial.enrol, trial.test]
        speakers = [speaker for speaker in (trial.enrol_speaker, trial.test_speaker) if speaker]
        rows.append([*row, " / ".join(dict.fromkeys(speakers))] if speakers else row)
    return Table(caption, [*header, "speaker"][: len(rows[0])], rows)
