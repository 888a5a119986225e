"""From score files to an evaluation: read, bring into one order, calibrate, measure, compare."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from cmd_speaker.calibration.calibrating import Calibrator
from cmd_speaker.errors import DataError, UsageError
from cmd_speaker.evaluation.bootstrap import paired_difference
from cmd_speaker.evaluation.breakdown import Group, breakdown
from cmd_speaker.evaluation.metrics import SortedScores
from cmd_speaker.evaluation.operating_point import POINTS, OperatingPoint
from cmd_speaker.evaluation.summary import FARS, measure, summarise
from cmd_speaker.lists.metadata import Metadata, load_metadata
from cmd_speaker.lists.scores import Scores, attach_labels, load_scores, match_pairs, read_scores
from cmd_speaker.lists.speakers import load_utt2spk
from cmd_speaker.lists.trials import load_trials
from cmd_speaker.report import provenance
from cmd_speaker.report.evaluation import Evaluation, System
from cmd_speaker.scoring.record import load_record, scores_checksum

FEWEST_REPLICATES = 200
"""With as many draws, five lie beyond each end of a 95 % interval; with fewer the ends are a matter of chance."""


@dataclass(frozen=True)
class Question:
    """What is asked of score files: the options of `cmd-speaker evaluate`.

    `trials`, `speakers` and `metadata` are files; groups are by `columns` of the metadata, perhaps with edges.
    `calibrations` are none, one for all systems or one for each; `names` none or one for each. `keep` keeps the
    scores for a report. `command` is the command line, to be recorded.
    """

    trials: Path | None = None
    speakers: Path | None = None
    metadata: Sequence[Path] = ()
    columns: Sequence[str] = ()
    calibrations: Sequence[Path] = ()
    llr: bool = False
    points: Sequence[OperatingPoint] = POINTS
    fars: Sequence[float] = FARS
    names: Sequence[str] = ()
    seed: int = 0
    replicates: int = 1000
    keep: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if self.calibrations and self.llr:
            raise UsageError("--llr says that the scores are calibrated already: leave out --calibration")
        if self.columns and not self.metadata:
            raise UsageError(f"--by {self.columns[0]} needs the table with that column: --metadata CSV")
        if self.metadata and not self.columns and not self.calibrations:
            raise UsageError(
                "--metadata is for --by, or has the quality measures of a --calibration: give one of them"
            )

    @cached_property
    def utt2spk(self) -> dict[str, str] | None:
        """The speakers of the utterances."""
        return load_utt2spk(self.speakers) if self.speakers else None

    @cached_property
    def tables(self) -> list[Metadata]:
        """The metadata."""
        return [load_metadata(path) for path in self.metadata]

    @cached_property
    def columns_by_table(self) -> list[tuple[Metadata, list[str]]]:
        """The columns to break down by, in order, those that follow each other in one table together.

        A column is taken from the first table that has it.
        """
        found: list[tuple[Metadata, list[str]]] = []
        for column in dict.fromkeys(self.columns):
            names = {column, column.rpartition(":")[0]}
            having = [table for table in self.tables if names & set(table.columns)]
            table = (having or self.tables)[0]
            if found and found[-1][0] is table:
                found[-1][1].append(column)
            else:
                found.append((table, [column]))
        return found


@dataclass(frozen=True)
class Source:
    """A score file, its record (empty where there is none), and what makes LLRs of its scores.

    `is_llr` says that they are, or will be.
    """

    name: str
    path: Path
    sha256: str
    record: Mapping[str, Any]
    calibrator: Calibrator | None
    is_llr: bool

    def calibrated(self, blocks: Iterable[Scores]) -> Iterable[Scores]:
        """The blocks as LLRs, where there is a calibration."""
        return blocks if self.calibrator is None else self.calibrator.apply(blocks)

    def warnings(self) -> list[str]:
        """What is doubtful about the calibration, once it has been applied."""
        return (
            [] if self.calibrator is None else [f"{self.name}: {text}" for text in self.calibrator.warnings]
        )

    def system(self, scores: Scores | None, **found: Any) -> System:
        """What was found out about the scores."""
        calibration = self.calibrator.describe() if self.calibrator else self.record.get("calibration") or {}
        facts = provenance.system_facts(self.path, self.sha256, self.record, calibration, self.is_llr)
        return System(
            self.name, self.path, scores, self.is_llr, made_by=self.record, calibration=calibration, facts=facts,
            **found,
        )  # fmt: skip


def evaluate_scores(paths: Sequence[Path], question: Question) -> Evaluation:
    """Measure the systems whose scores are in `paths` on the same trials, and compare the others with the first.

    A single file of which only figures are asked may be of any length: its trials are not kept. Raises
    `UsageError` for options that do not fit together, `DataError` as the readers of the files do.
    """
    started = time.perf_counter()
    sources, warnings = _sources(paths, question), list[str]()
    if question.trials or question.speakers or question.columns or question.keep or len(paths) > 1:
        systems = _measure_together(sources, question, warnings)
    else:
        systems = [_measure_alone(sources[0], question)]
    for source in sources:
        warnings += source.warnings()
    warnings += _cautions(systems, question)
    facts = provenance.common_facts(question, systems[0].summary)
    facts["Seconds"] = f"{time.perf_counter() - started:.2f}"
    return Evaluation(systems, facts, warnings, question.utt2spk or {})


def system_names(paths: Sequence[Path], names: Sequence[str] = ()) -> list[str]:
    """A name for each score file: those given, else what tells the paths apart.

    Raises `UsageError` where the given names are not as many as the files, or not all different.
    """
    if names and len(names) != len(paths):
        raise UsageError(
            f"--name is given once for each score file: expected {len(paths)}, found {len(names)}"
        )
    found = list(names) or _distinct_parts(paths)
    twice = [name for name in found if found.count(name) > 1]
    if twice:
        raise UsageError(f"two systems have the name '{twice[0]}': tell them apart with --name")
    return found


def _distinct_parts(paths: Sequence[Path]) -> list[str]:
    """The paths without the folders at their beginning and the parts at their end that all of them share."""
    parts = [path.parts for path in paths]
    if len(paths) == 1:
        return [PurePath(*parts[0][-2:]).as_posix()]
    shortest = min(map(len, parts))
    first = next((k for k in range(shortest) if len({part[k] for part in parts}) > 1), shortest - 1)
    last = next((k for k in range(shortest - first) if len({part[-1 - k] for part in parts}) > 1), 0)
    return [PurePath(*part[first : len(part) - last]).as_posix() for part in parts]


def _sources(paths: Sequence[Path], question: Question) -> list[Source]:
    """Every score file with its record and calibration."""
    given: Sequence[Path | None] = question.calibrations
    if len(given) not in (0, 1, len(paths)):
        raise UsageError(f"--calibration is given once, or once for each of {len(paths)} score files")
    if len(given) < len(paths):
        given = [given[0] if given else None] * len(paths)
    sources = []
    for name, path, calibration in zip(system_names(paths, question.names), paths, given, strict=True):
        if not path.is_file():
            raise DataError("no such score file", file=path, fix="Check the path")
        record = load_record(path)
        sha256 = scores_checksum(path, record)
        calibrator = Calibrator(calibration, question.tables) if calibration else None
        if calibrator is not None:
            calibrator.check(record, path, sha256)
        is_llr = question.llr or calibrator is not None or bool((record or {}).get("calibration"))
        sources.append(Source(name, path, sha256, record or {}, calibrator, is_llr))
    return sources


def _measure_alone(source: Source, question: Question) -> System:
    """One file, read in blocks of which only the scores are kept."""
    ordered = SortedScores.from_blocks(source.calibrated(read_scores(source.path)))
    found = measure(ordered, llr=source.is_llr, points=question.points, fars=question.fars)
    return source.system(None, summary=found)


def _measure_together(sources: Sequence[Source], question: Question, warnings: list[str]) -> list[System]:
    """All files in the order of the same trials."""
    systems: list[System] = []
    for source, read in zip(sources, _aligned(sources, question.trials, warnings), strict=True):
        (scores,) = source.calibrated([read])
        systems.append(_measure(source, scores, question, systems[0] if systems else None))
    return systems


def _aligned(sources: Sequence[Source], trials: Path | None, warnings: list[str]) -> list[Scores]:
    """The scores of all systems in one order: that of the trial list, or of the first file where there is none."""
    first, *others = (load_scores(source.path) for source in sources)
    if trials is None:
        first.known_labels()
        for other in others:
            match_pairs(first, other.trials)
        return [first, *(attach_labels(other, first.trials)[0] for other in others)]
    listed, found = load_trials(trials), []
    for source, scores in zip(sources, (first, *others), strict=True):
        labelled, extra = attach_labels(scores, listed)
        if extra:
            warnings.append(
                f"{source.path}: {extra} scores of trials that {trials} does not list were left out"
            )
        found.append(labelled)
    return found


def _measure(source: Source, scores: Scores, question: Question, first: System | None) -> System:
    """The figures of one system, its groups, and how it differs from the first."""
    utt2spk, points, draws = question.utt2spk, question.points, (question.seed, question.replicates)
    summary = summarise(
        scores, utt2spk, seed=question.seed, replicates=question.replicates,
        llr=scores.scores if source.is_llr else None, points=points, fars=question.fars,
    )  # fmt: skip
    groups: list[Group] = []
    for table, columns in question.columns_by_table:
        groups += breakdown(
            scores, table, columns, utt2spk, seed=question.seed, replicates=question.replicates
        )
    difference = None
    if first is not None and utt2spk is not None and question.replicates:
        runs, llr = ([first.kept_scores()], [scores]), first.is_llr and source.is_llr
        difference = paired_difference(*runs, utt2spk, *draws, points, llr)
    return source.system(scores, summary=summary, difference=difference, groups=groups)


def _cautions(systems: Sequence[System], question: Question) -> list[str]:
    """What is missing, why, and what to do about it."""
    found = []
    if question.speakers is None:
        found.append("No interval: give the speakers with `--speakers MANIFEST|utt2spk`")
    elif not question.replicates:
        found.append("No interval: `--replicates` is 0")
    else:
        if systems[0].summary.warning:
            found.append(systems[0].summary.warning)
        if question.replicates < FEWEST_REPLICATES:
            found.append(
                f"{question.replicates} draws of the bootstrap are too few for the ends of a 95 % interval: "
                f"leave out `--replicates`, or give {FEWEST_REPLICATES} or more"
            )
    backwards = [system.name for system in systems if system.summary.eer > 0.5]
    if backwards:
        found.append(
            f"{', '.join(backwards)}: an EER above 50 % says that higher scores mean different speakers; check "
            "that labels and scores belong together, or change the sign of a distance"
        )
    raw = [system.name for system in systems if not system.is_llr]
    if raw:
        found.append(
            f"{', '.join(raw)}: not calibrated, so neither actual costs nor Cllr are given; make a calibration "
            "on other speakers with `cmd-speaker calibrate` and give it with `--calibration`, or say `--llr` if "
            "the scores are log-likelihood ratios"
        )
    return found
