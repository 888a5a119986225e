"""What an evaluation rests on, in words: files with checksums, post-processing, calibration, seed, version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmd_speaker import __version__
from cmd_speaker.evaluation.summary import Summary
from cmd_speaker.files import file_checksum

if TYPE_CHECKING:
    from cmd_speaker.report.evaluate import Question

UNKNOWN = "unknown: no record beside the score file"


def common_facts(question: Question, summary: Summary) -> dict[str, str]:
    """What holds for all systems (label -> text); seconds are not among them."""
    facts = {
        "Trials": f"{summary.targets:,} targets, {summary.nontargets:,} nontargets",
        "Trial list": _trial_list(question.trials) if question.trials else "none given: labels of the scores",
        "Speakers": _file(question.speakers) if question.speakers else "not given",
        "Metadata": "; ".join(map(_file, question.metadata)) or "none",
    }
    if summary.eer_low is None:
        facts["Intervals"], facts["Seed"] = "none", "none: without intervals nothing is drawn"
    else:
        facts["Intervals"] = f"95 %, bootstrap over {summary.speakers:,} speakers"
        facts |= {"Replicates": f"{question.replicates:,}", "Seed": str(question.seed)}
    return facts | {
        "Version": f"cmd-speaker {__version__}",
        "Command": question.command or "called from Python",
        "Date": date.today().isoformat(),
    }


def system_facts(
    path: Path, sha256: str, record: Mapping[str, Any], calibration: Mapping[str, Any], is_llr: bool
) -> dict[str, str]:
    """How the scores in `path` came about (label -> text)."""
    facts = {"Score file": f"{path}, SHA-256 {sha256}"}
    if record:
        facts["Embeddings"] = _embeddings(record.get("embeddings") or {})
        facts["Scored trials"] = _scored_list(record.get("trials"))
        facts["Post-processing"] = post_processing(record.get("backend") or {})
        facts["Scored in"] = (
            f"{record.get('seconds', UNKNOWN)} s, by cmd-speaker {record.get('version', UNKNOWN)}"
        )
    else:
        facts["Post-processing"] = UNKNOWN
    if calibration:
        when = "applied when scored: " if record.get("calibration") else ""
        facts["Calibration"] = when + _calibration(calibration)
    else:
        facts["Calibration"] = "the scores are said to be log-likelihood ratios (--llr)" if is_llr else "none"
    return facts


def post_processing(backend: Mapping[str, Any]) -> str:
    """A back-end's description, `Backend.description()`, in words."""
    if not backend:
        return "unknown: the record does not tell"
    parts = [str(backend.get("scorer"))]
    if backend.get("plda"):
        parts.append(f"trained on {_named(backend['plda'])}, rank {backend['plda'].get('rank')}")
    mean, norm = backend.get("mean"), backend.get("norm") or "none"
    parts.append(f"mean of {_named(mean)} subtracted" if mean else "no mean subtracted")
    if norm == "none":
        parts.append("no score normalisation")
    else:
        top = f", top {backend['top']}" if norm == "as" else ""
        parts.append(f"{norm}-norm{top}, cohort {_named(backend.get('cohort') or {})}")
    return "; ".join([*parts, f"several utterances of an enrolment: {backend.get('enrolment')}"])


def _scored_list(trials: Mapping[str, Any] | None) -> str:
    from cmd_speaker.corpora import list_name

    if not trials:
        return "all pairs"
    known = list_name(str(trials.get("sha256")))
    return f"{known}; {_named(trials)}" if known else _named(trials)


def _trial_list(path: Path) -> str:
    # It brings the audio reader with it, which few evaluations need.
    from cmd_speaker.corpora import recognise_list

    return f"{recognise_list(path) or 'not one of the known lists'}; {_file(path)}"


def _calibration(described: Mapping[str, Any]) -> str:
    """A calibration, `Calibrator.describe()`, in words."""
    origin = described.get("origin")
    if origin is None:
        return _named(described)
    formula = f"LLR = {described['slope']:.6g} * score {described['offset']:+.6g}"
    if columns := [quality["column"] for quality in described["qualities"]]:
        formula += f" and quality measures ({', '.join(columns)})"
    fitted = f"fitted for prior {described['prior']:g} on {_named(origin['scores'])}"
    if origin.get("trials"):
        fitted += f", trials {_named(origin['trials'])}"
    counts = f"{origin['targets']:,} targets, {origin['nontargets']:,} nontargets"
    return f"{formula}; {fitted}, {counts}; {_named(described)}"


def _embeddings(described: Mapping[str, Any]) -> str:
    model = described.get("model")
    return f"{_named(described)}; model {f'SHA-256 {model}' if model else 'unknown'}"


def _named(described: Mapping[str, Any]) -> str:
    """A file as records describe it: `name`, `sha256` and perhaps `count`."""
    count = f" ({described['count']:,})" if isinstance(described.get("count"), int) else ""
    return f"{described.get('name', 'unknown')}{count}, SHA-256 {described.get('sha256', 'unknown')}"


def _file(path: Path) -> str:
    return f"{path}, SHA-256 {file_checksum(path)}"
