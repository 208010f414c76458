"""
Consent: what was given and withdrawn, and what stands now.

Rules:

1. Acts are ordered by when they happened, and among those of one moment by when they were recorded.
2. Consent stands under the version that was given last, as long as it was not withdrawn afterwards.
3. A withdrawal may be from the treatment alone; then the follow-up goes on with what was given.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol


class Act(Protocol):
    """One act of consent, as it was recorded."""

    @property
    def act(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def giver(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def at(self) -> dt.datetime: ...
    @property
    def recorded_at(self) -> dt.datetime: ...


@dataclass(frozen=True)
class Standing:
    """
    The consent given last, and when it was first withdrawn since, if it was.

    ``withdrawn_from`` holds the scopes of the withdrawals since: ``treatment``, ``study``.
    """

    version: str
    given_by: str
    at: dt.datetime
    withdrawn_at: dt.datetime | None = None
    withdrawn_from: frozenset[str] = frozenset()


def standing(acts: Iterable[Act]) -> Standing | None:
    """Return how consent stands after ``acts``; None if none was ever given."""
    found: Standing | None = None
    for act in sorted(acts, key=lambda act: (act.at, act.recorded_at)):
        if act.act == "given":
            found = Standing(act.version, act.giver, act.at)
        elif found is not None:
            scopes = found.withdrawn_from | {act.scope}
            found = replace(found, withdrawn_at=found.withdrawn_at or act.at, withdrawn_from=scopes)
    return found
