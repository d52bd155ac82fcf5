"""HTML for notebooks and reports: text that cannot be anything else, and tables of it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from .text import printable

__all__ = ["html_table", "html_text"]


def html_text(value: object) -> str:
    """Return a value as the text of a page: no name or message is ever taken for a tag."""
    return html.escape(printable(value, keep="\n"))


def html_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; without a header line if ``head`` is empty."""
    cells = "".join("<tr>" + "".join(f"<td>{html_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    names = "".join(f"<th>{html_text(name)}</th>" for name in head)
    return f"<table><tr>{names}</tr>{cells}</table>" if head else f"<table>{cells}</table>"
