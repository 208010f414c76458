"""
When each infusion may be given: days at the site, turned into moments.

Day 1 is the calendar date at the site on which the participant was randomized, and there is no day
0: Day 3 is the date two days later. Windows are whole local days, so they are 23 or 25 hours long
where the clocks change, and begin at the first moment of the local date even where midnight is
skipped. 07:30 in Wuhan is still the day before in UTC, which is why the zone comes first.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from trialsite.errors import Refused
from trialsite.protocol import PlannedInfusion


class IntervalTooShort(Refused):
    """The previous infusion is not yet far enough in the past, though the window is open."""

    code = "interval_too_short"


@dataclass(frozen=True, slots=True)
class VisitWindow:
    """One infusion's window: ``opens_at`` is inside it, ``closes_at`` is not. All times are UTC."""

    number: int
    day: int
    opens_at: dt.datetime
    target_at: dt.datetime
    closes_at: dt.datetime


def visit_windows(
    randomized_at: dt.datetime, *, time_zone: str, plan: Iterable[PlannedInfusion]
) -> tuple[VisitWindow, ...]:
    """
    Return the window of every planned infusion, in the order of ``plan``.

    ``time_zone`` is the site's IANA name. A target time that the clocks skip becomes the moment
    as long after the change; one that occurs twice is the first.

    :raises ValueError: if ``randomized_at`` has no zone, or a day is less than 1.
    :raises zoneinfo.ZoneInfoNotFoundError: if there is no such zone.
    """
    if randomized_at.utcoffset() is None:
        raise ValueError("a time without its zone names no moment")
    zone = ZoneInfo(time_zone)
    day_one = randomized_at.astimezone(zone).date()
    return tuple(_window(planned, day_one, zone) for planned in plan)


def in_other_zone(
    opens_at: dt.datetime, target_at: dt.datetime, closes_at: dt.datetime, *, old: str, new: str
) -> tuple[dt.datetime, dt.datetime, dt.datetime]:
    """
    Return the three moments of a window as they are at a site of another zone: the dates stay.

    What was a whole day there is the same whole day here, and the target keeps its time of day.
    ``old`` and ``new`` are IANA names.
    """
    there, here = ZoneInfo(old), ZoneInfo(new)
    opens, closes = (
        _moment(end.astimezone(there).date(), dt.time.min, here) for end in (opens_at, closes_at)
    )
    target = target_at.astimezone(there)
    return opens, _moment(target.date(), target.time(), here), closes


def check_interval(*, previous_started_at: dt.datetime | None, at: dt.datetime, min_hours: int) -> None:
    """
    Refuse a start at ``at`` that follows the previous infusion's start too closely.

    Elapsed hours from start to start, so a change of the clocks shortens nothing.

    :raises IntervalTooShort: if less than ``min_hours`` lie between the two starts.
    """
    if previous_started_at is None:
        return
    if at - previous_started_at < dt.timedelta(hours=min_hours):
        raise IntervalTooShort(f"Less than {min_hours} hours have passed since the previous infusion began.")


def _window(planned: PlannedInfusion, day_one: dt.date, zone: ZoneInfo) -> VisitWindow:
    if planned.day < 1:
        raise ValueError("trial days count from 1")
    date = day_one + dt.timedelta(days=planned.day - 1)
    opens = date - dt.timedelta(days=planned.opens_days_before)
    closes = date + dt.timedelta(days=planned.closes_days_after + 1)
    return VisitWindow(
        number=planned.number,
        day=planned.day,
        opens_at=_moment(opens, dt.time.min, zone),
        target_at=_moment(date, planned.target_time, zone),
        closes_at=_moment(closes, dt.time.min, zone),
    )


def _moment(date: dt.date, time: dt.time, zone: ZoneInfo) -> dt.datetime:
    # fold=0 is the first of two equal times and, for a time that is skipped, reads it with the
    # offset before the change: midnight that does not exist becomes the first moment of the day.
    return dt.datetime.combine(date, time.replace(fold=0), tzinfo=zone).astimezone(dt.UTC)
