"""What happened on the masked side, by whom and when."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.urls import path
from rest_framework import serializers
from rest_framework.response import Response

from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.api.views import ListEndpoint
from trialsite.audit.kinds import WITHOUT_ACTOR
from trialsite.audit.models import VisibleEvent

# Identifiers that the masked side knows anyway. What else an event is about stays out.
ABOUT = ("participant", "infusion", "order", "kit", "site", "user")


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    kind = filters.CharFilter()
    role = filters.CharFilter(field_name="event__role")
    participant = filters.CharFilter(field_name="event__about__participant")
    infusion = filters.CharFilter(field_name="event__about__infusion")
    since = filters.IsoDateTimeFilter(field_name="recorded_at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="recorded_at", lookup_expr="lt")


class AuditEvents(ListEndpoint):
    """
    Events of the masked side, oldest first.

    Without the position on the trail: its gaps would count what happened on the unmasked side.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_EVENTS}
    filterset_class = Filters

    class Output(serializers.Serializer[Any]):
        class About(serializers.Serializer[Any]):
            participant = serializers.UUIDField(required=False)
            infusion = serializers.UUIDField(required=False)
            order = serializers.UUIDField(required=False)
            kit = serializers.CharField(required=False)
            site = serializers.CharField(required=False)
            user = serializers.UUIDField(required=False)

        kind = serializers.CharField()
        at = serializers.DateTimeField(help_text="Trial time of the act")
        recorded_at = serializers.DateTimeField(help_text="Real time of the transaction")
        actor = serializers.CharField(allow_null=True, help_text="Username, or system:NAME")
        role = serializers.CharField()
        about = About()

    def get_queryset(self) -> QuerySet[VisibleEvent]:
        return VisibleEvent.objects.order_by("position")

    def page(self) -> Response:
        events = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        names = _usernames(events)
        return self.get_paginated_response([_shown(event, names) for event in events])


def _usernames(events: list[VisibleEvent]) -> dict[str, str]:
    actors = {str(event.event.get("act")) for event in events}
    people = User.objects.annotate(key=Cast("id", TextField())).filter(key__in=actors)
    return {user.key: user.username for user in people}


def _shown(event: VisibleEvent, names: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = event.event
    about = body.get("about", {})
    hidden = event.kind in WITHOUT_ACTOR
    return {
        "kind": event.kind,
        "at": body.get("at"),
        "recorded_at": body.get("t"),
        "actor": None if hidden else names.get(str(body.get("act")), body.get("act")),
        "role": body.get("role"),
        "about": {name: about[name] for name in ABOUT if name in about},
    }


urlpatterns = [path("audit-events", AuditEvents.as_view())]
