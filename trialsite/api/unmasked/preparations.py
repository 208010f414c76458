"""
The preparation desk.

The answer to ``open`` is the only one here that names a treatment. It is never kept, is one size
for every treatment, and each time it is given is another event on the trail.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any, ClassVar, Final

import django_filters as filters
from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from supply.domain.preparation_states import PreparationStatus
from supply.domain.scans import LONGEST_SCAN
from supply.models import Preparation
from supply.selectors import preparation_within_reach, preparations_visible_to
from supply.services import desk
from supply.services import preparation as services
from trialsite.accounts.roles import Permission
from trialsite.accounts.services.people import LONGEST_PASSWORD
from trialsite.api.floor import Outcome, durable, perform, perform_in_two
from trialsite.api.views import Endpoint, ListEndpoint, checked, choices, person
from trialsite.clock.services import trial_now

STATUSES = choices(PreparationStatus)
# Whoever counts the bytes of the preparers' answers counts the same for both treatments.
SHEET_BYTES: Final = 8192


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    status = filters.ChoiceFilter(field_name="present_status", choices=STATUSES)
    site = filters.CharFilter()
    participant = filters.UUIDFilter(field_name="order__infusion__participant_id")


class PreparationOutput(serializers.Serializer[Any]):
    """One bag to make, without what goes into it."""

    id = serializers.UUIDField()
    site = serializers.CharField(source="site_id")
    participant = serializers.UUIDField(source="order.infusion.participant_id")
    randomization_number = serializers.CharField(
        source="order.infusion.participant.allocation.randomization_number"
    )
    infusion = serializers.UUIDField(source="order.infusion_id")
    infusion_number = serializers.IntegerField(source="order.infusion.number")
    attempt = serializers.IntegerField()
    needed_at = serializers.DateTimeField(source="order.needed_at")
    weight_kg = serializers.DecimalField(max_digits=5, decimal_places=2, source="order.weight_kg")
    ward = serializers.CharField(source="order.ward")
    status = serializers.ChoiceField(choices=STATUSES, source="present_status")
    kit_number = serializers.CharField(source="kit_number_id", allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    dispatch_at = serializers.DateTimeField(allow_null=True)


class SheetOutput(serializers.Serializer[Any]):
    """What goes into one bag."""

    class Content(serializers.Serializer[Any]):
        code = serializers.CharField()
        text = serializers.CharField()
        kind = serializers.CharField()
        unit = serializers.CharField(allow_null=True)
        minimum = serializers.CharField(allow_null=True)
        maximum = serializers.CharField(allow_null=True)
        not_applicable = serializers.BooleanField()

    id = serializers.UUIDField(source="preparation.pk")
    kit_number = serializers.CharField(source="preparation.kit_number_id")
    treatment = serializers.CharField(source="treatment.name")
    treatment_code = serializers.CharField(source="code")
    components = serializers.ListField(child=serializers.CharField(), source="treatment.components")
    target_cells = serializers.CharField(help_text='A number, or "not applicable"')
    volume_ml = serializers.CharField()
    instructions = serializers.CharField(source="treatment.instructions")
    contents = Content(many=True, source="treatment.contents")
    stated = serializers.DictField(allow_null=True, help_text="What was stated at completion")
    padding = serializers.CharField(default="", help_text="Spaces: every sheet is one size")


class Preparations(ListEndpoint):
    """The work-list: bags to make, by the time they are needed."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.PREPARE}
    work_session = True
    filterset_class = Filters
    Output = PreparationOutput

    def get_queryset(self) -> QuerySet[Preparation]:
        return preparations_visible_to(self.person)

    def get(self, request: Request) -> Response:  # noqa: ARG002 - Django REST framework's signature
        desk.take_up_orders()
        return self.page()


class OnePreparation(Endpoint):
    """One bag to make."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.PREPARE}
    work_session = True
    Output = PreparationOutput

    def get(self, request: Request, preparation_id: uuid.UUID) -> Response:
        desk.take_up_orders()
        return Response(self.Output(preparation_within_reach(preparation_id, by=person(request))).data)


class Open(Endpoint):
    """
    Show what goes into the bag.

    That it is shown is on the trail, committed, before anything is opened; a repeat is shown and
    recorded again.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.PREPARE}
    work_session = True
    Output = SheetOutput

    def post(self, request: Request, preparation_id: uuid.UUID) -> Response:
        by, at = person(request), trial_now()

        def ask() -> str:
            desk.take_up_orders()
            return str(services.request_sheet(preparation_id=preparation_id, by=by, at=at).pk)

        def show() -> Outcome:
            sheet = services.open_preparation(preparation_id=preparation_id, by=by)
            return Outcome(200, _padded(dict(self.Output(sheet).data)))

        opened: list[Outcome] = []

        def again(_: str) -> Outcome:
            durable(ask)
            return show()

        return perform_in_two(
            request,
            intent=ask,
            between=lambda _: opened.append(show()),
            effect=lambda _: opened[-1],
            replay=again,
        )


class PreparationAct(Endpoint):
    """A step of one preparation; the answer is the preparation as it stands then, made anew each time."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.PREPARE}
    work_session = True
    Output = PreparationOutput
    Input: ClassVar[type[serializers.Serializer[Any]]]

    def act(self, request: Request, preparation_id: uuid.UUID, service: Callable[..., Any]) -> Response:
        """Call ``service`` once with what was sent, and answer."""
        stated, by, at = checked(self.Input, request), person(request), trial_now()
        if "signature" in stated:
            stated["password"] = stated.pop("signature")["password"]

        def shown(resource: str) -> Outcome:
            made = preparation_within_reach(uuid.UUID(resource), by=by)
            return Outcome(200, dict(self.Output(made).data), resource)

        def work() -> Outcome:
            service(preparation_id=preparation_id, by=by, at=at, **stated)
            return shown(str(preparation_id))

        return perform(request, work, replay=shown)


class Complete(PreparationAct):
    """Record the bag that was made; its expiry counts from the end of preparation."""

    class Input(serializers.Serializer[Any]):
        kit_scan = serializers.CharField(max_length=LONGEST_SCAN, trim_whitespace=False)
        lot = serializers.CharField(max_length=64)
        prepared_at = serializers.DateTimeField()
        contents = serializers.DictField(child=serializers.CharField(max_length=100))

    def post(self, request: Request, preparation_id: uuid.UUID) -> Response:
        return self.act(request, preparation_id, services.complete_preparation)


class Verify(PreparationAct):
    """A second person confirms the contents against the sheet, and signs."""

    class Input(serializers.Serializer[Any]):
        class Signature(serializers.Serializer[Any]):
            password = serializers.CharField(max_length=LONGEST_PASSWORD, trim_whitespace=False)

        kit_scan = serializers.CharField(max_length=LONGEST_SCAN, trim_whitespace=False)
        contents_verified = serializers.BooleanField()
        signature = Signature()

    def post(self, request: Request, preparation_id: uuid.UUID) -> Response:
        return self.act(request, preparation_id, desk.verify_preparation)


class Cover(PreparationAct):
    """The opaque cover is on; the bag is released at the next dispatch minute."""

    class Input(serializers.Serializer[Any]):
        kit_scan = serializers.CharField(max_length=LONGEST_SCAN, trim_whitespace=False)
        cover_applied = serializers.BooleanField()

    def post(self, request: Request, preparation_id: uuid.UUID) -> Response:
        return self.act(request, preparation_id, desk.cover_preparation)


class Reject(PreparationAct):
    """Throw the bag away and begin another under the same order."""

    class Input(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=1000)

    def post(self, request: Request, preparation_id: uuid.UUID) -> Response:
        return self.act(request, preparation_id, desk.reject_preparation)


class Label(Endpoint):
    """The labels of bag and cover."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.PREPARE}
    work_session = True

    @extend_schema(responses={(200, "application/pdf"): bytes})
    def get(self, request: Request, preparation_id: uuid.UUID) -> HttpResponse:
        pdf = desk.preparation_label(preparation_id=preparation_id, by=person(request))
        return HttpResponse(pdf, content_type="application/pdf")


def _padded(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with spaces that make it a multiple of ``SHEET_BYTES`` as it is sent."""
    size = len(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())
    body["padding"] = " " * (-size % SHEET_BYTES)
    return body


urlpatterns = [
    path("preparations", Preparations.as_view()),
    path("preparations/<uuid:preparation_id>", OnePreparation.as_view()),
    path("preparations/<uuid:preparation_id>/open", Open.as_view()),
    path("preparations/<uuid:preparation_id>/complete", Complete.as_view()),
    path("preparations/<uuid:preparation_id>/verify", Verify.as_view()),
    path("preparations/<uuid:preparation_id>/cover", Cover.as_view()),
    path("preparations/<uuid:preparation_id>/reject", Reject.as_view()),
    path("preparations/<uuid:preparation_id>/label.pdf", Label.as_view()),
]
