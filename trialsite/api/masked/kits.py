"""Released bags: a number, for a participant and an infusion."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from supply.domain.kit_codes import KitNumberMisread
from supply.domain.kit_states import KitStatus
from supply.domain.scans import read_kit_scan
from supply.models import Kit
from supply.selectors import kits_visible_to
from supply.services.kits import waste_kit
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.views import Endpoint, ListEndpoint, checked, choices, person
from trialsite.clock.services import trial_now
from trialsite.errors import NotFound

STATUSES = choices(KitStatus)


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    participant = filters.UUIDFilter(field_name="participant_id")
    infusion = filters.UUIDFilter(field_name="infusion_id")
    site = filters.CharFilter()
    status = filters.ChoiceFilter(field_name="present_status", choices=STATUSES)


class KitOutput(serializers.Serializer[Any]):
    """One released bag as site staff see it."""

    kit_number = serializers.CharField(source="number")
    status = serializers.ChoiceField(choices=STATUSES, source="present_status")
    site = serializers.CharField(source="site_id")
    participant = serializers.UUIDField(source="participant_id")
    infusion = serializers.UUIDField(source="infusion_id")
    released_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="As printed on the label")


class Kits(ListEndpoint):
    """Released bags, by time of release; numbers not yet released are never listed."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_KITS}
    filterset_class = Filters
    Output = KitOutput

    def get_queryset(self) -> QuerySet[Kit]:
        return kits_visible_to(self.person, at=trial_now())


class OneKit(Endpoint):
    """One released bag."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_KITS}
    Output = KitOutput

    def get(self, request: Request, kit_number: str) -> Response:
        kit = kits_visible_to(person(request), at=trial_now()).filter(pk=_named(kit_number)).first()
        if kit is None:
            raise NotFound("There is no such kit.")
        return Response(self.Output(kit).data)


class Waste(Endpoint):
    """Record that a bag was destroyed unused; an infusion that has not begun is open again."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.WASTE}
    Output = KitOutput

    class Input(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=2000)
        at = serializers.DateTimeField()
        volume_ml = serializers.DecimalField(
            max_digits=6,
            decimal_places=2,
            min_value=Decimal(0),
            required=False,
            allow_null=True,
            default=None,
        )

    def post(self, request: Request, kit_number: str) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()
        number = _named(kit_number)

        def waste() -> Outcome:
            waste_kit(
                kit_number=number,
                reason=stated["reason"],
                wasted_at=stated["at"],
                volume_ml=stated["volume_ml"],
                by=by,
                at=at,
            )
            kit = kits_visible_to(by, at=at).get(pk=number)
            return Outcome(200, dict(self.Output(kit).data))

        return perform(request, waste)


def _named(kit_number: str) -> str:
    """
    Return the kit number of an address, however it was typed or scanned.

    :raises NotFound: if it is none.
    """
    try:
        return read_kit_scan(kit_number)
    except KitNumberMisread:
        raise NotFound("There is no such kit.") from None


urlpatterns = [
    path("kits", Kits.as_view()),
    path("kits/<str:kit_number>", OneKit.as_view()),
    path("kits/<str:kit_number>/waste", Waste.as_view()),
]
