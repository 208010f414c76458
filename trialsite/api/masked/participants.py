"""Participants: screened, randomized, discontinued."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.identity import LONGEST_IDENTIFIER
from randomization.models import Consent, Participant, RandomizationError
from randomization.selectors import participant_visible_to, participants_visible_to
from randomization.services.screening import screen_participant
from supply.services.enrolment import randomize_participant
from supply.services.withdrawal import discontinue_participant
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.masked.consents import ConsentInput
from trialsite.api.masked.screening import LONGEST_VALUE
from trialsite.api.views import Endpoint, ListEndpoint, checked, person
from trialsite.clock.services import trial_now


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    site = filters.CharFilter()
    status = filters.ChoiceFilter(choices=Participant.Status.choices)
    screening_number = filters.CharFilter()
    randomization_number = filters.CharFilter(field_name="allocation__randomization_number")


class ErrorInForce(serializers.Serializer[Any]):
    """That something was wrong with the randomization; the whole report is in ``randomization-errors``."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=RandomizationError.Kind.choices)
    known_at = serializers.DateTimeField()
    recorded_at = serializers.DateTimeField()


class ConsentStanding(serializers.Serializer[Any]):
    """The consent given last; the whole history is in ``consents``."""

    version = serializers.CharField()
    given_by = serializers.ChoiceField(choices=Consent.Giver.choices)
    at = serializers.DateTimeField()
    withdrawn_at = serializers.DateTimeField(allow_null=True)


class ParticipantOutput(serializers.Serializer[Any]):
    """One participant as site staff, monitor and study manager see them."""

    id = serializers.UUIDField()
    screening_number = serializers.CharField()
    site = serializers.CharField(source="site_id")
    status = serializers.ChoiceField(choices=Participant.Status.choices)
    unmet = serializers.ListField(child=serializers.CharField(), help_text="Codes of the criteria not met")
    stratum = serializers.DictField(child=serializers.CharField(), source="stratum_levels")
    created_at = serializers.DateTimeField()
    randomization_number = serializers.CharField(source="allocation.randomization_number", allow_null=True)
    randomized_at = serializers.DateTimeField(source="allocation.randomized_at", allow_null=True)
    true_stratum = serializers.DictField(
        child=serializers.CharField(),
        source="true_stratum_levels",
        allow_null=True,
        help_text="Where it proved to be another than the one that was used",
    )
    randomization_errors = ErrorInForce(many=True, source="errors_in_force")
    rescreens = serializers.CharField(
        source="rescreens_number",
        allow_null=True,
        help_text="Number of the same person's earlier screening that failed, if at a site of who asks",
    )
    consent = ConsentStanding(allow_null=True)
    measurements = serializers.DictField(child=serializers.CharField())


class Participants(ListEndpoint):
    """Participants, by screening number; a POST records a screening."""

    permissions: ClassVar[dict[str, Permission | None]] = {
        "GET": Permission.SEE_PARTICIPANTS,
        "POST": Permission.SCREEN,
    }
    created = True
    filterset_class = Filters
    Output = ParticipantOutput

    class Input(serializers.Serializer[Any]):
        site = serializers.CharField(max_length=16)
        sex = serializers.ChoiceField(choices=["female", "male"])
        birth_date = serializers.DateField()
        weight_kg = serializers.DecimalField(max_digits=5, decimal_places=2)
        consented_at = serializers.DateTimeField()
        local_identifier = serializers.CharField(max_length=LONGEST_IDENTIFIER)
        eligibility = serializers.DictField(child=serializers.BooleanField())
        strata = serializers.DictField(
            child=serializers.CharField(max_length=64), help_text="The factors that are not derived"
        )
        measurements = serializers.DictField(
            child=serializers.CharField(max_length=LONGEST_VALUE),
            required=False,
            help_text="Values behind criteria, by code, as decimals; none are needed",
        )
        consent = ConsentInput(
            required=False, help_text="Without it the participant gave it, to the version in force"
        )
        screened_on_paper_at = serializers.DateTimeField(
            required=False, help_text="If the system was down: enrolment is judged as it stood then"
        )

    def get_queryset(self) -> QuerySet[Participant]:
        return participants_visible_to(self.person)

    def post(self, request: Request) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def screen() -> Outcome:
            participant = screen_participant(by=by, at=at, **stated)
            return Outcome(201, dict(self.Output(participant_visible_to(by, participant.pk)).data))

        return perform(request, screen)


class OneParticipant(Endpoint):
    """One participant."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_PARTICIPANTS}
    Output = ParticipantOutput

    def get(self, request: Request, participant_id: uuid.UUID) -> Response:
        return Response(self.Output(participant_visible_to(person(request), participant_id)).data)


class Randomize(Endpoint):
    """
    Give the participant the next slot of their stratum, and plan their infusions.

    The stratum is sent whole, as the investigator confirms it.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.RANDOMIZE}
    created = True

    class Input(serializers.Serializer[Any]):
        stratum = serializers.DictField(child=serializers.CharField(max_length=64))

    class Output(serializers.Serializer[Any]):
        class PlannedInfusion(serializers.Serializer[Any]):
            id = serializers.UUIDField()
            number = serializers.IntegerField()
            day = serializers.IntegerField()
            opens_at = serializers.DateTimeField()
            target_at = serializers.DateTimeField()
            closes_at = serializers.DateTimeField()
            status = serializers.CharField()

        id = serializers.UUIDField(source="participant_id")
        screening_number = serializers.CharField(source="participant.screening_number")
        randomization_number = serializers.CharField()
        stratum = serializers.DictField(child=serializers.CharField(), source="stratum.levels")
        randomized_at = serializers.DateTimeField()
        infusions = PlannedInfusion(many=True, source="participant.infusions")

    def post(self, request: Request, participant_id: uuid.UUID) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def randomize() -> Outcome:
            allocation = randomize_participant(
                participant_id=participant_id, stratum=stated["stratum"], by=by, at=at
            )
            return Outcome(201, dict(self.Output(allocation).data))

        return perform(request, randomize)


class Discontinue(Endpoint):
    """End the participant's treatment, or their part in the study; coming infusions end with it."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.DISCONTINUE}

    class Input(serializers.Serializer[Any]):
        scope = serializers.ChoiceField(choices=["treatment", "study"])
        reason = serializers.CharField(max_length=2000)
        at = serializers.DateTimeField()

    class Output(serializers.Serializer[Any]):
        id = serializers.UUIDField(source="participant_id")
        screening_number = serializers.CharField(source="participant.screening_number")
        scope = serializers.CharField()
        at = serializers.DateTimeField()
        recorded_at = serializers.DateTimeField()

    def post(self, request: Request, participant_id: uuid.UUID) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def discontinue() -> Outcome:
            discontinuation = discontinue_participant(
                participant_id=participant_id,
                scope=stated["scope"],
                reason=stated["reason"],
                discontinued_at=stated["at"],
                by=by,
                at=at,
            )
            return Outcome(200, dict(self.Output(discontinuation).data))

        return perform(request, discontinue)


urlpatterns = [
    path("participants", Participants.as_view()),
    path("participants/<uuid:participant_id>", OneParticipant.as_view()),
    path("participants/<uuid:participant_id>/randomize", Randomize.as_view()),
    path("participants/<uuid:participant_id>/discontinue", Discontinue.as_view()),
]
