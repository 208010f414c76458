"""Windows are days at the site, whatever the clocks do."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supply.domain.visit_windows import (
    IntervalTooShort,
    VisitWindow,
    check_interval,
    in_other_zone,
    visit_windows,
)


@dataclass(frozen=True)
class Planned:
    """One infusion of the plan: its day and the next, to be given at ten."""

    number: int
    day: int
    opens_days_before: int = 0
    closes_days_after: int = 1
    target_time: dt.time = dt.time(10, 0)


PLAN = tuple(Planned(number, day) for number, day in enumerate((1, 3, 5, 7), start=1))


def utc(text: str) -> dt.datetime:
    """A moment in UTC."""
    return dt.datetime.fromisoformat(text + "+00:00")


def windows(randomized: str, zone: str, plan: tuple[Planned, ...] = PLAN) -> tuple[VisitWindow, ...]:
    """The windows of a participant randomized at that time in UTC."""
    return visit_windows(utc(randomized), time_zone=zone, plan=plan)


@pytest.mark.requirement(43)
def test_half_past_seven_in_wuhan_is_day_one_in_wuhan_and_the_day_before_in_utc() -> None:
    first, second, third, fourth = windows("2020-02-29T23:30", "Asia/Shanghai")

    # 1 March in Wuhan begins on 29 February at 16:00 UTC.
    assert first == VisitWindow(
        1, 1, utc("2020-02-29T16:00"), utc("2020-03-01T02:00"), utc("2020-03-02T16:00")
    )
    assert (second.number, second.day, second.opens_at) == (2, 3, utc("2020-03-02T16:00"))
    assert (third.number, third.day, third.opens_at) == (3, 5, utc("2020-03-04T16:00"))
    assert (fourth.number, fourth.day, fourth.closes_at) == (4, 7, utc("2020-03-08T16:00"))


@pytest.mark.requirement(43)
def test_the_day_before_midnight_at_the_site_is_still_day_one() -> None:
    just_before = windows("2020-02-29T15:59:59", "Asia/Shanghai")[0]
    midnight = windows("2020-02-29T16:00", "Asia/Shanghai")[0]

    assert just_before.opens_at == utc("2020-02-28T16:00")
    assert midnight.opens_at == utc("2020-02-29T16:00")


@pytest.mark.parametrize(
    ("randomized", "zone", "day_one", "day_three_target", "day_three_closes"),
    [
        # Berlin: forwards on 29 March 2026 (Day 3 for one randomized on the 27th), back on 25 October.
        ("2026-03-27T09:00", "Europe/Berlin", "2026-03-26T23:00", "2026-03-29T08:00", "2026-03-30T22:00"),
        ("2026-10-23T09:00", "Europe/Berlin", "2026-10-22T22:00", "2026-10-25T09:00", "2026-10-26T23:00"),
        # New York: forwards on 8 March 2026, back on 1 November.
        ("2026-03-06T15:00", "America/New_York", "2026-03-06T05:00", "2026-03-08T14:00", "2026-03-10T04:00"),
        ("2026-10-30T15:00", "America/New_York", "2026-10-30T04:00", "2026-11-01T15:00", "2026-11-03T05:00"),
    ],
)
@pytest.mark.requirement(43)
def test_windows_keep_to_local_midnight_and_ten_oclock_where_the_clocks_change(
    randomized: str, zone: str, day_one: str, day_three_target: str, day_three_closes: str
) -> None:
    first, second, *_ = windows(randomized, zone)

    assert first.opens_at == utc(day_one)
    assert second.target_at == utc(day_three_target)
    assert second.closes_at == utc(day_three_closes)


@pytest.mark.requirement(43)
def test_randomization_in_the_hour_that_occurs_twice_is_on_that_day() -> None:
    first_pass = windows("2026-10-25T00:30", "Europe/Berlin")[0]
    second_pass = windows("2026-10-25T01:30", "Europe/Berlin")[0]

    assert first_pass == second_pass


def test_a_day_that_has_no_midnight_begins_at_its_first_moment() -> None:
    # Cairo, 24 April 2026: the clocks go from 00:00 to 01:00.
    day = windows("2026-04-24T09:00", "Africa/Cairo")[0]

    assert day.opens_at == utc("2026-04-23T22:00")
    assert day.opens_at.astimezone(dt.timezone(dt.timedelta(hours=3))).hour == 1


def test_a_target_time_that_is_skipped_or_occurs_twice_is_one_moment() -> None:
    at_half_past_two = (Planned(1, 1, target_time=dt.time(2, 30)),)

    skipped = windows("2026-03-29T09:00", "Europe/Berlin", at_half_past_two)[0]
    twice = windows("2026-10-25T09:00", "Europe/Berlin", at_half_past_two)[0]

    assert skipped.target_at == utc("2026-03-29T01:30")
    assert twice.target_at == utc("2026-10-25T00:30")


@pytest.mark.requirement(43)
def test_days_before_and_after_widen_the_window_by_whole_local_days() -> None:
    wide = windows("2026-03-01T12:00", "UTC", (Planned(2, 3, opens_days_before=1, closes_days_after=0),))[0]

    assert (wide.opens_at, wide.closes_at) == (utc("2026-03-02T00:00"), utc("2026-03-04T00:00"))


@pytest.mark.requirement(43, 48)
def test_a_window_that_moves_to_another_zone_keeps_its_dates_and_its_time_of_day() -> None:
    wuhan = windows("2026-03-02T12:00", "Asia/Shanghai", PLAN)[1]

    moved = in_other_zone(
        wuhan.opens_at, wuhan.target_at, wuhan.closes_at, old="Asia/Shanghai", new="Europe/Berlin"
    )

    there = windows("2026-03-02T12:00", "Europe/Berlin", PLAN)[1]
    assert moved == (there.opens_at, there.target_at, there.closes_at)
    assert moved[0] - wuhan.opens_at == dt.timedelta(hours=7)


@pytest.mark.requirement(43)
def test_a_day_without_midnight_is_a_whole_day_again_where_there_is_one() -> None:
    # In Cairo the clocks went from 23:59 to 01:00 on that night.
    cairo = windows("2026-04-23T12:00", "Africa/Cairo", (Planned(1, 2),))[0]

    opens, _, closes = in_other_zone(
        cairo.opens_at, cairo.target_at, cairo.closes_at, old="Africa/Cairo", new="Asia/Shanghai"
    )

    assert (opens, closes) == (utc("2026-04-23T16:00"), utc("2026-04-25T16:00"))


@given(
    moment=st.datetimes(dt.datetime(2015, 1, 1), dt.datetime(2035, 1, 1), timezones=st.just(dt.UTC)),  # noqa: DTZ001
    zone=st.sampled_from(
        [
            "Asia/Shanghai",
            "Europe/Berlin",
            "America/New_York",
            "Africa/Cairo",
            "America/Havana",
            "Asia/Kolkata",
        ]
    ),
)
@pytest.mark.requirement(43)
def test_four_windows_each_holding_its_target_and_day_one_holding_the_randomization(
    moment: dt.datetime, zone: str
) -> None:
    planned = visit_windows(moment, time_zone=zone, plan=PLAN)

    assert [window.number for window in planned] == [1, 2, 3, 4]
    assert all(window.opens_at <= window.target_at < window.closes_at for window in planned)
    assert planned[0].opens_at <= moment < planned[0].closes_at
    assert all(early.closes_at == late.opens_at for early, late in itertools.pairwise(planned))
    assert {window.opens_at.utcoffset() for window in planned} == {dt.timedelta(0)}


def test_there_is_no_day_zero_and_no_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="count from 1"):
        windows("2026-03-01T12:00", "UTC", (Planned(1, 0),))
    with pytest.raises(ValueError, match="zone"):
        visit_windows(dt.datetime(2026, 3, 1), time_zone="UTC", plan=PLAN)  # noqa: DTZ001


@pytest.mark.requirement(46)
def test_the_minimum_interval_holds_inside_the_window() -> None:
    previous = utc("2026-03-02T20:00")

    check_interval(previous_started_at=None, at=previous, min_hours=36)
    check_interval(previous_started_at=previous, at=previous + dt.timedelta(hours=36), min_hours=36)
    with pytest.raises(IntervalTooShort) as refusal:
        check_interval(
            previous_started_at=previous, at=previous + dt.timedelta(hours=35, minutes=59), min_hours=36
        )

    assert refusal.value.code == "interval_too_short"
