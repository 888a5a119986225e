"""An evaluation for people and machines: terminal, one self-contained HTML page, JSON and Markdown."""

from __future__ import annotations

from pathlib import Path

from cmd_speaker.errors import UsageError
from cmd_speaker.evaluation.evaluation import Evaluation
from cmd_speaker.files import write_atomically


def as_text(evaluation: Evaluation) -> str:
    """For the terminal: the figures of merit, what differs, and the breakdown."""
    from cmd_speaker.report.tables import breakdowns, figures, text_table
    from cmd_speaker.report.verdict import comparisons

    parts = [text_table(figures(evaluation.systems)), *comparisons(evaluation.systems)]
    return "\n\n".join(parts + [text_table(table) for table in breakdowns(evaluation.systems)])


def check_page(path: Path) -> None:
    """Raise `UsageError` for a report that would not be a page, before anything is computed."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report names the HTML page to write: expected PAGE.html, found {path}")


def write_report(path: Path, evaluation: Evaluation) -> list[Path]:
    """Write the page, and beside it the same as JSON and as Markdown; returns the three paths."""
    from cmd_speaker.report.content import Content
    from cmd_speaker.report.machine import report_json
    from cmd_speaker.report.markdown import report_markdown
    from cmd_speaker.report.page import report_html

    check_page(path)
    content = Content.of(evaluation)
    written = {
        path: report_html(content),
        path.with_suffix(".json"): report_json(content),
        path.with_suffix(".md"): report_markdown(content),
    }
    for place, text in written.items():
        with write_atomically(place) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(written)
