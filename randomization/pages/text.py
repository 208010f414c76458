"""The same reports for a terminal: sentences, and tables with aligned columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from randomization.pages.design import COMPARED, NOTICE, Report, figures, sentences
from randomization.pages.html import number


def columns(names: Sequence[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield a table's lines: the first column to the left, numbers to the right."""
    cells = [list(names), *([number(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for place, row in enumerate(cells):
        first, *rest = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        yield "  ".join([first.strip().ljust(widths[0]), *rest]).rstrip()
        if place == 0:
            yield "  ".join("-" * width for width in widths)


def design_text(report: Report) -> str:
    """Return the design report as text; definitions are in the JSON and on the page."""
    rows = report["alternatives"]
    design_rows = ((row["name"], *(row[key] for key in COMPARED.values())) for row in rows)
    parts = [NOTICE, *sentences(report), "", *columns(["Figure", "value", "standard error"], figures(report))]
    parts += ["", *columns(["Design", *COMPARED], design_rows)]
    if report["emergency_list"]:
        names = ["Used from emergency lists", "unused", "P(equal), trial", "SD, trial"]
        parts += ["", *columns(names, (row.values() for row in report["emergency_list"]["by_used"]))]
    return "\n".join([*parts, "", f"Method: {report['method']}. Definitions: --json or --html."])
