"""The design report as a page: the numbers, drawings of imbalance and predictability, and definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from randomization.pages import charts
from randomization.pages.charts import Words
from randomization.pages.html import number, page, table

Report = Mapping[str, Any]
NOTICE: Final = (
    "For the unmasked statistician. This report names the design and its block sizes:"
    " nobody who is masked may see it."
)
# Column of the comparison -> key of a row.
COMPARED: Final = {
    "guessed right": "correct_guess_share_bayes",
    "certain": "certain_share_bayes",
    "certain, borders known": "certain_share_known_borders",
    "largest difference, mean": "expected_max_imbalance",
    "P(equal), one stratum": "p_equal_stratum",
    "SD, one stratum": "sd_stratum",
    "P(equal), trial": "p_equal_trial",
    "SD, trial": "sd_trial",
    "longest run possible": "longest_possible_run",
    "most in one arm": "participants_per_arm",
    "method": "method",
    "remark": "remark",
}


def design_page(report: Report, *, study: str) -> str:
    """Return the report of ``randomization.domain.operating.report`` as one HTML file."""
    title = f"Design report of {study}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="notice">{escape(NOTICE)}</p>',
        *(f"<p>{escape(line)}</p>" for line in sentences(report)),
        table("The figures", ["Figure", "Value", "Standard error"], figures(report)),
        *_predictability(report),
        *_imbalance(report),
        *_stock(report),
        *_emergency(report),
        *_comparison(report),
        *_definitions(report),
    ]
    return page(title, body)


def sentences(report: Report) -> Iterator[str]:
    """Yield what the report says in words."""
    design, guessed, certain = report["design"], report["correct_guess_share"], report["certain_share"]
    ratio, strata = ":".join(map(str, design["ratio"])), design["strata"]
    yield (
        f"{design['name'].capitalize()}, {ratio}, {design['planned']} participants planned,"
        f" {strata} {'stratum' if strata == 1 else 'strata'}."
    )
    if design["remark"]:
        yield f"The trial file cannot choose this design: {design['remark']}."
    yield (
        f"Whoever knew every past arm of a stratum of {design['planned']} would guess"
        f" {100 * guessed['bayes']:.1f} % of its arms right and be certain of {100 * certain['bayes']:.1f} %;"
        f" chance alone is {100 * _chance(report):.1f} %. While masking holds, chance is all there is."
    )
    yield report["total_split"]["in_words"]
    stock = report["worst_case_stock_per_arm"]
    if stock:
        yield f"Stock that cannot run out, for the whole trial and not for one site: {_in_bags(stock)}."
        reserved = report["emergency_list"]
        if reserved:
            yield f"Where emergency lists are used as well: {_in_bags(reserved['worst_case_stock_per_arm'])}."


def _in_bags(stock: Mapping[str, int]) -> str:
    return (
        f"{stock['participants']} participants in one arm, {stock['bags']} bags,"
        f" {stock['bags_with_remakes']} with remakes"
    )


def figures(report: Report) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, value and standard error (None if exact) of every single number."""
    errors = report.get("standard_error", {})
    named: dict[str, Any] = {
        f"{name}.{part}": value
        for name in ("correct_guess_share", "certain_share", "total_split", "run_lengths")
        for part, value in report[name].items()
        if isinstance(value, int | float)
    }
    named["expected_max_imbalance"] = report["expected_max_imbalance"]
    named["long_run_correct_guess_share"] = report["long_run_correct_guess_share"]
    for bound, value in report["total_split"]["p_at_least"].items():
        named[f"total_split.p_at_least.{bound}"] = value
    for part in ("participants", "bags", "bags_with_remakes"):
        named[f"worst_case_stock_per_arm.{part}"] = (report["worst_case_stock_per_arm"] or {}).get(part)
    for name, value in sorted(named.items()):
        yield name, value, errors.get(name)


def _chance(report: Report) -> float:
    """Return the share that is guessed right by chance alone."""
    ratio = report["design"]["ratio"]
    return float(max(ratio) / sum(ratio))


def _predictability(report: Report) -> Iterator[str]:
    by_slot = report["guess_by_slot"]
    slots = range(1, len(by_slot["right"]) + 1)
    yield "<h2>Predictability along one stratum</h2>"
    words = Words(
        "Chance that the next arm is guessed right, and that it is certain",
        f"{slots[-1]} participants of one stratum; guessed by who knows all past arms and the block sizes.",
        "participant of the stratum",
        "chance",
    )
    series = {
        "guessed right": by_slot["right"],
        "certain": by_slot["certain"],
        "by chance": [_chance(report)] * len(slots),
    }
    drawn = [(name, list(zip(slots, values, strict=True))) for name, values in series.items()]
    yield charts.lines(words, drawn, names="guess")


def _imbalance(report: Report) -> Iterator[str]:
    means, by_slot = report["expected_abs_imbalance"], report["guess_by_slot"]
    slots = range(1, len(means) + 1)
    yield "<h2>Imbalance along one stratum, and in the end</h2>"
    words = Words(
        "Expected absolute difference between the arms after each participant",
        f"One stratum; {means[-1]:.2f} after {slots[-1]} participants.",
        "participant of the stratum",
        "expected |A - B|",
    )
    yield charts.lines(words, [("expected |A - B|", list(zip(slots, means, strict=True)))], names="path")
    rows = zip(slots, by_slot["right"], by_slot["certain"], means, strict=True)
    yield table("Participant by participant", ["Participant", "Guessed right", "Certain", "|A - B|"], rows)
    largest = {str(value): likely for value, likely in report["max_imbalance_pmf"].items()}
    words = Words("Largest difference along one stratum", "The chance of each.", "largest |A - B|", "chance")
    yield _beside(charts.bars(words, list(largest.items()), names="largest"), "Largest difference", largest)
    split = report["total_split"]
    ends = {
        f"{value:+d}" if value else "0": likely for value, likely in split["pmf"].items() if likely > 1e-6
    }
    words = Words("Difference over the whole trial", split["in_words"], "A - B in the end", "chance")
    yield _beside(charts.bars(words, list(ends.items()), names="ends", marked="0"), "A - B in the end", ends)
    runs = {str(value): likely for value, likely in report["run_lengths"]["longest_pmf"].items()}
    yield table("Longest run of one arm in a stratum", ["Run", "Chance"], runs.items())


def _beside(drawing: str, name: str, chances: Mapping[str, float]) -> str:
    return f'<div class="beside">{drawing}{table(name, ["Difference", "Chance"], chances.items())}</div>'


def _stock(report: Report) -> Iterator[str]:
    stock = report["worst_case_stock_per_arm"]
    if stock is None:
        return
    yield "<h2>Stock that cannot run out</h2>"
    of_one, of_all = stock["in_any_k_of_one_stratum"], stock["in_any_k_of_all_strata"]
    rows = zip(range(1, len(of_one) + 1), of_one, of_all, strict=True)
    columns = ["Randomized in a row", "Of one stratum", "Of all strata"]
    yield table("Most of one arm in any row of randomizations", columns, rows)


def _emergency(report: Report) -> Iterator[str]:
    emergency = report["emergency_list"]
    if emergency is None:
        return
    yield "<h2>What the emergency lists cost</h2>"
    yield (
        f"<p>{emergency['slots_reserved']} slots or more are reserved, {emergency['slots_per_site']} or"
        f" more at each of {emergency['sites']} sites. The difference in the end can then reach"
        f" {number(emergency['largest_possible'])}, and one arm"
        f" {number((emergency['worst_case_stock_per_arm'] or {}).get('participants'))} participants.</p>"
    )
    columns = ["Used", "Unused", "P(equal), trial", "SD, trial"]
    yield table("Used from emergency lists", columns, (row.values() for row in emergency["by_used"]))


def _comparison(report: Report) -> Iterator[str]:
    rows = report["alternatives"]
    yield "<h2>Beside other designs</h2>"
    words = Words(
        "Predictability against imbalance",
        "Each numbered point is a design of the table below: down and to the left is better.",
        "expected largest difference along one stratum",
        "guessed right",
    )
    across, up = "expected_max_imbalance", "correct_guess_share_bayes"
    points = [(row["name"], row[across], row[up]) for row in rows]
    yield charts.scatter(words, points, names="designs", marked=report["design"]["name"])
    cells = (
        (f"{place}. {row['name']}", *(row[key] for key in COMPARED.values()))
        for place, row in enumerate(rows, 1)
    )
    yield table("The trial's design first", ["Design", *COMPARED], cells)


def _definitions(report: Report) -> Iterator[str]:
    yield "<h2>Definitions</h2><dl>"
    for name, words in report["definitions"].items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>"
    yield f"</dl><p>Method: {escape(report['method'])}; seed {report['design']['seed']}.</p>"
