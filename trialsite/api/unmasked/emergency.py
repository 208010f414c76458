"""The emergency envelopes, for those who keep them: which are used, to compare with the paper."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers

from randomization.models import Slot
from randomization.services.emergency import STATES, envelopes_visible_to
from trialsite.accounts.roles import Permission
from trialsite.api.views import ListEndpoint

CHOICES = [(state, state) for state in STATES]


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    site = filters.CharFilter()
    state = filters.ChoiceFilter(choices=CHOICES)


class EmergencyList(ListEndpoint):
    """
    Every envelope of the person's sites in its order, used or not; what is inside is not here.

    No work session is asked for: a session is opened for one work, such as a preparation, and this
    says nothing that the envelopes' outsides do not say to whoever keeps them.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_EMERGENCY_LIST}
    filterset_class = Filters

    class Output(serializers.Serializer[Any]):
        site = serializers.CharField()
        envelope = serializers.IntegerField(help_text="Its number on the outside, from 1")
        randomization_number = serializers.CharField()
        state = serializers.ChoiceField(choices=CHOICES)
        screening_number = serializers.CharField(allow_null=True)
        paper_time = serializers.DateTimeField(allow_null=True)
        entered_at = serializers.DateTimeField(allow_null=True)
        reason = serializers.CharField(allow_null=True)

    def get_queryset(self) -> QuerySet[Slot]:
        return envelopes_visible_to(self.person)


urlpatterns = [path("emergency-list", EmergencyList.as_view())]
