"""The frame of a page, its tables and its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

STYLE: Final = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 62rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.notice { border: 1px solid #b3541e; border-left-width: 6px; padding: .5rem .8rem; }
svg { width: 100%; max-width: 40rem; height: auto; font: 11px system-ui, sans-serif; fill: #1b1b1b; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid #d8d8d8; padding: .25rem .6rem; text-align: right; vertical-align: top; }
th:first-child, td.words { text-align: left; } thead th { border-bottom: 2px solid #1b1b1b; }
.beside { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
.beside > svg { flex: 1 1 26rem; }
.wide { overflow-x: auto; } dt { font-weight: 600; margin-top: .6rem; } dd { margin: 0; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; }
               svg, tr { break-inside: avoid; } .wide { overflow: visible; } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole page."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    content = "\n".join(body)
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{content}\n</body>\n</html>\n'


def table(caption: str, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table; the first cell of a row names it."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "\n".join(
        f'<tr><th scope="row">{escape(number(first))}</th>{"".join(map(_cell, rest))}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def number(value: Any) -> str:
    """Return a value as it is written: shares and means with four decimals, nothing as a dash."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float() if 0 < value < 0.00005:
            return "< 0.0001"
        case float():
            return f"{value:.4f}"
    return str(value)


def _cell(value: Any) -> str:
    words = ' class="words"' if isinstance(value, str) else ""
    return f"<td{words}>{escape(number(value))}</td>"
