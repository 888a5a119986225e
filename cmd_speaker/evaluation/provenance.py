"""What an evaluation rests on, in words: files with checksums, post-processing, calibration, seed, version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmd_speaker import __version__
from cmd_speaker.evaluation.scores import Scores
from cmd_speaker.files import file_checksum

if TYPE_CHECKING:
    from cmd_speaker.evaluation.evaluation import Question

UNKNOWN = "unknown: no record beside the score file"


def common_facts(question: Question, scores: Scores) -> dict[str, str]:
    """What holds for all systems (label -> text); seconds are not among them."""
    utterances = len(set(scores.trials.enrol.tolist()) | set(scores.trials.test.tolist()))
    facts = {
        "Trials": f"{len(scores):,} among {utterances:,} utterances",
        "Trial list": named(question.trials)
        if question.trials
        else "none given: the score files have the labels",
        "Speakers": named(question.speakers) if question.speakers else "not given, so no intervals",
        "Metadata": named(question.metadata) if question.metadata else "none",
    }
    if question.speakers and question.replicates:
        facts["Intervals"] = "95 %, percentile bootstrap over speakers"
        facts["Replicates"], facts["Seed"] = f"{question.replicates:,}", str(question.seed)
    else:
        facts["Intervals"] = "none"
        facts["Seed"] = "none: nothing is drawn without intervals"
    return facts | {
        "Version": f"cmd-speaker {__version__}",
        "Command": question.command or "called from Python",
        "Date": date.today().isoformat(),
    }


def system_facts(path: Path, made_by: Mapping[str, Any], llr: bool) -> dict[str, str]:
    """How the scores in `path` came about (label -> text)."""
    facts = {"Score file": named(path)}
    facts["Post-processing"] = UNKNOWN
    facts["Calibration"] = "said to be log-likelihood ratios already (--llr)" if llr else "none"
    return facts


def named(path: Path) -> str:
    """A file with its checksum."""
    return f"{path}, SHA-256 {file_checksum(path)}"
