"""
The comparison is able to find a leak: positive controls, which stay.

The day is played with the arms as listed and exchanged, with leaks planted in the processes. Each
of them stands in answers of its own, and the comparison names those answers, and no others.
"""

from __future__ import annotations

import re

import pytest

from tests.masking import leaks
from tests.masking.compare import differences
from tests.masking.conftest import Plays

# Where each planted leak shows, as the comparison names it.
SHOWN = {
    leaks.FIELD: r"masked .*: GET /api/v1/participants/[0-9a-f-]{36} 200",
    leaks.MESSAGE: r"masked pharmacist: POST /api/v1/infusions/[0-9a-f-]{36}/dispense 409",
    leaks.LABEL: r"label of LOCAL-",
    leaks.ORDER: r"masked .*: GET /api/v1/kits(\?page_size=200)? 200",
    leaks.MAIL: r"file mail/sent",
    leaks.COMPANY: r"masked .*: GET /api/v1/infusions/[0-9a-f-]{36} 200",
}


pytestmark = pytest.mark.xdist_group("masking")


@pytest.mark.requirement(50)
@pytest.mark.parametrize("leak", leaks.TELLING_THE_ARM)
def test_a_planted_leak_is_found(leak: str, plays: Plays) -> None:
    found = differences(plays.leaking.seen, plays.leaking_exchanged.seen)

    assert _showing(leak, found)


@pytest.mark.requirement(50)
@pytest.mark.parametrize("leak", leaks.ALL)
def test_a_planted_leak_is_found_under_arms_that_are_not_merely_exchanged(leak: str, plays: Plays) -> None:
    found = differences(plays.leaking.seen, plays.leaking_unlike.seen)

    assert _showing(leak, found)


def test_exchanging_the_arms_does_not_show_a_leak_of_who_is_with_whom(plays: Plays) -> None:
    """Why there is a third play: in this the exchanged arms are as good as the same."""
    found = differences(plays.leaking.seen, plays.leaking_exchanged.seen)

    assert not _showing(leaks.COMPANY, found)


@pytest.mark.parametrize("other", ["leaking_exchanged", "leaking_unlike"])
def test_nothing_but_the_planted_leaks_is_found(other: str, plays: Plays) -> None:
    found = differences(plays.leaking.seen, getattr(plays, other).seen)

    explained = [difference for leak in leaks.ALL for difference in _showing(leak, found)]
    assert not set(found) - set(explained)


def test_a_leak_of_one_byte_that_keeps_the_length_is_shown_to_the_reader(plays: Plays) -> None:
    found = differences(plays.leaking.seen, plays.leaking_exchanged.seen)

    shown = _showing(leaks.FIELD, found)[0]
    assert '\n-"regimen":"' in shown
    assert '\n+"regimen":"' in shown


def _showing(leak: str, found: list[str]) -> list[str]:
    """Return the differences that stand where the leak was planted."""
    return [difference for difference in found if re.search(SHOWN[leak], difference.partition("\n")[0])]
