"""Randomizations that should not have been, or not so: reported, listed, never taken back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.models import Participant, RandomizationError
from randomization.selectors import randomization_errors_visible_to
from randomization.services import randomization_errors as errors
from trialsite.accounts.access import sites_of
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.views import Endpoint, ListEndpoint, checked, person
from trialsite.clock.services import trial_now

LONGEST_REASON = 2000
MOST_CRITERIA = 200


@extend_schema_field({"type": ["string", "null"]})
class ScreeningNumber(serializers.Field[Any, Any, Any, Any]):
    """A participant's screening number; null for another site's, whose number would count them."""

    def to_representation(self, participant: Participant) -> str | None:
        sites: list[str] | None = self.context["sites"]
        return participant.screening_number if sites is None or participant.site_id in sites else None


class RandomizationErrorOutput(serializers.Serializer[Any]):
    """One report; ``holds`` until a later one of its kind says otherwise."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=RandomizationError.Kind.choices)
    participant = serializers.UUIDField(source="participant_id")
    screening_number = serializers.CharField(source="participant.screening_number")
    site = serializers.CharField(source="participant.site_id")
    holds = serializers.BooleanField()
    criteria = serializers.ListField(child=serializers.CharField(), help_text="Not met, if ineligible")
    stratum_used = serializers.DictField(child=serializers.CharField())
    true_stratum = serializers.DictField(child=serializers.CharField(), allow_null=True)
    duplicate_of = ScreeningNumber(allow_null=True, help_text="Screening number of the one that is kept")
    reason = serializers.CharField()
    known_at = serializers.DateTimeField()
    recorded_at = serializers.DateTimeField()


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    kind = filters.ChoiceFilter(choices=RandomizationError.Kind.choices)
    site = filters.CharFilter(field_name="participant__site")
    participant = filters.UUIDFilter(field_name="participant_id")


class RandomizationErrors(ListEndpoint):
    """Every report of an error, in the order in which they were made; also those no longer in force."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_ENROLMENT}
    filterset_class = Filters
    Output = RandomizationErrorOutput

    def get_queryset(self) -> QuerySet[RandomizationError]:
        return randomization_errors_visible_to(self.person)

    def page(self) -> Response:
        some = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.Output(some, many=True, context=_sites_of(self.person)).data)


class Finding(serializers.Serializer[Any]):
    """What every report says."""

    reason = serializers.CharField(max_length=LONGEST_REASON)
    known_at = serializers.DateTimeField(help_text="When it was found")


class Report(Endpoint):
    """One kind of report about one randomized participant; the answer is what is kept of it."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.CORRECT}
    created = True
    Input: ClassVar[type[serializers.Serializer[Any]]] = Finding
    Output: ClassVar[type[serializers.Serializer[Any]]] = RandomizationErrorOutput
    report: ClassVar[Callable[..., RandomizationError]]

    def post(self, request: Request, participant_id: uuid.UUID) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def report() -> Outcome:
            error = type(self).report(participant_id=participant_id, by=by, at=at, **stated)
            return Outcome(201, dict(self.Output(error, context=_sites_of(by)).data))

        return perform(request, report)


class RandomizedInError(Report):
    """The participant was randomized although it was not meant, or not allowed: a slip, no consent."""

    report = staticmethod(errors.report_randomized_in_error)


class WrongStratum(Report):
    """The stratum that was used is not the true one. The true one is sent whole; the used one stays."""

    report = staticmethod(errors.report_wrong_stratum)

    class Input(Finding):
        stratum = serializers.DictField(child=serializers.CharField(max_length=64))


class Ineligible(Report):
    """The participant was found not to meet criteria after randomization; they stay, flagged."""

    report = staticmethod(errors.report_ineligible)

    class Input(Finding):
        criteria = serializers.ListField(
            child=serializers.CharField(max_length=64),
            max_length=MOST_CRITERIA,
            help_text="Codes of the criteria not met",
        )


class Duplicate(Report):
    """
    The participant and another are one person: the first randomized is kept, the second flagged.

    Which is which follows from the times of randomization, whichever is sent.
    """

    report = staticmethod(errors.report_duplicate)

    class Input(Finding):
        duplicate_of = serializers.CharField(
            max_length=64, help_text="The other's id, screening or randomization number, of any site"
        )

    class Output(serializers.Serializer[Any]):
        id = serializers.UUIDField()
        kind = serializers.ChoiceField(choices=RandomizationError.Kind.choices)
        kept = ScreeningNumber(source="duplicate_of", help_text="Randomized first")
        flagged = ScreeningNumber(source="participant", help_text="Randomized second")
        reason = serializers.CharField()
        known_at = serializers.DateTimeField()
        recorded_at = serializers.DateTimeField()


def _sites_of(by: User) -> dict[str, Any]:
    return {"sites": sites_of(by, Permission.SEE_ENROLMENT)}


urlpatterns = [
    path("randomization-errors", RandomizationErrors.as_view()),
    path("participants/<uuid:participant_id>/randomized-in-error", RandomizedInError.as_view()),
    path("participants/<uuid:participant_id>/wrong-stratum", WrongStratum.as_view()),
    path("participants/<uuid:participant_id>/ineligible", Ineligible.as_view()),
    path("participants/<uuid:participant_id>/duplicate", Duplicate.as_view()),
]
