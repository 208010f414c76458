"""
The life of one preparation on the unmasked side, as a table; the same for both treatments.

    to_prepare > completed > verified > covered > released

A reject at any step before release leaves a remake with a new number under the same order, of
which the masked side sees nothing. After release the bag is a kit and lives in ``kit_states``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from supply.domain.moves import IllegalMove, Move, follow

__all__ = ["MOVES", "UNRELEASED", "IllegalMove", "PreparationAction", "PreparationStatus", "after"]


class PreparationStatus(StrEnum):
    """Where a preparation stands; the values are part of the REST interface."""

    TO_PREPARE = "to_prepare"
    COMPLETED = "completed"
    VERIFIED = "verified"
    COVERED = "covered"
    RELEASED = "released"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class PreparationAction(StrEnum):
    """What can happen to a preparation."""

    COMPLETE = "complete"
    VERIFY = "verify"
    COVER = "cover"
    RELEASE = "release"
    REJECT = "reject"
    CANCEL = "cancel"


_S = PreparationStatus
_A = PreparationAction

UNRELEASED: Final = frozenset({_S.TO_PREPARE, _S.COMPLETED, _S.VERIFIED, _S.COVERED})

MOVES: Final[dict[str, Move]] = {
    _A.COMPLETE: Move(frozenset({_S.TO_PREPARE}), _S.COMPLETED),
    _A.VERIFY: Move(frozenset({_S.COMPLETED}), _S.VERIFIED),
    _A.COVER: Move(frozenset({_S.VERIFIED}), _S.COVERED),
    _A.RELEASE: Move(frozenset({_S.COVERED}), _S.RELEASED),
    # A bag can be spilled before it is finished, so the first step can be rejected too.
    _A.REJECT: Move(UNRELEASED, _S.REJECTED),
    # The order behind it was cancelled.
    _A.CANCEL: Move(UNRELEASED, _S.CANCELLED),
}


def after(status: str, action: str) -> PreparationStatus:
    """
    Return the status that ``action`` leads to.

    :raises IllegalMove: if ``action`` may not start from ``status``.
    """
    return follow(MOVES, PreparationStatus, status, action)
