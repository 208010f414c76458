"""
Breaking one participant's code in an emergency, and the list of the codes that were broken.

The only body that ever holds an arm is the answer to the POST. It is never kept: a repeat is made
anew, after a fresh signature.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters as filters
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.models import Allocation, Unblinding
from randomization.selectors import unblindings_visible_to
from randomization.services import unblinding as services
from randomization.services import unblinding_requests as requests
from supply.services.given_bags import given_bags, participant_of_kit
from trialsite.accounts.roles import Permission
from trialsite.accounts.services.people import LONGEST_PASSWORD
from trialsite.api.errors import problem_of
from trialsite.api.floor import Outcome, durable, perform_in_two
from trialsite.api.views import Endpoint, ListEndpoint, checked, person
from trialsite.clock.services import trial_now
from trialsite.errors import FieldFault, FieldsInvalid, NotFound

NAMES = ("participant", "randomization_number", "kit_number")
SIGN_AGAIN = "The code was broken under this key before. Sign with a fresh one-time code to be shown the arm."


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    participant = filters.UUIDFilter()
    randomization_number = filters.CharFilter(field_name="participant__allocation__randomization_number")


class UnblindingOutput(serializers.Serializer[Any]):
    """That a code was broken: for whom, when, in which category. Never an arm."""

    id = serializers.UUIDField()
    participant = serializers.UUIDField(source="participant_id")
    randomization_number = serializers.CharField(source="participant.allocation.randomization_number")
    category = serializers.CharField()
    reveal_to = serializers.CharField()
    requested_at = serializers.DateTimeField()
    revealed_at = serializers.DateTimeField(allow_null=True)


class Reveal(serializers.Serializer[Any]):
    """The arm, to whoever asked for it and to nobody else."""

    class Bag(serializers.Serializer[Any]):
        kit_number = serializers.CharField()
        infusion = serializers.IntegerField()
        given_at = serializers.DateTimeField()
        volume_ml = serializers.DecimalField(max_digits=6, decimal_places=2, allow_null=True)
        treatment = serializers.CharField(allow_null=True, help_text="As it was prepared")

    class ReceiptOutput(serializers.Serializer[Any]):
        position = serializers.IntegerField()
        leaf_hash = serializers.CharField()
        checkpoint = serializers.CharField(help_text="C2SP signed note over a trail that holds the event")

    id = serializers.UUIDField(source="unblinding.pk")
    arm = serializers.CharField(allow_null=True)
    treatment = serializers.CharField(allow_null=True)
    kits_given = Bag(many=True, source="bags")
    revealed_at = serializers.DateTimeField(source="unblinding.revealed_at", allow_null=True)
    receipt = ReceiptOutput()
    notice = serializers.SerializerMethodField(help_text="Why the arm is not shown; empty if it is")

    def get_notice(self, revealed: services.Revealed) -> str:
        return "" if revealed.arm else SIGN_AGAIN


class Unblindings(ListEndpoint):
    """
    Codes that were broken; a POST breaks one, in an emergency.

    Participant, randomization number or kit number: exactly one of them. Any signed-in person
    may send it, so that an attempt by the wrong one is refused by the service and on the trail.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": None, "POST": None}
    filterset_class = Filters
    Output = UnblindingOutput

    class Input(serializers.Serializer[Any]):
        class Signature(serializers.Serializer[Any]):
            password = serializers.CharField(max_length=LONGEST_PASSWORD, trim_whitespace=False)
            otp = serializers.CharField(max_length=16)

        participant = serializers.UUIDField(required=False)
        randomization_number = serializers.CharField(max_length=16, required=False)
        kit_number = serializers.CharField(max_length=512, required=False, help_text="Typed or scanned")
        category = serializers.ChoiceField(choices=["emergency"])
        reason = serializers.CharField(max_length=400)
        reveal_to = serializers.ChoiceField(choices=["requester"], default="requester")
        signature = Signature()

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if self.request.method == "POST" and isinstance(exc, OperationalError | InterfaceError):
            # Also a wait for a lock that took too long: whoever needs the arm now is told where it is.
            response.data = problem_of(services.TrailUnavailable())
        return response

    def get_queryset(self) -> QuerySet[Unblinding]:
        return unblindings_visible_to(self.person)

    @extend_schema(responses={201: Reveal})
    def post(self, request: Request) -> Response:
        stated = checked(self.Input, request)
        attempt = _Attempt(request, stated)
        return perform_in_two(
            request,
            intent=attempt.request,
            between=attempt.open,
            effect=attempt.reveal,
            replay=attempt.repeat,
        )


class OneUnblinding(Endpoint):
    """One code that was broken."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": None}
    Output = UnblindingOutput

    def get(self, request: Request, unblinding_id: uuid.UUID) -> Response:
        unblinding = unblindings_visible_to(person(request)).filter(pk=unblinding_id).first()
        if unblinding is None:
            raise NotFound("There is no such unblinding.")
        return Response(self.Output(unblinding).data)


class _Attempt:
    """One POST between its two transactions; the opened arm lives here and nowhere else."""

    def __init__(self, request: Request, stated: Mapping[str, Any]) -> None:
        self.by = person(request)
        self.at = trial_now()
        self.reason: str = stated["reason"]
        self.signature = requests.Signature(**stated["signature"])
        self.named = {name: str(stated[name]) for name in NAMES if name in stated}
        if len(self.named) != 1:
            raise FieldsInvalid(FieldFault((), "exactly_one", f"Send exactly one of {', '.join(NAMES)}."))
        self.position = -1
        self.revealed: services.Revealed | None = None

    def request(self) -> str:
        unblinding = requests.request_unblinding(
            by=self.by,
            at=self.at,
            participant_id=_participant_of(self.named),
            named={name: value[:64] for name, value in self.named.items()},
            reason=self.reason,
            signature=self.signature,
        )
        self.position = unblinding.intent_position
        return str(unblinding.pk)

    def open(self, resource: str) -> None:
        self.revealed = services.open_unblinding(
            unblinding_id=uuid.UUID(resource), position=self.position, at=self.at, find_bags=given_bags
        )

    def reveal(self, resource: str) -> Outcome:  # noqa: ARG002 - the floor's signature
        assert self.revealed is not None  # noqa: S101 - the floor opens first
        unblinding = services.record_reveal(revealed=self.revealed, at=self.at)
        return _shown(dataclasses.replace(self.revealed, unblinding=unblinding))

    def repeat(self, resource: str) -> Outcome:
        """Answer the same key again: with the arm only after a fresh signature."""
        unblinding_id = uuid.UUID(resource)
        position = durable(
            lambda: requests.request_again(
                unblinding_id=unblinding_id, by=self.by, at=self.at, signature=self.signature
            )
        )
        if position is None:
            return _shown(services.without_arm(unblinding_id))
        self.position = position
        self.open(resource)
        return durable(lambda: self.reveal(resource))


def _participant_of(named: Mapping[str, str]) -> uuid.UUID | None:
    """Return whom the one name names, if anybody."""
    ((name, value),) = named.items()
    if name == "participant":
        return uuid.UUID(value)
    if name == "kit_number":
        return participant_of_kit(value)
    return (
        Allocation.objects.filter(randomization_number=value.strip().upper())
        .values_list("participant_id", flat=True)
        .first()
    )


def _shown(revealed: services.Revealed) -> Outcome:
    return Outcome(201, dict(Reveal(revealed).data))


urlpatterns = [
    path("unblindings", Unblindings.as_view()),
    path("unblindings/<uuid:unblinding_id>", OneUnblinding.as_view()),
]
