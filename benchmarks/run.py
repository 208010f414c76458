"""Cases, run in turn: one round of all, then the next, so that a slow minute slows all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tqdm import tqdm

from benchmarks import machine
from benchmarks.load import Answers


@dataclass(frozen=True)
class Case:
    """One thing that is measured. ``expected`` is the status of a good answer, if it is a request."""

    name: str
    run: Callable[[], Answers]
    expected: str = ""


@dataclass(frozen=True)
class Sample:
    """
    One round of a case: things a second, milliseconds of the median and of one in a hundred, and of
    processor time for each, of client, server and database together.
    """

    case: str
    round: int
    count: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    bad: int
    foreign: float


@dataclass(frozen=True)
class Ratio:
    """
    What is printed: a case over another, ``by`` rate, by p50 or by cpu (what the other takes of the
    processors over what it takes); or by tail, its own p99 over its p50.

    ``goal`` is a least value, or with ``at_most`` a greatest one.
    """

    label: str
    over: str
    under: str
    by: str = "rate"
    goal: float | None = None
    at_most: bool = False


@dataclass(frozen=True)
class Result:
    """A ratio as it came out: the median of the rounds, the least and the greatest."""

    ratio: Ratio
    median: float
    least: float
    greatest: float
    rounds: int

    @property
    def verdict(self) -> str:
        if self.ratio.goal is None:
            return ""
        held = self.median <= self.ratio.goal if self.ratio.at_most else self.median >= self.ratio.goal
        return "held" if held else "MISSED"

    @property
    def goal(self) -> str:
        if self.ratio.goal is None:
            return ""
        return f"{'≤' if self.ratio.at_most else '≥'} {self.ratio.goal:,.5g}"


def in_turn(cases: Sequence[Case], *, rounds: int, patience: float, progress: tqdm[Any]) -> list[Sample]:
    """
    Run every case once, then every case again, ``rounds`` times.

    :param patience: how many seconds each may wait for others to leave the machine alone.
    """
    samples = []
    for number in range(rounds):
        for case in cases:
            progress.set_postfix_str(case.name)
            machine.wait_for_quiet(patience)
            samples.append(_sample(case, number))
            progress.update()
    return samples


def _sample(case: Case, number: int) -> Sample:
    before = machine.now()
    answers = case.run()
    after = machine.now()
    good = answers.statuses[case.expected] if case.expected else len(answers.seconds)
    ordered = sorted(answers.seconds)
    return Sample(
        case=case.name,
        round=number,
        count=len(ordered),
        rate=len(ordered) / answers.elapsed,
        p50_ms=1000 * ordered[len(ordered) // 2],
        p99_ms=1000 * ordered[len(ordered) * 99 // 100],
        cpu_ms=1000 * (after.ours - before.ours) / len(ordered),
        bad=len(ordered) - good,
        foreign=machine.foreign_share(before, after),
    )


def results(samples: Iterable[Sample], ratios: Iterable[Ratio]) -> list[Result]:
    """Return each ratio whose cases were run: made within each round, then the median of the rounds."""
    by_place = {(sample.case, sample.round): sample for sample in samples}
    found = []
    for ratio in ratios:
        values = [
            _value(ratio, over, by_place.get((ratio.under, round_)))
            for (case, round_), over in by_place.items()
            if case == ratio.over and (not ratio.under or (ratio.under, round_) in by_place)
        ]
        if values:
            middle = statistics.median(values)
            found.append(Result(ratio, middle, min(values), max(values), len(values)))
    return found


def _value(ratio: Ratio, over: Sample, under: Sample | None) -> float:
    if ratio.by == "tail":
        return over.p99_ms / over.p50_ms
    if under is None:
        return over.rate
    if ratio.by == "p50":
        return over.p50_ms / under.p50_ms
    if ratio.by == "cpu":
        return under.cpu_ms / over.cpu_ms
    return over.rate / under.rate


def medians(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return one row for each case: the medians of its rounds, and how many answers were bad."""
    rows = []
    for case in dict.fromkeys(sample.case for sample in samples):
        own = [asdict(sample) for sample in samples if sample.case == case]
        row: dict[str, Any] = {"case": case, "rounds": len(own), "bad": sum(each["bad"] for each in own)}
        for name in ("rate", "p50_ms", "p99_ms", "cpu_ms", "foreign"):
            row[name] = statistics.median(each[name] for each in own)
        rows.append(row)
    return rows
