"""The report as one HTML page: no script, nothing from the network, readable on a phone and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from itertools import count

from cmd_speaker.report.content import Content, Section
from cmd_speaker.report.figures import Figure
from cmd_speaker.report.markup import Markup, element, escaped, joined
from cmd_speaker.report.tables import Table

# Whatever an id contains, the browser neither runs nor fetches anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
LONG = 24
"""Texts with more characters may be broken."""


def report_html(content: Content) -> str:
    """The page; the same content gives the same bytes."""
    facts = content.evaluation.facts
    return html_page(
        content.title, content.sections, content.evaluation.warnings, f"{facts['Version']}, {facts['Date']}."
    )


def html_page(title: str, sections: Sequence[Section], warnings: Sequence[str], made_by: str) -> str:
    """A page of sections below their list; `warnings` stand first, `made_by` last."""
    captions = count(1)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(files(__package__).joinpath("style.css").read_text(encoding="utf-8"))),
    )
    links = [element("li", element("a", part.title, href=f"#{part.key}")) for part in sections]
    body = element(
        "body",
        element("header", element("h1", title), _warnings(warnings)),
        element("nav", element("ul", *links), aria_label="Contents"),
        element("main", *(_section(part, captions) for part in sections)),
        element("footer", element("p", f"{made_by} The same figures are beside this page as JSON and Markdown.")),
    )  # fmt: skip
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _warnings(warnings: Sequence[str]) -> Markup:
    notes = [element("p", _prose(f"{warning}.")) for warning in warnings]
    return (
        element("div", *notes, class_="notes", role="note", aria_label="What to know first")
        if notes
        else Markup()
    )


def _section(part: Section, captions: count[int]) -> Markup:
    return element(
        "section",
        element("h2", part.title, id=f"{part.key}-heading"),
        *(element("p", _prose(text)) for text in part.texts),
        *(_table(table, captions) for table in part.tables),
        element("div", *(_figure(figure, captions) for figure in part.figures), class_="figures")
        if part.figures
        else Markup(),
        id=part.key,
        aria_labelledby=f"{part.key}-heading",
    )


def _table(table: Table, captions: count[int]) -> Markup:
    key = f"table-{next(captions)}"
    head = element("tr", *(element("th", text, scope="col") for text in table.header))
    rows = [
        element("tr", _cell("th", row[0], scope="row"), *(_cell("td", cell) for cell in row[1:]))
        for row in table.rows
    ]
    written = element(
        "table",
        element("caption", element("span", table.caption, id=key)),
        element("thead", head),
        element("tbody", *rows),
    )
    region = element("div", written, class_="scroll", role="region", aria_labelledby=key, tabindex=0)
    return joined(region, element("p", table.note, class_="note")) if table.note else region


def _figure(figure: Figure, captions: count[int]) -> Markup:
    return element(
        "figure",
        element("figcaption", figure.title),
        figure.drawing,
        figure.legend,
        element("details", element("summary", "The values"), _table(figure.table, captions)),
    )


def _cell(name: str, text: str, **attributes: str) -> Markup:
    """A number stays on one line, its interval perhaps on the next; long texts may be broken anywhere."""
    number, bracket, interval = text.partition(" [")
    if max(len(number), len(interval)) > LONG:
        return element(name, text, class_="long", **attributes)
    parts = [f"{number} ", element("br"), f"[{interval}"] if bracket else [text]
    return element(name, *parts, **attributes)


def _prose(text: str) -> Markup:
    """A sentence with what to type between backticks; an option is never broken at its hyphens."""
    parts = []
    for number, part in enumerate(text.split("`")):
        words = [element("span", word, class_="word") for word in part.split()]
        parts.append(element("code", joined(*words, by=" ")) if number % 2 else escaped(part))
    return joined(*parts)
