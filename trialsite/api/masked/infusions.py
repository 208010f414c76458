"""Infusions as the masked side plans, orders, gives and misses them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from supply.domain.infusion_states import InfusionStatus
from supply.domain.scans import LONGEST_SCAN
from supply.models import Infusion
from supply.selectors import infusion_as_it_stands, infusions_visible_to
from supply.services import bedside, dispensing, ordering
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.views import Endpoint, ListEndpoint, checked, choices, person
from trialsite.clock.services import trial_now
from trialsite.errors import NotFound

STATUSES = choices(InfusionStatus)


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    participant = filters.UUIDFilter(field_name="participant_id")
    site = filters.CharFilter()
    number = filters.NumberFilter()
    status = filters.ChoiceFilter(field_name="present_status", choices=STATUSES)


class InfusionOutput(serializers.Serializer[Any]):
    """One infusion as site staff, monitor and study manager see it."""

    class Deviation(serializers.Serializer[Any]):
        code = serializers.CharField()
        detail = serializers.CharField()
        recorded_at = serializers.CharField()

    id = serializers.UUIDField()
    participant = serializers.UUIDField(source="participant_id")
    site = serializers.CharField(source="site_id")
    number = serializers.IntegerField()
    day = serializers.IntegerField()
    opens_at = serializers.DateTimeField()
    target_at = serializers.DateTimeField()
    closes_at = serializers.DateTimeField()
    status = serializers.ChoiceField(choices=STATUSES, source="present_status")
    kit_number = serializers.CharField(source="present_kit", allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    volume_ml = serializers.DecimalField(max_digits=6, decimal_places=2, allow_null=True)
    outcome = serializers.CharField(allow_blank=True)
    deviations = Deviation(many=True)


class Infusions(ListEndpoint):
    """Planned infusions, by target time."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_INFUSIONS}
    filterset_class = Filters
    Output = InfusionOutput

    def get_queryset(self) -> QuerySet[Infusion]:
        return infusions_visible_to(self.person, at=trial_now())


class OneInfusion(Endpoint):
    """One planned infusion."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_INFUSIONS}
    Output = InfusionOutput

    def get(self, request: Request, infusion_id: uuid.UUID) -> Response:
        visible = infusions_visible_to(person(request), at=trial_now())
        infusion = visible.filter(pk=infusion_id).first()
        if infusion is None:
            raise NotFound("There is no such infusion.")
        return Response(self.Output(infusion).data)


class InfusionAct(Endpoint):
    """What a person does to one infusion; the answer is the infusion as it stands then."""

    Output = InfusionOutput
    Input: ClassVar[type[serializers.Serializer[Any]]]

    def act(self, request: Request, infusion_id: uuid.UUID, service: Callable[..., Infusion]) -> Response:
        """Call ``service`` once with what was sent, and answer."""
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def work() -> Outcome:
            service(infusion_id=infusion_id, by=by, at=at, **stated)
            return Outcome(201 if self.created else 200, _shown(infusion_id, at))

        return perform(request, work)


class OrderInfusion(InfusionAct):
    """Ask for one bag; its number is known on release and not before."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.ORDER}
    created = True

    class Input(serializers.Serializer[Any]):
        weight_kg = serializers.DecimalField(max_digits=5, decimal_places=2)
        weighed_at = serializers.DateTimeField()
        needed_at = serializers.DateTimeField()
        ward = serializers.CharField(max_length=100)

    def post(self, request: Request, infusion_id: uuid.UUID) -> Response:
        return self.act(request, infusion_id, ordering.order_infusion)


class CancelOrder(InfusionAct):
    """Take the open order back, while no bag was released."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.ORDER}

    class Input(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=2000)

    def post(self, request: Request, infusion_id: uuid.UUID) -> Response:
        return self.act(request, infusion_id, ordering.cancel_order)


class Dispense(InfusionAct):
    """Hand the released bag over to the ward."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.DISPENSE}

    class Input(serializers.Serializer[Any]):
        kit_scan = serializers.CharField(max_length=LONGEST_SCAN, trim_whitespace=False)

    def post(self, request: Request, infusion_id: uuid.UUID) -> Response:
        return self.act(request, infusion_id, dispensing.dispense_kit)


class Start(InfusionAct):
    """
    Begin the infusion, after the bedside's hard stops.

    What has begun is entered with the reason why only now, which more than 15 minutes after is
    required: what would have stopped it is recorded as a deviation, another infusion's bag too.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.ADMINISTER}

    class Input(serializers.Serializer[Any]):
        kit_scan = serializers.CharField(max_length=LONGEST_SCAN, trim_whitespace=False)
        participant_scan = serializers.CharField(max_length=LONGEST_SCAN)
        cover_intact = serializers.BooleanField()
        started_at = serializers.DateTimeField()
        reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")

    def post(self, request: Request, infusion_id: uuid.UUID) -> Response:
        return self.act(request, infusion_id, bedside.start_infusion)


class Stop(InfusionAct):
    """Record how a running infusion ended, with the volume given."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.ADMINISTER}

    class Input(serializers.Serializer[Any]):
        ended_at = serializers.DateTimeField()
        volume_ml = serializers.DecimalField(max_digits=6, decimal_places=2, min_value=Decimal(0))
        outcome = serializers.ChoiceField(choices=[outcome.value for outcome in bedside.Outcome])
        reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")

    def post(self, request: Request, infusion_id: uuid.UUID) -> Response:
        return self.act(request, infusion_id, _stop)


class Miss(InfusionAct):
    """Say that an infusion was not given and will not be."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.MISS}

    class Input(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=2000)

    def post(self, request: Request, infusion_id: uuid.UUID) -> Response:
        return self.act(request, infusion_id, bedside.declare_missed)


def _stop(*, outcome: str, **stated: Any) -> Infusion:
    return bedside.stop_infusion(outcome=bedside.Outcome(outcome), **stated)


def _shown(infusion_id: uuid.UUID, at: dt.datetime) -> dict[str, Any]:
    return dict(InfusionOutput(infusion_as_it_stands(infusion_id, at=at)).data)


urlpatterns = [
    path("infusions", Infusions.as_view()),
    path("infusions/<uuid:infusion_id>", OneInfusion.as_view()),
    path("infusions/<uuid:infusion_id>/order", OrderInfusion.as_view()),
    path("infusions/<uuid:infusion_id>/cancel-order", CancelOrder.as_view()),
    path("infusions/<uuid:infusion_id>/dispense", Dispense.as_view()),
    path("infusions/<uuid:infusion_id>/start", Start.as_view()),
    path("infusions/<uuid:infusion_id>/stop", Stop.as_view()),
    path("infusions/<uuid:infusion_id>/miss", Miss.as_view()),
]
