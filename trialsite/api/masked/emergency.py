"""What was done on paper while the system was down, entered afterwards and compared."""

from __future__ import annotations

import uuid
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.models import Slot
from randomization.services.emergency import (
    RANDOMIZED,
    SPOILED,
    enter_spoiled_envelope,
    entered_envelopes_visible_to,
)
from supply.services.paper_enrolment import enter_paper_randomization
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.masked.participants import Randomize
from trialsite.api.views import Endpoint, ListEndpoint, checked, person
from trialsite.clock.services import trial_now

LONGEST_NUMBER = 16
_HOUR_SECONDS = 3600


class RandomizedOnPaper(Endpoint):
    """
    Enter that the participant was randomized from an envelope while the system was down.

    The ledger's lines are entered in their order. Infusions are planned from the paper's time.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.RANDOMIZE}
    created = True

    class Input(serializers.Serializer[Any]):
        randomization_number = serializers.CharField(max_length=LONGEST_NUMBER)
        randomized_at = serializers.DateTimeField(help_text="As the paper states it")
        stratum = serializers.DictField(child=serializers.CharField(max_length=64))
        reason = serializers.CharField(max_length=2000, help_text="Why it was done on paper")
        opened_by = serializers.CharField(max_length=200, required=False, default="")
        before_consent = serializers.BooleanField(
            required=False, default=False, help_text="True confirms that consent was given later"
        )

    class Output(Randomize.Output):
        # The participant's own; the stratum used is the emergency list, which has no levels.
        stratum = serializers.DictField(child=serializers.CharField(), source="participant.stratum_levels")
        reason = serializers.CharField(source="paper_reason")
        entered_at = serializers.DateTimeField()

    def post(self, request: Request, participant_id: uuid.UUID) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def enter() -> Outcome:
            allocation = enter_paper_randomization(participant_id=participant_id, by=by, at=at, **stated)
            return Outcome(201, dict(self.Output(allocation).data))

        return perform(request, enter)


class SpoiledEnvelope(Endpoint):
    """Enter that an envelope was used up and nobody was randomized with it, on the pharmacy's word."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.RANDOMIZE}
    created = True

    class Input(serializers.Serializer[Any]):
        site = serializers.CharField(max_length=16)
        randomization_number = serializers.CharField(max_length=LONGEST_NUMBER)
        spoiled_at = serializers.DateTimeField(help_text="As the paper states it")
        reason = serializers.CharField(max_length=2000)

    class Output(serializers.Serializer[Any]):
        randomization_number = serializers.CharField(source="slot.randomization_number")
        reason = serializers.CharField()
        spoiled_at = serializers.DateTimeField()
        entered_at = serializers.DateTimeField()

    def post(self, request: Request) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def enter() -> Outcome:
            spoiled = enter_spoiled_envelope(by=by, at=at, **stated)
            return Outcome(201, dict(self.Output(spoiled).data))

        return perform(request, enter)


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    # By site alone: a filter that took lines out would take them out of the comparison of times too.
    site = filters.CharFilter()


class EmergencyListReport(ListEndpoint):
    """
    The envelopes that were entered, site by site in their order, to compare with the ledger.

    What is not entered is not told. ``out_of_order`` says that an envelope before this one has a
    later time on paper: one of the two times is wrong, or they were not opened in their order.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_ENROLMENT}
    filterset_class = Filters

    class Output(serializers.Serializer[Any]):
        site = serializers.CharField()
        envelope = serializers.IntegerField(help_text="Its number in the ledger, from 1")
        randomization_number = serializers.CharField()
        state = serializers.ChoiceField(choices=[RANDOMIZED, SPOILED])
        participant = serializers.UUIDField(allow_null=True)
        screening_number = serializers.CharField(allow_null=True)
        paper_time = serializers.DateTimeField()
        entered_at = serializers.DateTimeField()
        entered_by = serializers.CharField()
        delay_hours = serializers.SerializerMethodField(help_text="From the paper's time to the entry")
        out_of_order = serializers.SerializerMethodField()
        reason = serializers.CharField()

        def get_delay_hours(self, slot: Any) -> str:
            seconds = Decimal((slot.entered_at - slot.paper_time).total_seconds())
            return str((seconds / _HOUR_SECONDS).quantize(Decimal("0.1"), ROUND_HALF_UP))

        def get_out_of_order(self, slot: Any) -> bool:
            return bool(slot.latest_time > slot.paper_time)

    def get_queryset(self) -> QuerySet[Slot]:
        return entered_envelopes_visible_to(self.person)


urlpatterns = [
    path("participants/<uuid:participant_id>/randomized-on-paper", RandomizedOnPaper.as_view()),
    path("emergency-envelopes/spoiled", SpoiledEnvelope.as_view()),
    path("reports/emergency-list", EmergencyListReport.as_view()),
]
