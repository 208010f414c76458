"""
Where on the list codes were broken, for the statistician who works out what it tells of the rest.

Stratum and slot only: never an arm, never who the participant is. What follows from them needs the
design, which no server has: ``python -m randomization.predictability`` is given this answer offline.
"""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers

from randomization.models import Unblinding
from randomization.selectors import reveals_visible_to
from trialsite.accounts.roles import Permission
from trialsite.api.views import ListEndpoint


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    stratum = filters.CharFilter()


class RevealOutput(serializers.Serializer[Any]):
    """One slot whose arm was shown to somebody."""

    stratum = serializers.CharField()
    slot = serializers.IntegerField(help_text="Counted from 0")
    revealed_at = serializers.DateTimeField()
    kind = serializers.CharField(source="category")
    used = serializers.IntegerField(help_text="Slots of the stratum that were taken by then")


class Reveals(ListEndpoint):
    """Slots whose arm was shown to somebody, in the order in which it was."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_REVEALS}
    filterset_class = Filters
    Output = RevealOutput

    def get_queryset(self) -> QuerySet[Unblinding]:
        return reveals_visible_to(self.person)


urlpatterns = [path("reveals", Reveals.as_view())]
