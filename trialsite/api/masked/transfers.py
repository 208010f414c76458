"""Participants who go on at another site."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.models import Transfer
from supply.services.still_open import still_open, transfers_visible_to
from supply.services.taking_along import Moved
from supply.services.transfers import transfer_participant, transfer_participants
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.views import Endpoint, ListEndpoint, checked, person
from trialsite.clock.services import trial_now

EVERYBODY = "all"
MOST_AT_ONCE = 1000
_WHO = {
    "oneOf": [
        {"type": "string", "enum": [EVERYBODY]},
        {
            "type": "array",
            "items": {"type": "string", "format": "uuid"},
            "minItems": 1,
            "maxItems": MOST_AT_ONCE,
        },
    ]
}


@extend_schema_field(_WHO)
class Who(serializers.Field[Any, Any, Any, Any]):
    """Ids of participants, or ``all``, which is read as None."""

    _ids = serializers.ListField(child=serializers.UUIDField(), allow_empty=False, max_length=MOST_AT_ONCE)

    def to_internal_value(self, data: Any) -> list[uuid.UUID] | None:
        if data == EVERYBODY:
            return None
        if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
            raise serializers.ValidationError("Send ids of participants, or 'all'.", code="invalid")
        ids: list[uuid.UUID] = self._ids.run_validation(data)
        return ids


class MovedOutput(serializers.Serializer[Any]):
    """One participant who was transferred, and what is left to be done."""

    class Attention(serializers.Serializer[Any]):
        infusion = serializers.IntegerField(help_text="1 to 4")
        code = serializers.CharField(
            help_text="bag_left, bag_dispensed, infusion_running, not_documented or order_not_repeated"
        )
        detail = serializers.CharField()
        kit_number = serializers.CharField(allow_null=True)
        because = serializers.CharField(help_text="Code of the refusal, of an order that was not repeated")

    participant = serializers.UUIDField(source="transfer.participant_id")
    screening_number = serializers.CharField(source="transfer.participant.screening_number")
    from_site = serializers.CharField(source="transfer.from_site_id")
    to_site = serializers.CharField(source="transfer.to_site_id")
    at = serializers.DateTimeField(source="transfer.at")
    infusions = serializers.ListField(child=serializers.IntegerField(), help_text="Those that went along")
    ordered_again = serializers.ListField(child=serializers.IntegerField())
    attention = Attention(many=True)


class TransferOne(Endpoint):
    """
    Let one participant go on at another site.

    Schedule and open orders go along; the old site's sight ends with what it still has in hand.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.TRANSFER}
    created = True
    Output = MovedOutput

    class Input(serializers.Serializer[Any]):
        to_site = serializers.CharField(max_length=16)
        reason = serializers.CharField(max_length=2000)
        at = serializers.DateTimeField(help_text="When it was")

    def post(self, request: Request, participant_id: uuid.UUID) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()
        transferred_at = stated.pop("at")

        def transfer() -> Outcome:
            moved = transfer_participant(
                participant_id=participant_id, transferred_at=transferred_at, by=by, at=at, **stated
            )
            return Outcome(201, dict(self.Output(moved).data))

        return perform(request, transfer)


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    participant = filters.UUIDFilter(field_name="participant_id")
    from_site = filters.CharFilter()
    to_site = filters.CharFilter()


class TransferRecord(serializers.Serializer[Any]):
    """One transfer, and what is still to be done of it by the sites of who asks."""

    participant = serializers.UUIDField(source="transfer.participant_id")
    screening_number = serializers.CharField(source="transfer.participant.screening_number")
    from_site = serializers.CharField(source="transfer.from_site_id")
    to_site = serializers.CharField(source="transfer.to_site_id")
    at = serializers.DateTimeField(source="transfer.at")
    recorded_at = serializers.DateTimeField(source="transfer.recorded_at")
    reason = serializers.CharField(source="transfer.reason")
    attention = MovedOutput.Attention(many=True)


class MovedTogether(serializers.Serializer[Any]):
    """Those who were transferred by one call."""

    participants = MovedOutput(many=True)


class Transfers(ListEndpoint):
    """
    Transfers in the order of their records, each with what is still open of it now.

    A POST lets several participants of a site, or all of them, go on at another one: all or none.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {
        "GET": Permission.SEE_PARTICIPANTS,
        "POST": Permission.TRANSFER,
    }
    created = True
    filterset_class = Filters
    Output = TransferRecord

    class Input(TransferOne.Input):
        from_site = serializers.CharField(max_length=16)
        participants = Who()

    def get_queryset(self) -> QuerySet[Transfer]:
        return transfers_visible_to(self.person)

    def page(self) -> Response:
        some = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        by, at = self.person, trial_now()
        rows = [Moved(one, attention=still_open(one, by=by, at=at)) for one in some]
        return self.get_paginated_response(self.Output(rows, many=True).data)

    @extend_schema(responses={201: MovedTogether})
    def post(self, request: Request) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()
        transferred_at = stated.pop("at")

        def transfer() -> Outcome:
            moved = transfer_participants(transferred_at=transferred_at, by=by, at=at, **stated)
            return Outcome(201, dict(MovedTogether({"participants": moved}).data))

        return perform(request, transfer)


urlpatterns = [
    path("participants/<uuid:participant_id>/transfer", TransferOne.as_view()),
    path("transfers", Transfers.as_view()),
]
