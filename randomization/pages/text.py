"""The same reports for a terminal: sentences, and tables with aligned columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from randomization.pages.design import NOTICE, Report, figures, sentences
from randomization.pages.html import number

# Short heading -> key of a row of the comparison.
COMPARED: Final = {
    "guessed": "correct_guess_share_bayes",
    "certain": "certain_share_bayes",
    "borders": "certain_share_known_borders",
    "largest": "expected_max_imbalance",
    "P(=) 1": "p_equal_stratum",
    "SD 1": "sd_stratum",
    "P(=) all": "p_equal_trial",
    "SD all": "sd_trial",
    "run": "longest_possible_run",
    "most": "participants_per_arm",
}
LEGEND: Final = """\
guessed, certain: shares of a stratum, to who does not know the borders; borders: certain to who does;
largest: mean of the largest |A - B| of a stratum; P(=), SD: chance of equal arms and standard deviation
of A - B, of one stratum and of all; run: longest possible; most: participants in one arm, worst case.
(a) the trial file cannot choose it; (s) some of its values are sampled: see --json."""


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
    parts = [NOTICE, *sentences(report), "", *columns(["Figure", "value", "standard error"], figures(report))]
    parts += ["", *columns(["Design", *COMPARED], map(_compared, report["alternatives"])), LEGEND]
    if report["emergency_list"]:
        names = ["Used from emergency lists", "unused", "P(equal), trial", "SD, trial"]
        parts += ["", *columns(names, (row.values() for row in report["emergency_list"]["by_used"]))]
    return "\n".join([*parts, "", f"Method: {report['method']}. Definitions: --json or --html."])


def _compared(row: Mapping[str, Any]) -> list[Any]:
    marks = (" (a)" if row["remark"] else "") + (" (s)" if row["method"] != "exact" else "")
    return [row["name"] + marks, *(row[key] for key in COMPARED.values())]
