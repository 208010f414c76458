"""The trail's visible events, for the event list and for the history of every record."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Case, F, OuterRef, Q, QuerySet, Subquery, TextField, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from trialsite.accounts.models import User
from trialsite.audit.kinds import WITHOUT_ACTOR
from trialsite.audit.models import VisibleEvent

# Identifiers that the masked side knows anyway. What else an event is about is neither shown nor found.
ABOUT = (
    "trial",
    "list",
    "site",
    "user",
    "participant",
    "stratum",
    "randomization_number",
    "report",
    "infusion",
    "order",
    "kit",
)


def visible_events() -> QuerySet[Any]:
    """
    Return the events that masked roles may read, in the trail's order.

    Each has ``actor``, a user name or ``system:NAME``, and is to be shown without its position,
    whose gaps would count what happened on the unmasked side.
    """
    names = User.objects.alias(key=Cast("id", TextField())).filter(key=OuterRef("acting"))
    named = Coalesce(Subquery(names.values("username")[:1], output_field=TextField()), F("acting"))
    return VisibleEvent.objects.annotate(
        acting=KT("event__act"), role=KT("event__role"), trial_time=KT("event__at")
    ).annotate(
        actor=Case(
            When(kind__in=list(WITHOUT_ACTOR), then=Value(None)), default=named, output_field=TextField()
        )
    )


def about(identifier: str) -> Q:
    """Return the condition that an event is about the thing with this identifier."""
    return reduce(or_, (Q(**{f"event__about__{name}": identifier}) for name in ABOUT))


def known(event: VisibleEvent) -> dict[str, str]:
    """Return what the event is about, as far as masked roles may know."""
    said = event.event.get("about", {})
    return {name: said[name] for name in ABOUT if name in said}
