"""
What the address of an admin page may say: the declared filters, search, order and page, once each.

Django's own check lets every lookup on the model's own fields pass and ignores what it does not
know. Here whatever was not declared is refused, so an address is never a question to the database
that no page offers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.http import QueryDict

from trialsite.errors import Refused

TEXT = re.compile(r"[^\x00-\x1f\x7f]{0,200}")
PAGE = re.compile(r"[1-9][0-9]{0,5}")
YEAR = re.compile(r"(19|20)[0-9]{2}")
MONTH = re.compile(r"0?[1-9]|1[0-2]")
DAY = re.compile(r"0?[1-9]|[12][0-9]|3[01]")
# Empty is the address of "no column": the list's own order.
ORDER = re.compile(r"(-?[0-9]{1,2}(\.-?[0-9]{1,2}){0,9})?")

Allowed = Mapping[str, re.Pattern[str]]


class QueryRefused(Refused):
    """The address asks for something that the page does not offer."""

    code = "query_refused"
    status = 400


def refused() -> QueryRefused:
    """Return the one refusal of an address; it never repeats what was sent."""
    return QueryRefused("This page does not offer what its address asks for.")


def check_query(query: QueryDict, *, allowed: Allowed) -> None:
    """
    Return if every parameter is allowed, appears once and matches its pattern whole.

    :raises QueryRefused: otherwise.
    """
    for name, values in query.lists():
        pattern = allowed.get(name)
        if pattern is None or len(values) != 1 or not pattern.fullmatch(str(values[0])):
            raise refused()
