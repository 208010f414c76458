"""Which reports of errors hold, and the rate of randomizations in error with its interval."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from randomization.domain.randomization_errors import ErrorRate, after, holding, wilson_interval

ANN, BO, CY = (uuid.UUID(int=number) for number in range(3))
USED, TRUE = {"age_group": "18-59"}, {"age_group": "60-75"}
NOON = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)


@dataclass
class AReport:
    kind: str
    participant_id: uuid.UUID = ANN
    criteria: Any = field(default_factory=list)
    stratum_used: Any = field(default_factory=lambda: USED)
    true_stratum: Any = None
    duplicate_of_id: uuid.UUID | None = None


def test_the_latest_report_of_a_kind_holds_for_each_participant():
    first = AReport("ineligible", criteria=["E1"])
    of_another = AReport("ineligible", BO, criteria=["E2"])
    later = AReport("ineligible", criteria=["E3"])
    of_another_kind = AReport("randomized_in_error")

    assert holding([first, of_another, later, of_another_kind]) == [later, of_another, of_another_kind]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (AReport("wrong_stratum", true_stratum=TRUE), AReport("wrong_stratum", true_stratum=USED)),
        (AReport("ineligible", criteria=["E1"]), AReport("ineligible")),
    ],
)
def test_what_proved_right_after_all_holds_no_more(wrong, right):
    assert holding([wrong]) == [wrong]
    assert holding([wrong, right]) == []
    assert holding([wrong, right, wrong]) == [wrong]


def test_one_participant_may_be_the_duplicate_of_two():
    pairs = [AReport("duplicate", CY, duplicate_of_id=first) for first in (ANN, BO)]

    assert holding(pairs) == pairs


def test_what_is_served_later_is_recorded_later():
    earlier = NOON - dt.timedelta(seconds=1)

    assert after(None, NOON) == NOON
    assert after(earlier, NOON) == NOON
    assert NOON < after(NOON, earlier) == after(NOON, NOON) < NOON + dt.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    # Newcombe 1998 (Statist Med 17:857), table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons_as_published(successes, trials, lower, upper):
    found = wilson_interval(successes, trials)

    assert found == pytest.approx((lower, upper), abs=0.00005)


@pytest.mark.requirement(89)
@pytest.mark.parametrize(
    ("participants", "randomized", "percent", "level"),
    [
        (0, 48, "0.00", "none"),
        (1, 51, "1.96", "medium"),
        (1, 50, "2.00", "medium"),
        (1, 49, "2.04", "high"),
        (48, 48, "100.00", "high"),
    ],
)
def test_above_two_percent_is_high(participants, randomized, percent, level):
    rate = ErrorRate(participants=participants, randomized=randomized)

    assert (rate.rate_percent, rate.level) == (Decimal(percent), level)


@pytest.mark.requirement(89)
def test_the_rate_comes_with_its_interval_and_before_the_first_there_is_none():
    assert ErrorRate(participants=1, randomized=29).interval_95_percent == (Decimal("0.61"), Decimal("17.18"))
    assert ErrorRate(participants=0, randomized=0).rate_percent is None
    assert ErrorRate(participants=0, randomized=0).interval_95_percent is None
    assert ErrorRate(participants=0, randomized=0).level == "none"
