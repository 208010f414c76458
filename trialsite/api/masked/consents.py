"""Consent after screening: given anew, withdrawn, and its history."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.models import Consent
from randomization.services.consent import Given, consents_of, give_consent
from randomization.services.deviations import unreported_deviations
from supply.services.withdrawal import withdraw_consent
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.views import Endpoint, ListEndpoint, checked, person
from trialsite.clock.services import trial_now


class GiverInput(serializers.Serializer[Any]):
    """Who consents, or withdraws their consent."""

    given_by = serializers.ChoiceField(
        choices=Consent.Giver.choices, required=False, default=Consent.Giver.PARTICIPANT.value
    )
    relationship = serializers.CharField(
        max_length=100, required=False, default="", allow_blank=True, help_text="Of a representative"
    )


class ConsentInput(GiverInput):
    """To which version, and by whom."""

    version = serializers.CharField(
        max_length=32, required=False, default="", help_text="Without it the version in force"
    )


class ConsentOutput(serializers.Serializer[Any]):
    """One act of consent."""

    id = serializers.UUIDField()
    act = serializers.ChoiceField(choices=Consent.Act.choices)
    version = serializers.CharField(help_text="Empty for a withdrawal")
    given_by = serializers.ChoiceField(choices=Consent.Giver.choices, source="giver")
    relationship = serializers.CharField()
    scope = serializers.CharField(help_text="Of a withdrawal: treatment or study")
    reason = serializers.CharField()
    at = serializers.DateTimeField()
    recorded_at = serializers.DateTimeField()


class Consents(ListEndpoint):
    """A participant's acts of consent, as they were recorded; a POST records a consent after the first."""

    permissions: ClassVar[dict[str, Permission | None]] = {
        "GET": Permission.SEE_PARTICIPANTS,
        "POST": Permission.SCREEN,
    }
    created = True
    Output = ConsentOutput

    class Input(ConsentInput):
        at = serializers.DateTimeField()

    def get_queryset(self) -> QuerySet[Consent]:
        return consents_of(self.kwargs["participant_id"], by=self.person)

    def get(self, request: Request, **_: Any) -> Response:  # noqa: ARG002 - the framework's signature
        return self.page()

    def post(self, request: Request, participant_id: uuid.UUID) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()
        given_at = stated.pop("at")

        def give() -> Outcome:
            consent = give_consent(
                participant_id=participant_id, given=Given(**stated), given_at=given_at, by=by, at=at
            )
            return Outcome(201, dict(self.Output(consent).data))

        return perform(request, give)


class WithdrawConsent(Endpoint):
    """
    Record that consent was withdrawn; the participant is discontinued with it.

    ``deviations`` says what stands against the randomization with it, as when consent was withdrawn
    before; a person reports it by the call that ``report_at`` names.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.DISCONTINUE}

    class Output(ConsentOutput):
        deviations = serializers.SerializerMethodField()
        report_at = serializers.SerializerMethodField()

        def get_deviations(self, consent: Consent) -> list[str]:
            return unreported_deviations(consent.participant)

        def get_report_at(self, consent: Consent) -> str | None:
            here = f"/api/v1/participants/{consent.participant_id}/randomized-in-error"
            return here if unreported_deviations(consent.participant) else None

    class Input(GiverInput):
        scope = serializers.ChoiceField(choices=["treatment", "study"])
        reason = serializers.CharField(
            max_length=1900, required=False, default="", allow_blank=True, help_text="Nobody owes one"
        )
        at = serializers.DateTimeField()

    def post(self, request: Request, participant_id: uuid.UUID) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()
        withdrawn_at = stated.pop("at")

        def withdraw() -> Outcome:
            consent = withdraw_consent(
                participant_id=participant_id, withdrawn_at=withdrawn_at, by=by, at=at, **stated
            )
            return Outcome(200, dict(self.Output(consent).data))

        return perform(request, withdraw)


urlpatterns = [
    path("participants/<uuid:participant_id>/consents", Consents.as_view()),
    path("participants/<uuid:participant_id>/withdraw-consent", WithdrawConsent.as_view()),
]
