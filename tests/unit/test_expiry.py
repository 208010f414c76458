"""Expiry to the minute, and dispatch at fixed minutes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supply.domain import expiry

MOMENTS = st.integers(0, 10**9).map(
    lambda second: dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=second)
)


def at(text: str) -> dt.datetime:
    """A moment of 1 March 2026, UTC."""
    return dt.datetime.fromisoformat(f"2026-03-01T{text}+00:00")


@pytest.mark.requirement(37)
def test_a_bag_expires_the_stability_after_its_preparation_rounded_down_to_the_minute() -> None:
    assert expiry.expires_at(at("08:30:59.999999"), 360) == at("14:30")
    assert expiry.expires_at(at("08:30:00"), 360) == at("14:30")


@pytest.mark.requirement(37)
def test_expiry_counts_minutes_and_not_the_hands_of_the_clock() -> None:
    # Berlin, 29 March 2026: 01:30 CET, and the clocks skip from 02:00 to 03:00.
    prepared = dt.datetime(2026, 3, 29, 1, 30, tzinfo=ZoneInfo("Europe/Berlin"))

    assert expiry.expires_at(prepared, 60) == dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
    assert expiry.expires_at(prepared, 60).utcoffset() == dt.timedelta(0)


@given(prepared=MOMENTS, minutes=st.integers(1, 10_000))
@pytest.mark.requirement(37)
def test_no_bag_ever_gets_more_than_its_stability(prepared: dt.datetime, minutes: int) -> None:
    kept = expiry.expires_at(prepared, minutes) - prepared

    assert dt.timedelta(minutes=minutes - 1) < kept <= dt.timedelta(minutes=minutes)


@pytest.mark.parametrize("minutes", [0, -1])
@pytest.mark.requirement(37)
def test_the_trial_must_set_the_stability(minutes: int) -> None:
    with pytest.raises(ValueError, match="stability"):
        expiry.expires_at(at("08:30"), minutes)


def test_a_time_without_a_zone_is_refused() -> None:
    naive = dt.datetime(2026, 3, 1, 8, 30)  # noqa: DTZ001

    with pytest.raises(ValueError, match="zone"):
        expiry.expires_at(naive, 360)
    with pytest.raises(ValueError, match="zone"):
        expiry.next_dispatch(naive, (0,))


@pytest.mark.requirement(38)
def test_an_infusion_may_end_at_the_minute_of_expiry_and_not_after_it() -> None:
    assert not expiry.would_expire_before_end(at("14:30"), at("13:30"), 60)
    assert expiry.would_expire_before_end(at("14:30"), at("13:30:01"), 60)


@pytest.mark.parametrize(
    ("covered", "dispatched"),
    [
        ("08:14:59.999999", "08:15"),
        ("08:15:00", "08:30"),
        ("08:15:00.000001", "08:30"),
        ("08:45:00", "09:00"),
        ("08:59:59", "09:00"),
    ],
)
@pytest.mark.requirement(36)
def test_a_covered_bag_leaves_at_the_next_dispatch_minute(covered: str, dispatched: str) -> None:
    assert expiry.next_dispatch(at(covered), (0, 15, 30, 45)) == at(dispatched)


@pytest.mark.requirement(36)
def test_dispatch_crosses_the_hour_and_the_day() -> None:
    assert expiry.next_dispatch(at("23:50"), (20,)) == at("00:20") + dt.timedelta(days=1)
    assert expiry.next_dispatch(at("08:20"), (20,)) == at("09:20")


@given(moment=MOMENTS, minutes=st.sets(st.integers(0, 59), min_size=1))
@pytest.mark.requirement(36)
def test_dispatch_is_later_within_the_hour_and_on_a_given_minute(
    moment: dt.datetime, minutes: set[int]
) -> None:
    dispatch = expiry.next_dispatch(moment, tuple(minutes))

    assert moment < dispatch <= moment + dt.timedelta(hours=1)
    assert dispatch.minute in minutes
    assert (dispatch.second, dispatch.microsecond) == (0, 0)


@pytest.mark.parametrize("minutes", [(), (60,), (-1, 5)])
def test_impossible_dispatch_minutes_are_refused(minutes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="dispatch minutes"):
        expiry.next_dispatch(at("08:00"), minutes)
