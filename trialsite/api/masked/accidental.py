"""Reports that somebody may have learned an arm."""

from __future__ import annotations

from typing import Any, ClassVar

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.services.accidental import LONGEST_ACCOUNT, report_accidental_unblinding
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.views import Endpoint, checked, person
from trialsite.clock.services import trial_now


class AccidentalUnblindings(Endpoint):
    """
    Report that somebody may have learned an arm, without stating it.

    What happened is sealed at once to the auditor and the safety desk; nobody reads it here again.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.REPORT_ACCIDENTAL}
    created = True

    class Input(serializers.Serializer[Any]):
        participant = serializers.CharField(max_length=64, help_text="id, screening or randomization number")
        occurred_at = serializers.DateTimeField()
        what_happened = serializers.CharField(max_length=LONGEST_ACCOUNT)

    class Output(serializers.Serializer[Any]):
        id = serializers.UUIDField()
        participant = serializers.UUIDField(source="participant_id")
        occurred_at = serializers.DateTimeField()
        reported_at = serializers.DateTimeField()

    def post(self, request: Request) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def report() -> Outcome:
            return Outcome(201, dict(self.Output(report_accidental_unblinding(by=by, at=at, **stated)).data))

        return perform(request, report)


urlpatterns = [path("accidental-unblindings", AccidentalUnblindings.as_view())]
