"""The report as Markdown: its sentences and tables; of figures, the values."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cmd_speaker.report.content import Content, Section
from cmd_speaker.report.markup import escaped
from cmd_speaker.report.tables import Table

# What could begin a link, an image, emphasis, code or another cell.
_SPECIAL = re.compile(r"([\\`*_\[\]|~])")


def report_markdown(content: Content) -> str:
    """The text; the same content gives the same bytes."""
    return markdown_text(content.title, content.sections, content.evaluation.warnings)


def markdown_text(title: str, sections: Sequence[Section], warnings: Sequence[str]) -> str:
    """A text of sections; `warnings` stand first."""
    lines = [f"# {plain(title)}", *(f"> {plain(text)}." for text in warnings)]
    for part in sections:
        lines += [f"## {plain(part.title)}", *map(plain, part.texts)]
        for table in [*part.tables, *(figure.table for figure in part.figures)]:
            lines += _table(table)
    return "\n\n".join(lines) + "\n"


def _table(table: Table) -> list[str]:
    written = [f"| {' | '.join(map(plain, table.header))} |", f"|{'---|' * len(table.header)}"]
    written += [f"| {' | '.join(map(plain, row))} |" for row in table.rows]
    found = [f"**{plain(table.caption)}**", "\n".join(written)]
    return [*found, plain(table.note)] if table.note else found


def plain(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML."""
    return _SPECIAL.sub(r"\\\1", escaped(text)).replace("\n", " ")
