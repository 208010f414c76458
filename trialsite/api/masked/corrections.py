"""Corrections of a participant's record: what was wrong, what is right, and what follows."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.models import Correction
from randomization.services.corrections import correct_participant, corrections_of, unreported
from randomization.services.deviations import unreported_deviations
from trialsite.accounts.roles import Permission
from trialsite.api.errors import InvalidFields, pointers
from trialsite.api.floor import Outcome, perform
from trialsite.api.masked.participants import Participants
from trialsite.api.strictness import mistakes
from trialsite.api.views import ListEndpoint, checked, person
from trialsite.clock.services import trial_now

_ANY_JSON: dict[str, Any] = {}
_VALUE = "#/value"


@extend_schema_field(_ANY_JSON)
class AnyValue(serializers.Field[Any, Any, Any, Any]):
    """A JSON value whose type follows from another field."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class CorrectionOutput(serializers.Serializer[Any]):
    """One correction; of the local identifier neither value is kept."""

    id = serializers.UUIDField()
    pointer = serializers.CharField()
    old = AnyValue(allow_null=True)
    new = AnyValue(allow_null=True)
    reason = serializers.CharField()
    at = serializers.DateTimeField()


class Corrections(ListEndpoint):
    """
    What was corrected in a participant's record, oldest first; for who may correct it, since it has dates.

    A POST corrects one value that screening asked for. Before randomization the participant is judged
    anew; afterwards only what is true changes and never what was used. ``unmet_now`` names what the
    corrected record of a randomized participant does not meet, and ``deviations`` what stood against the
    randomization, such as ``consent_not_given``; a person reports it by the call that ``report_at`` names.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {
        "GET": Permission.CORRECT,
        "POST": Permission.CORRECT,
    }
    created = True
    Output = CorrectionOutput

    class Input(serializers.Serializer[Any]):
        pointer = serializers.CharField(
            max_length=200, help_text="RFC 6901, such as /birth_date or /strata/respiratory_support"
        )
        value = AnyValue(help_text="As screening takes it there")
        reason = serializers.CharField(max_length=2000)

    class Corrected(CorrectionOutput):
        """The correction, and how the participant stands with it."""

        status = serializers.CharField(source="participant.status")
        unmet = serializers.ListField(child=serializers.CharField(), source="participant.unmet")
        stratum = serializers.DictField(
            child=serializers.CharField(),
            source="participant.stratum_levels",
            help_text="Of a randomized participant the one that was used",
        )
        true_stratum = serializers.DictField(
            child=serializers.CharField(), source="participant.true_stratum_levels", allow_null=True
        )
        unmet_now = serializers.SerializerMethodField()
        deviations = serializers.SerializerMethodField()
        report_at = serializers.SerializerMethodField(help_text="For deviations first")

        def get_unmet_now(self, correction: Correction) -> list[str]:
            return unreported(correction.participant)

        def get_deviations(self, correction: Correction) -> list[str]:
            return unreported_deviations(correction.participant)

        def get_report_at(self, correction: Correction) -> str | None:
            here = f"/api/v1/participants/{correction.participant_id}"
            if unreported_deviations(correction.participant):
                return f"{here}/randomized-in-error"
            return f"{here}/ineligible" if unreported(correction.participant) else None

    def get_queryset(self) -> QuerySet[Correction]:
        return corrections_of(self.kwargs["participant_id"], by=self.person)

    def get(self, request: Request, **_: Any) -> Response:  # noqa: ARG002 - the framework's signature
        return self.page()

    @extend_schema(responses={201: Corrected})
    def post(self, request: Request, participant_id: uuid.UUID) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()
        stated["value"] = _as_screening_reads(stated["value"], pointer=stated["pointer"])

        def correct() -> Outcome:
            correction = correct_participant(participant_id=participant_id, by=by, at=at, **stated)
            return Outcome(201, dict(self.Corrected(correction).data))

        return perform(request, correct)


def _as_screening_reads(value: Any, *, pointer: str) -> Any:
    """
    Return the value as the body of a screening is read; of what it does not have, as it was sent.

    :raises InvalidFields: if the value is not of the type that stands there.
    """
    name, *inner = pointer.split("/")[1:] or [""]
    field = Participants.Input().fields.get(name)
    if inner:
        field = getattr(field, "child", None)
    if field is None:
        return value
    wrong = mistakes(field, value, _VALUE)
    if wrong:
        raise InvalidFields(wrong)
    try:
        return field.run_validation(value)
    except serializers.ValidationError as error:
        raise InvalidFields([{**fault, "pointer": _VALUE} for fault in pointers(error)]) from None


urlpatterns = [path("participants/<uuid:participant_id>/corrections", Corrections.as_view())]
