"""
Measure, and print ratios.

    python -m benchmarks [--quick] [--only NAME] [--rounds N] [--seconds S]
                         [--patience S] [--json FILE] [--html FILE]

Exit 0 if everything ran and nothing was lost. A missed goal is printed and is no failure: on a
machine with other work the clock proves nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks import growth, kept, lists, machine, request_path, trail
from benchmarks.page import write_page
from benchmarks.place import Place, a_place
from benchmarks.report import Report
from benchmarks.run import Case, Ratio, Sample, in_turn, results
from trialsite.deployment.evaluation import DATABASE

GROUPS = ("growth", "trail", "lists", "requests")


@dataclass
class _Plan:
    """The groups of cases in the order of their running, their ratios, and the databases to look through."""

    groups: list[list[Case]]
    ratios: list[Ratio]
    databases: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    rounds = options.rounds or (2 if options.quick else 5)
    seconds = options.seconds or (1.0 if options.quick else 3.0)
    wanted = [options.only] if options.only else list(GROUPS)
    print("Setting up a deployment and its rows ...", file=sys.stderr)
    with a_place() as place:
        plan = _prepare(place, wanted, rounds=rounds, seconds=seconds, quick=options.quick)
        samples: list[Sample] = []
        with tqdm(total=rounds * sum(map(len, plan.groups)), unit="run", file=sys.stderr) as progress:
            for cases in plan.groups:
                samples += in_turn(cases, rounds=rounds, patience=options.patience, progress=progress)
        report = Report(
            machine=machine.description() | {"postgresql": place.postgres.programs.major},
            options={"rounds": rounds, "seconds": seconds, "quick": options.quick},
            samples=samples,
            results=results(samples, plan.ratios),
            lost=_lost(place, plan.databases, samples),
        )
    print(report.text)
    if options.json:
        report.write_json(options.json)
    if options.html:
        write_page(report, options.html)
    return 1 if report.lost else 0


def _prepare(place: Place, wanted: Sequence[str], *, rounds: int, seconds: float, quick: bool) -> _Plan:
    plan = _Plan(groups=[], ratios=[], databases=[])
    # Databases are copied from the first one, which must not be in use: its own server comes last.
    if "growth" in wanted:
        sizes = growth.QUICK_SIZES if quick else growth.SIZES
        plan.groups.append(growth.cases(place, sizes=sizes, rounds=rounds, seconds=seconds))
        plan.ratios += growth.ratios(sizes)
        plan.databases += [f"grown_{size}" for size in sizes]
    if "trail" in wanted:
        plan.groups.append(trail.cases(place, seconds=seconds))
        plan.ratios += trail.RATIOS
    if "lists" in wanted:
        slots, sealed = (100_000, 1_000) if quick else (1_000_000, 20_000)
        plan.groups.append(lists.cases(place, slots=slots, sealed=sealed))
        plan.ratios += lists.RATIOS
    if "requests" in wanted:
        plan.groups.append(request_path.cases(place, rounds=rounds, seconds=seconds))
        plan.ratios += request_path.RATIOS
        plan.databases.append(DATABASE)
    return plan


def _lost(place: Place, databases: Sequence[str], samples: Sequence[Sample]) -> list[str]:
    """Return what was lost: in the databases, or between an answer and them."""
    found = [what for database in databases for what in kept.lost(place, database)]
    found += [f"{sample.case}: {sample.bad} bad answers" for sample in samples if sample.bad]
    if DATABASE in databases:
        answered = sum(s.count for s in samples if s.case.startswith(("randomize/", "floor/")))
        if answered != kept.allocations(place, DATABASE):
            found.append(f"{answered} were randomized; {kept.allocations(place, DATABASE)} hold a slot")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a minute instead of many; smaller databases")
    parser.add_argument("--only", choices=GROUPS, help="one group of cases")
    parser.add_argument("--rounds", type=int, help="how often each case runs (5; quick 2)")
    parser.add_argument(
        "--seconds", type=float, help="how long a request or SQL case runs each time (3; quick 1)"
    )
    parser.add_argument(
        "--patience", type=float, default=0, metavar="S", help="wait so long for a quiet machine before each"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with bars")
    return parser


if __name__ == "__main__":
    sys.exit(main())
