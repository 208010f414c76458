"""The report as one HTML page with bars drawn in SVG; it loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.report import Report
from benchmarks.run import medians

BAR_WIDTH, ROW_HEIGHT, LABEL_WIDTH = 520, 22, 190
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem }
body { margin: 2rem auto; padding: 0 1rem }
h1, h2 { font-weight: 600 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid #e3e3e3; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
.held { color: #1b6e3c } .MISSED { color: #a3271b; font-weight: 600 }
svg { display: block; margin: .5rem 0 1.5rem } text { font-size: 12px; fill: #1a1a1a }
"""


def write_page(report: Report, path: Path) -> None:
    """Write the page."""
    rows = medians(report.samples)
    groups = dict.fromkeys(_group(row) for row in rows)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Benchmarks</title>",
        f"<style>{_STYLE}</style><h1>Benchmarks</h1>",
        f"<p>{escape('; '.join(f'{name} {value}' for name, value in report.machine.items()))}</p>",
        f"<h2>Ratios</h2>{_ratios(report)}",
        "<h2>Median times</h2><p>The bar is the median, the line reaches one in a hundred. Milliseconds.</p>",
    ]
    for group in groups:
        own = [row for row in rows if _group(row) == group]
        parts.append(f"<h3>{escape(group)}</h3>{_bars(own)}")
    closing = [*report.lost] or ["Nothing was lost."]
    parts += [f"<p>{escape(line)}</p>" for line in closing]
    path.write_text("\n".join(parts) + "\n")


def _group(row: dict[str, Any]) -> str:
    """Return what is drawn on one scale: requests and their floors by number of clients, others by name."""
    first, _, last = row["case"].rpartition("/")
    return f"{last[1:]} clients" if last[1:].isdigit() and last[0] == "c" else first


def _ratios(report: Report) -> str:
    head = "<tr><th>ratio<th>median<th>least<th>greatest<th>goal<th></tr>"
    rows = (
        (
            each.ratio.label,
            *(f"{value:,.2f}" for value in (each.median, each.least, each.greatest)),
            each.goal,
        )
        for each in report.results
    )
    body = "".join(
        f"<tr><td>{'<td>'.join(map(escape, row))}<td class={each.verdict or 'none'}>{each.verdict}</tr>"
        for row, each in zip(rows, report.results, strict=True)
    )
    return f"<table>{head}{body}</table>"


def _bars(rows: Sequence[dict[str, Any]]) -> str:
    longest = max(row["p99_ms"] for row in rows) or 1
    width, height = LABEL_WIDTH + BAR_WIDTH + 190, ROW_HEIGHT * len(rows)
    lines = [f'<svg width="{width}" height="{height}" role="img">']
    for number, row in enumerate(rows):
        top = number * ROW_HEIGHT
        middle, text = top + ROW_HEIGHT // 2, top + ROW_HEIGHT // 2 + 4
        p50, p99 = (LABEL_WIDTH + BAR_WIDTH * row[name] / longest for name in ("p50_ms", "p99_ms"))
        numbers = f"{row['p50_ms']:.3g} / {row['p99_ms']:.3g} ms, {row['rate']:,.0f}/s"
        bar = f'width="{p50 - LABEL_WIDTH:.1f}" height="{ROW_HEIGHT - 8}" fill="#3b6ea5"'
        lines += [
            f'<text x="0" y="{text}">{escape(row["case"])}</text>',
            f'<rect x="{LABEL_WIDTH}" y="{top + 4}" {bar}/>',
            f'<line x1="{p50:.1f}" x2="{p99:.1f}" y1="{middle}" y2="{middle}" stroke="#3b6ea5"/>',
            f'<text x="{p99 + 8:.1f}" y="{text}">{numbers}</text>',
        ]
    return "".join([*lines, "</svg>"])
