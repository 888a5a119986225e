"""HTML and SVG made of elements, so that text cannot become markup."""

from __future__ import annotations

import html
import re

# Control characters are not allowed in HTML; U+FFFD shows that something was there.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_VOID = {"meta", "link", "br"}


class Markup(str):
    """Text that is HTML already; any other text is escaped where it enters an element."""


def element(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """`<name attribute="...">children</name>`; in an attribute's name `_` stands for `-`, a last `_` for nothing.

    Children and values of attributes that are not `Markup` are escaped.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*parts: str, by: str = "") -> Markup:
    """The parts one after the other, escaped where they are not markup."""
    return Markup(by.join(escaped(part) for part in parts))


def escaped(text: str) -> Markup:
    """Text as it may stand in an element or in a quoted attribute."""
    return text if isinstance(text, Markup) else Markup(html.escape(_CONTROL.sub("�", text)))
