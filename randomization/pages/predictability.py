"""Predictability after a reveal, as a page and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from randomization.pages import charts
from randomization.pages.charts import Words
from randomization.pages.html import page, table
from randomization.pages.text import columns

Report = Mapping[str, Any]
NOTICE: Final = (
    "For the unmasked statistician. What follows from the design, and from arms where they were given:"
    " nobody who is masked may see it."
)
SHOWN: Final = {
    "arm": "arm",
    "revealed at": "revealed_at",
    "used": "used",
    "right before": "expected_correct_before",
    "right after": "expected_correct_after",
    "rise": "rise",
    "in use": "rise_in_use",
    "to come": "rise_to_come",
    "largest": "largest_posterior",
    "possible": "largest_posterior_possible",
    "became certain": "became_certain",
    "certain": "certain_after",
}


def predictability_page(report: Report) -> str:
    """Return the report of ``randomization.predictability`` as one HTML file."""
    title = f"Predictability after reveals in {report['study']}"
    body = [f"<h1>{escape(title)}</h1>", f'<p class="notice">{escape(NOTICE)}</p>']
    body.append(f"<p>{escape(_summary(report))}</p>")
    for number, stratum in enumerate(report["strata"], 1):
        body += _stratum(stratum, f"stratum-{number}")
    definitions = (
        f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in report["definitions"].items()
    )
    return page(title, [*body, "<h2>Definitions</h2><dl>", *definitions, "</dl>"])


def predictability_text(report: Report) -> str:
    """Return the report as text."""
    parts = [NOTICE, _summary(report)]
    for stratum in report["strata"]:
        rows = ((reveal["slot"], *(reveal[key] for key in SHOWN.values())) for reveal in stratum["reveals"])
        parts += ["", stratum["stratum"], *columns(["slot", *SHOWN], rows)]
    return "\n".join([*parts, "", f"Method: {report['method']}. Definitions: --json or --html."])


def _summary(report: Report) -> str:
    reveals = [reveal for stratum in report["strata"] for reveal in stratum["reveals"]]
    certain = sum(stratum["reveals"][-1]["certain_after"] for stratum in report["strata"])
    return (
        f"{report['design'].capitalize()}: {len(reveals)} reveals raised the expected number of right guesses"
        f" among the other slots by {sum(reveal['rise'] for reveal in reveals):.2f} in all;"
        f" {certain:.2f} slots are certain."
    )


def _stratum(stratum: Mapping[str, Any], names: str) -> Iterator[str]:
    reveals = stratum["reveals"]
    yield f"<h2>{escape(stratum['stratum'])}</h2>"
    words = Words(
        f"What each reveal told of the other slots of {stratum['stratum']}",
        "The rise of the expected number of right guesses, by revealed slot in the order of the reveals.",
        "revealed slot",
        "rise",
    )
    rises = [(str(reveal["slot"]), max(reveal["rise"], 0.0)) for reveal in reveals]
    yield charts.bars(words, rises, names=names)
    rows = ((reveal["slot"], *(reveal[key] for key in SHOWN.values())) for reveal in reveals)
    yield table("Reveals in their order", ["Slot", *SHOWN], rows)
    changes = (
        (f"{reveal['slot']} told of {change['slot']}", change["before"], change["after"])
        for reveal in reveals
        for change in reveal["slots"]
    )
    yield table("Slot by slot", ["Reveal", "Guessed right before", "After"], changes)
