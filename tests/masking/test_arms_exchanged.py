"""
Nothing that reaches a masked role depends on an arm.

The same days are played with the arms as the list has them, with the two exchanged, and with arms
that are quite others, on real processes over real HTTP. Every byte that a masked role is sent is
compared: status line, headers in their order (Date too, for the clock is given), bodies, pages,
labels, e-mails, and the log of the masked process.
"""

from __future__ import annotations

import pytest

from tests.masking.compare import differences, report
from tests.masking.conftest import Plays


@pytest.mark.requirement(36, 50, 52, 53, 54, 64)
def test_masked_roles_see_the_same_bytes_when_the_arms_are_exchanged(plays: Plays) -> None:
    found = differences(plays.as_listed.seen, plays.exchanged.seen)

    assert not found, report(found)
