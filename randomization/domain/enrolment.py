"""
Who may be enrolled where: the states of enrolment, of the trial and of each site.

``active`` enrols; ``paused`` screens and does not randomize; ``suspended`` and ``closed`` do neither.
Treatment, infusions and code breaks go on in all of them. A site that was never opened has no state
and enrols nobody (ICH E6(R3) 4.3.5). What is closed is opened again by a reasoned ``active`` alone.

Pure: no Django.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Act(StrEnum):
    """What a state of enrolment allows or not."""

    SCREEN = "screen"
    RANDOMIZE = "randomize"


ACTIVE, PAUSED, SUSPENDED, CLOSED = "active", "paused", "suspended", "closed"

# From the state that holds (None: never opened) to those that may follow.
MOVES: Final = {
    None: frozenset({ACTIVE}),
    ACTIVE: frozenset({PAUSED, SUSPENDED, CLOSED}),
    PAUSED: frozenset({ACTIVE, SUSPENDED, CLOSED}),
    SUSPENDED: frozenset({ACTIVE, PAUSED, CLOSED}),
    CLOSED: frozenset({ACTIVE}),
}

_ALLOWS: Final = {ACTIVE: frozenset(Act), PAUSED: frozenset({Act.SCREEN})}


def allows(status: str | None, act: Act) -> bool:
    """Return whether a state of enrolment allows the act."""
    return act in _ALLOWS.get(status or "", frozenset())
