"""The trail's visible events, for the event pages and for the history of every record."""

from __future__ import annotations

from django.db.models import BooleanField, F, Func, OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, JSONObject

from trialsite.accounts.models import User
from trialsite.audit.models import VisibleEvent


class _Mentions(Func):
    """Whether any member of a JSON object is exactly a text (PostgreSQL's ``jsonb_path_exists``)."""

    function = "jsonb_path_exists"
    arg_joiner = ", '$.* ? (@ == $sought)', "
    output_field = BooleanField()


def visible_events() -> QuerySet[VisibleEvent]:
    """Return the events that masked roles may read, each with ``actor``: a user name or ``system:NAME``."""
    acting = KT("event__act")
    names = User.objects.alias(key=Cast("id", TextField())).filter(key=OuterRef("acting"))
    return VisibleEvent.objects.annotate(
        acting=acting, role=KT("event__role"), trial_time=KT("event__at")
    ).annotate(actor=Coalesce(Subquery(names.values("username")[:1], output_field=TextField()), F("acting")))


def mentioning(events: QuerySet[VisibleEvent], identifier: str) -> QuerySet[VisibleEvent]:
    """Return those of ``events`` that are about the thing with this identifier."""
    sought = JSONObject(sought=Cast(Value(identifier), TextField()))
    return events.filter(_Mentions(F("event__about"), sought))
