"""Who may be enrolled where: paused, resumed, suspended, closed and opened again."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.models import EnrolmentChange
from randomization.services.enrolment_changes import change_enrolment, enrolment_changes_visible_to
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.views import ListEndpoint, checked, person
from trialsite.clock.services import trial_now


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    site = filters.CharFilter()
    status = filters.ChoiceFilter(choices=EnrolmentChange.Status.choices)


class EnrolmentChanges(ListEndpoint):
    """
    Changes of enrolment in their order; the last one of a site, and the last one without a site, hold.

    A POST makes one. Treatment, infusions and emergency code breaks go on however enrolment stands.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {
        "GET": Permission.SEE_ENROLMENT,
        "POST": Permission.MANAGE_ENROLMENT,
    }
    created = True
    filterset_class = Filters

    class Input(serializers.Serializer[Any]):
        site = serializers.CharField(max_length=16, allow_null=True, help_text="null: the whole trial")
        status = serializers.ChoiceField(choices=EnrolmentChange.Status.choices)
        reason = serializers.CharField(max_length=2000)

    class Output(serializers.Serializer[Any]):
        id = serializers.UUIDField()
        number = serializers.IntegerField()
        site = serializers.CharField(source="site_id", allow_null=True)
        status = serializers.ChoiceField(choices=EnrolmentChange.Status.choices)
        reason = serializers.CharField()
        at = serializers.DateTimeField()

    def get_queryset(self) -> QuerySet[EnrolmentChange]:
        return enrolment_changes_visible_to(self.person)

    def post(self, request: Request) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def change() -> Outcome:
            return Outcome(201, dict(self.Output(change_enrolment(by=by, at=at, **stated)).data))

        return perform(request, change)


urlpatterns = [path("enrolment-changes", EnrolmentChanges.as_view())]
