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
    leaks.FIELD: r"masked (investigator|pharmacist|.*): GET /api/v1/participants/[0-9a-f-]{36} 200",
    leaks.MESSAGE: r"masked pharmacist: POST /api/v1/infusions/[0-9a-f-]{36}/dispense 409",
    leaks.LABEL: r"label of LOCAL-",
    leaks.ORDER: r"masked .*: GET /api/v1/kits(\?page_size=200)? 200",
    leaks.MAIL: r"file mail/sent",
}


@pytest.mark.requirement(50)
@pytest.mark.parametrize("leak", leaks.ALL)
def test_a_planted_leak_is_found(leak: str, plays: Plays) -> None:
    found = differences(plays.leaking.seen, plays.leaking_exchanged.seen)

    assert any(re.search(SHOWN[leak], difference.partition("\n")[0]) for difference in found), leak


def test_nothing_but_the_planted_leaks_is_found(plays: Plays) -> None:
    found = differences(plays.leaking.seen, plays.leaking_exchanged.seen)

    unexplained = [
        difference
        for difference in found
        if not any(re.search(shown, difference.partition("\n")[0]) for shown in SHOWN.values())
    ]
    assert not unexplained, unexplained


def test_a_leak_of_one_byte_that_keeps_the_length_is_shown_to_the_reader(plays: Plays) -> None:
    found = differences(plays.leaking.seen, plays.leaking_exchanged.seen)

    (shown, *_) = [difference for difference in found if "/participants/" in difference]
    assert '-"regimen":"x"' in shown.replace("}", "")
    assert '+"regimen":"y"' in shown.replace("}", "")
