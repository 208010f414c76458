"""What consent stands after acts that came in any order."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass

import pytest

from randomization.domain.consent import Standing, standing

NOON = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Act:
    act: str
    hour: int
    version: str = ""
    giver: str = "participant"
    scope: str = ""
    recorded: int = 0

    @property
    def at(self) -> dt.datetime:
        return after(self.hour)

    @property
    def recorded_at(self) -> dt.datetime:
        return after(self.recorded or self.hour)


def after(hours: int) -> dt.datetime:
    return NOON + dt.timedelta(hours=hours)


def given(hour: int, version: str = "1.0", **other) -> Act:
    return Act("given", hour, version, **other)


def withdrawn(hour: int, scope: str = "treatment", **other) -> Act:
    return Act("withdrawn", hour, scope=scope, **other)


def test_without_an_act_there_is_no_consent():
    assert standing([]) is None
    assert standing([withdrawn(1)]) is None


@pytest.mark.parametrize(
    ("acts", "stands"),
    [
        ([given(0)], Standing("1.0", "participant", after(0))),
        ([given(0), given(2, "2.0")], Standing("2.0", "participant", after(2))),
        (
            [given(0, giver="representative"), given(5)],
            Standing("1.0", "participant", after(5)),
        ),
        (
            [given(0), withdrawn(3), withdrawn(4, "study")],
            Standing("1.0", "participant", after(0), after(3), frozenset({"treatment", "study"})),
        ),
        ([given(0), withdrawn(3), given(6, "2.0")], Standing("2.0", "participant", after(6))),
    ],
)
def test_what_stands_follows_from_when_it_happened_and_not_from_when_it_was_entered(acts, stands):
    for order in itertools.permutations(acts):
        assert standing(order) == stands


def test_of_one_moment_the_act_that_was_recorded_last_counts():
    acts = [given(1, recorded=1), withdrawn(1, recorded=2)]

    found = standing(acts)

    assert found is not None
    assert found.withdrawn_at == after(1)
