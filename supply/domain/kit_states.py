"""
The life of one kit as the masked side knows it: from its release to its end, as a table.

Before its release a kit is a preparation and known to the unmasked side only. Nothing leads back
to ``released``: a bag that has been out of the pharmacy's hands is never handed over again.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Final

from supply.domain.moves import IllegalMove, Move, follow, is_allowed

__all__ = ["MOVES", "UNSTARTED", "IllegalMove", "KitAction", "KitStatus", "after", "effective_status", "may"]


class KitStatus(StrEnum):
    """Where a kit stands; the values are part of the REST interface."""

    RELEASED = "released"
    DISPENSED = "dispensed"
    STARTED = "started"
    USED = "used"
    RETURNED = "returned"
    WASTED = "wasted"
    DAMAGED = "damaged"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class KitAction(StrEnum):
    """What can happen to a kit."""

    DISPENSE = "dispense"
    START = "start"
    LATE_START = "late_start"
    FOUND_STARTED = "found_started"
    FINISH = "finish"
    RETURN = "return"
    WASTE = "waste"
    DAMAGE = "damage"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"


_S = KitStatus
_A = KitAction

UNSTARTED: Final = frozenset({_S.RELEASED, _S.DISPENSED})

MOVES: Final[dict[str, Move]] = {
    _A.DISPENSE: Move(frozenset({_S.RELEASED}), _S.DISPENSED),
    _A.START: Move(frozenset({_S.DISPENSED}), _S.STARTED),
    # Written down afterwards. The clock or a recall may have reached the row in between.
    _A.LATE_START: Move(UNSTARTED | {_S.EXPIRED, _S.WITHDRAWN}, _S.STARTED),
    # Found out afterwards, against what a person had recorded of the bag: a deviation and a fact.
    _A.FOUND_STARTED: Move(frozenset({_S.RETURNED, _S.WASTED, _S.DAMAGED}), _S.STARTED),
    # However the infusion ended, what was hung is used; the volume given is the infusion's.
    _A.FINISH: Move(frozenset({_S.STARTED}), _S.USED),
    # An expired or withdrawn bag is still a bag: it comes back to the pharmacy, or is destroyed.
    _A.RETURN: Move(UNSTARTED | {_S.EXPIRED, _S.WITHDRAWN}, _S.RETURNED),
    _A.WASTE: Move(UNSTARTED | {_S.RETURNED, _S.DAMAGED, _S.EXPIRED, _S.WITHDRAWN}, _S.WASTED),
    _A.DAMAGE: Move(UNSTARTED | {_S.RETURNED}, _S.DAMAGED),
    _A.EXPIRE: Move(UNSTARTED, _S.EXPIRED),
    _A.WITHDRAW: Move(UNSTARTED, _S.WITHDRAWN),
}


def may(status: str, action: str) -> bool:
    """Say whether ``action`` may follow ``status``: the question form of ``after``."""
    return is_allowed(MOVES, status, action)


def after(status: str, action: str) -> KitStatus:
    """
    Return the status that ``action`` leads to.

    :raises IllegalMove: if ``action`` may not start from ``status``.
    """
    return follow(MOVES, KitStatus, status, action)


def effective_status(status: str, expires_at: dt.datetime, at: dt.datetime) -> KitStatus:
    """Return the status at ``at``, whether or not a sweep has run: unstarted and past expiry is expired."""
    present = KitStatus(status)
    if present in UNSTARTED and at >= expires_at:
        return _S.EXPIRED
    return present
