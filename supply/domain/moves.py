"""
State machines as tables: one row per act, naming where it may start and where it leads.

The tables of infusions, kits and preparations are read here and nowhere interpreted again, so that
what the documents draw, what the services do and what the tests try is one thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, TypeVar

from trialsite.errors import Refused

Status = TypeVar("Status", bound=StrEnum)


class IllegalMove(Refused):
    """
    The act is not possible in the present status.

    The message names the act and the status and nothing else, so it is the same for both arms.
    """

    code = "illegal_move"


class Move(NamedTuple):
    """The statuses an act may start from, and the one it leads to."""

    sources: frozenset[StrEnum]
    target: StrEnum


def is_allowed(table: Mapping[str, Move], status: str, action: str) -> bool:
    """
    Say whether ``action`` may follow ``status``.

    :raises KeyError: if the table knows no such action, which is a fault of the program.
    """
    return status in table[action].sources


def follow(table: Mapping[str, Move], kind: type[Status], status: str, action: str) -> Status:
    """
    Return the status that ``action`` leads to from ``status``.

    :raises IllegalMove: if ``action`` may not start from ``status``.
    :raises KeyError: if the table knows no such action, which is a fault of the program.
    :raises ValueError: if ``status`` is none of ``kind``.
    """
    present = kind(status)
    if not is_allowed(table, present, action):
        act = str(action).replace("_", " ")
        raise IllegalMove(f"'{act}' is not possible: the present status is '{present}'.")
    return kind(table[action].target)
