"""
The life of one planned infusion, as a table.

    scheduled > open > ordered > released > dispensed > started > given | interrupted

A window that closes with nothing recorded makes the infusion ``undocumented``, never ``missed``:
that an infusion was not given is for a person to say. What did happen can still be entered, late,
because a fact is never refused.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Final

from supply.domain.moves import IllegalMove, Move, follow, is_allowed

__all__ = [
    "MOVES",
    "IllegalMove",
    "InfusionAction",
    "InfusionStatus",
    "after",
    "effective_status",
    "may",
]


class InfusionStatus(StrEnum):
    """Where an infusion stands; the values are part of the REST interface."""

    SCHEDULED = "scheduled"
    OPEN = "open"
    ORDERED = "ordered"
    RELEASED = "released"
    DISPENSED = "dispensed"
    STARTED = "started"
    GIVEN = "given"
    INTERRUPTED = "interrupted"
    UNDOCUMENTED = "undocumented"
    MISSED = "missed"
    CANCELLED = "cancelled"


class InfusionAction(StrEnum):
    """What can happen to an infusion."""

    OPEN = "open"
    REPLAN = "replan"
    ORDER = "order"
    CANCEL_ORDER = "cancel_order"
    RELEASE = "release"
    DISPENSE = "dispense"
    START = "start"
    LATE_START = "late_start"
    FOUND_STARTED = "found_started"
    STOP_COMPLETED = "stop_completed"
    STOP_INTERRUPTED = "stop_interrupted"
    LOSE_KIT = "lose_kit"
    CLOSE = "close"
    MISS = "miss"
    CANCEL = "cancel"


_S = InfusionStatus
_A = InfusionAction

_NOT_BEGUN: Final = frozenset({_S.SCHEDULED, _S.OPEN, _S.ORDERED, _S.RELEASED, _S.DISPENSED})

MOVES: Final[dict[str, Move]] = {
    _A.OPEN: Move(frozenset({_S.SCHEDULED}), _S.OPEN),
    # Its window was moved with the participant to a site in another zone, where it may not be open yet.
    _A.REPLAN: Move(frozenset({_S.SCHEDULED, _S.OPEN}), _S.SCHEDULED),
    _A.ORDER: Move(frozenset({_S.OPEN}), _S.ORDERED),
    _A.CANCEL_ORDER: Move(frozenset({_S.ORDERED}), _S.OPEN),
    _A.RELEASE: Move(frozenset({_S.ORDERED}), _S.RELEASED),
    _A.DISPENSE: Move(frozenset({_S.RELEASED}), _S.DISPENSED),
    _A.START: Move(frozenset({_S.DISPENSED}), _S.STARTED),
    # Written down afterwards: the window has closed, or the hand-over itself was not recorded.
    _A.LATE_START: Move(frozenset({_S.RELEASED, _S.DISPENSED, _S.UNDOCUMENTED}), _S.STARTED),
    # Found out afterwards: the record had already ruled the start out (the sweep expired a bag
    # that was in fact running, a person declared the infusion missed, the participant was
    # discontinued meanwhile), or the bag was another infusion's. A deviation, and still a fact.
    _A.FOUND_STARTED: Move(
        frozenset({_S.SCHEDULED, _S.OPEN, _S.ORDERED, _S.MISSED, _S.CANCELLED}), _S.STARTED
    ),
    _A.STOP_COMPLETED: Move(frozenset({_S.STARTED}), _S.GIVEN),
    _A.STOP_INTERRUPTED: Move(frozenset({_S.STARTED}), _S.INTERRUPTED),
    # The bag was wasted, damaged, returned, withdrawn or expired before the start.
    _A.LOSE_KIT: Move(frozenset({_S.RELEASED, _S.DISPENSED}), _S.OPEN),
    _A.CLOSE: Move(_NOT_BEGUN, _S.UNDOCUMENTED),
    _A.MISS: Move(_NOT_BEGUN | {_S.UNDOCUMENTED}, _S.MISSED),
    # Discontinuation ends what has not begun. An infusion that is running ends with its stop,
    # which must stay recordable; an undocumented one may have been given, and calling it
    # cancelled would hide that nobody knows.
    _A.CANCEL: Move(_NOT_BEGUN, _S.CANCELLED),
}


def may(status: str, action: str) -> bool:
    """Say whether ``action`` may follow ``status``: the question form of ``after``."""
    return is_allowed(MOVES, status, action)


def after(status: str, action: str) -> InfusionStatus:
    """
    Return the status that ``action`` leads to.

    :raises IllegalMove: if ``action`` may not start from ``status``.
    """
    return follow(MOVES, InfusionStatus, status, action)


def effective_status(
    status: str, opens_at: dt.datetime, closes_at: dt.datetime, at: dt.datetime
) -> InfusionStatus:
    """
    Return the status as the window makes it at ``at``, whether or not a sweep has run.

    The window holds ``opens_at`` and excludes ``closes_at``. Only an infusion that nobody has
    acted on changes with time alone; one that was ordered keeps its status until it is moved.
    """
    present = InfusionStatus(status)
    if present not in (_S.SCHEDULED, _S.OPEN):
        return present
    if at >= closes_at:
        return _S.UNDOCUMENTED
    if present is _S.SCHEDULED and at >= opens_at:
        return _S.OPEN
    return present
