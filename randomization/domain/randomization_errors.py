"""
Randomization errors: which reports of one participant hold, and how often errors happen.

What was reported stays; a later report of the same kind about the same participant replaces it.
A wrong stratum holds unless the latest report says that the stratum used was right after all, and
ineligibility unless the latest names no criterion. The others, once reported, hold.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Protocol, TypeVar

# Thresholds of the indicator "High Percentage of Incorrect Subject Randomization" (article 363 of
# kri-wiki.helpscoutdocs.com): medium above 0 %, high above 2 %, for the trial and for each site.
HIGH_ABOVE_PERCENT = 2
_Z_95 = 1.959963984540054
_HUNDREDTH = Decimal("0.01")


class Report(Protocol):
    """What is needed of a report of an error to know what it says."""

    participant_id: uuid.UUID
    kind: str
    criteria: Any
    stratum_used: Any
    true_stratum: Any
    duplicate_of_id: uuid.UUID | None


R = TypeVar("R", bound=Report)


def holding(reports: Iterable[R]) -> list[R]:
    """Return of ``reports``, oldest first, those that are in force, in the order of their subjects."""
    latest: dict[Hashable, R] = {}
    for report in reports:
        latest[report.participant_id, report.kind, report.duplicate_of_id] = report
    return [report for report in latest.values() if is_an_error(report)]


def is_an_error(report: Report) -> bool:
    """Return whether the report says that something was wrong, and not that it was right after all."""
    match report.kind:
        case "wrong_stratum":
            return bool(report.true_stratum != report.stratum_used)
        case "ineligible":
            return bool(report.criteria)
    return True


def after(previous: dt.datetime | None, at: dt.datetime) -> dt.datetime:
    """
    Return the time to record something at that comes after ``previous``: ``at``, if it does.

    A request that waited for another's lock was asked before it; whoever is served later is later.
    """
    return at if previous is None or at > previous else previous + dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class ErrorRate:
    """How many of the randomized have at least one error: participants are counted, not errors."""

    participants: int
    randomized: int

    @property
    def rate_percent(self) -> Decimal | None:
        """The share in percent, to two places; None before anybody is randomized."""
        return _percent(self.participants / self.randomized) if self.randomized else None

    @property
    def interval_95_percent(self) -> tuple[Decimal, Decimal] | None:
        """The 95 % Wilson score interval (Wilson 1927; Newcombe 1998, method 3), in percent."""
        if not self.randomized:
            return None
        lower, upper = wilson_interval(self.participants, self.randomized)
        return _percent(lower), _percent(upper)

    @property
    def level(self) -> str:
        """``none``, ``medium`` above 0 %, or ``high`` above HIGH_ABOVE_PERCENT."""
        if 100 * self.participants > HIGH_ABOVE_PERCENT * self.randomized:
            return "high"
        return "medium" if self.participants else "none"


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the limits of the 95 % Wilson score interval of a share, within 0 and 1."""
    share, weight = successes / trials, _Z_95**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def _percent(share: float) -> Decimal:
    return Decimal(100 * share).quantize(_HUNDREDTH, ROUND_HALF_UP)
