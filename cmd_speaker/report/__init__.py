"""An evaluation for people and machines: terminal, one self-contained HTML page, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cmd_speaker.errors import UsageError
from cmd_speaker.files import refuse_overwriting, write_atomically
from cmd_speaker.report.evaluation import Evaluation


def as_text(evaluation: Evaluation) -> str:
    """For the terminal: the figures of merit, what differs, and the breakdown."""
    from cmd_speaker.report.tables import breakdowns, figures, text_table
    from cmd_speaker.report.verdict import comparisons

    parts = [text_table(figures(evaluation.systems)), *comparisons(evaluation.systems)]
    return "\n\n".join(parts + [text_table(table) for table in breakdowns(evaluation.systems)])


def report_paths(page: Path, inputs: Sequence[Path] = ()) -> tuple[Path, Path, Path]:
    """Where the page, its JSON and its Markdown go.

    Raises `UsageError` for a name that is not that of a page, and where one of them would replace an input.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report names the HTML page to write: expected PAGE.html, found {page}")
    paths = page, page.with_suffix(".json"), page.with_suffix(".md")
    refuse_overwriting(paths, inputs)
    return paths


def write_report(page: Path, evaluation: Evaluation) -> list[Path]:
    """Write the page, and beside it the same as JSON and as Markdown; returns the three paths."""
    from cmd_speaker.report.content import Content
    from cmd_speaker.report.machine import report_json
    from cmd_speaker.report.markdown import report_markdown
    from cmd_speaker.report.page import report_html

    paths, content = report_paths(page), Content.of(evaluation)
    for path, write in zip(paths, (report_html, report_json, report_markdown), strict=True):
        with write_atomically(path) as temporary:
            temporary.write_text(write(content), encoding="utf-8")
    return list(paths)
