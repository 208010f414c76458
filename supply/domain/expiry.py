"""
Expiry in minutes, from the end of preparation; and the minutes at which covered bags are dispatched.

One rule for both treatments, since a clock that differed would tell the arm. Nothing here has a
default: how long a bag keeps, and when bags leave, are the trial's to say.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection


def expires_at(prepared_at: dt.datetime, stability_minutes: int) -> dt.datetime:
    """
    Return when the bag expires, in UTC, rounded down to the minute.

    Down, so that the minute printed on the label never promises more than was shown to be stable.

    :raises ValueError: if ``prepared_at`` has no zone or the stability is not positive.
    """
    if stability_minutes <= 0:
        raise ValueError("the stability must be a positive number of minutes")
    moment = _in_utc(prepared_at) + dt.timedelta(minutes=stability_minutes)
    return moment.replace(second=0, microsecond=0)


def would_expire_before_end(expires_at: dt.datetime, start: dt.datetime, planned_minutes: int) -> bool:
    """Say whether an infusion begun at ``start`` would still run after the bag has expired."""
    return start + dt.timedelta(minutes=planned_minutes) > expires_at


def next_dispatch(at: dt.datetime, minutes: Collection[int]) -> dt.datetime:
    """
    Return the first dispatch moment strictly after ``at``, in UTC.

    ``minutes`` are minutes of the hour, counted in UTC: in a zone that is off by half an hour, the
    clock on the wall shows another minute, at the same moments. Strictly after, so that a bag
    covered within a dispatch minute waits like every other and its release tells no duration.

    :raises ValueError: if there are no minutes, one lies outside 0 to 59, or ``at`` has no zone.
    """
    if not minutes or not all(0 <= minute <= 59 for minute in minutes):
        raise ValueError("dispatch minutes are one or more numbers from 0 to 59")
    hour = _in_utc(at).replace(minute=0, second=0, microsecond=0)
    moments = (
        start + dt.timedelta(minutes=minute)
        for start in (hour, hour + dt.timedelta(hours=1))
        for minute in minutes
    )
    return min(moment for moment in moments if moment > at)


def _in_utc(moment: dt.datetime) -> dt.datetime:
    if moment.utcoffset() is None:
        raise ValueError("a time without its zone names no moment")
    return moment.astimezone(dt.UTC)
