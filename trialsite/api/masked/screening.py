"""Screenings that come out otherwise before randomization."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.models import ScreeningRevision
from randomization.services.screening_revisions import Revision, revise_screening, revisions_of
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.views import ListEndpoint, checked, person
from trialsite.clock.services import trial_now

# Of a measured value, as it is written.
LONGEST_VALUE = 16


class Verdict(serializers.Serializer[Any]):
    """What was known at one time, and what followed from it."""

    status = serializers.CharField()
    unmet = serializers.ListField(child=serializers.CharField())
    eligibility = serializers.DictField(child=serializers.BooleanField())
    measurements = serializers.DictField(child=serializers.CharField())
    stratum = serializers.DictField(child=serializers.CharField())
    weight_kg = serializers.CharField()


class ScreeningRevisions(ListEndpoint):
    """
    How a participant's screening was revised, oldest first.

    A POST revises it: what is sent replaces what was stated, and everything is judged anew. Once the
    participant is randomized it is refused: see ``ineligible``, ``wrong-stratum`` and ``corrections``.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {
        "GET": Permission.SEE_PARTICIPANTS,
        "POST": Permission.SCREEN,
    }
    created = True

    class Input(serializers.Serializer[Any]):
        eligibility = serializers.DictField(child=serializers.BooleanField(), required=False, default=dict)
        measurements = serializers.DictField(
            child=serializers.CharField(max_length=LONGEST_VALUE, allow_null=True),
            required=False,
            default=dict,
            help_text="Null takes a value back",
        )
        strata = serializers.DictField(
            child=serializers.CharField(max_length=64), required=False, default=dict
        )
        weight_kg = serializers.DecimalField(
            max_digits=5, decimal_places=2, required=False, allow_null=True, default=None
        )
        reason = serializers.CharField(max_length=2000)

    class Output(serializers.Serializer[Any]):
        id = serializers.UUIDField()
        participant = serializers.UUIDField(source="participant_id")
        old = Verdict()
        new = Verdict()
        reason = serializers.CharField()
        at = serializers.DateTimeField()

    def get_queryset(self) -> QuerySet[ScreeningRevision]:
        return revisions_of(self.kwargs["participant_id"], by=self.person)

    def get(self, request: Request, **_: Any) -> Response:  # noqa: ARG002 - the framework's signature
        return self.page()

    def post(self, request: Request, participant_id: uuid.UUID) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()
        reason = stated.pop("reason")

        def revise() -> Outcome:
            revision = revise_screening(
                participant_id=participant_id, revision=Revision(**stated), reason=reason, by=by, at=at
            )
            return Outcome(201, dict(self.Output(revision).data))

        return perform(request, revise)


urlpatterns = [path("participants/<uuid:participant_id>/screening-revisions", ScreeningRevisions.as_view())]
