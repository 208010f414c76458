"""Lots received at a site: cells, and components of the placebo. Unmasked side only."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from supply.models import Lot
from supply.selectors import lots_visible_to
from supply.services.lots import receive_lot
from trialsite.accounts.roles import Permission
from trialsite.api.floor import Outcome, perform
from trialsite.api.views import ListEndpoint, checked, person
from trialsite.clock.services import trial_now


class Filters(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    site = filters.CharFilter()
    component = filters.CharFilter()
    number = filters.CharFilter()


class LotOutput(serializers.Serializer[Any]):
    """One lot at one site."""

    id = serializers.UUIDField()
    site = serializers.CharField(source="site_id")
    component = serializers.CharField()
    number = serializers.CharField()
    expires_at = serializers.DateTimeField()
    certificate = serializers.CharField()
    received_at = serializers.DateTimeField()


class Lots(ListEndpoint):
    """Lots at the person's sites, those that end first first; a POST receives one."""

    permissions: ClassVar[dict[str, Permission | None]] = {
        "GET": Permission.RECEIVE_LOTS,
        "POST": Permission.RECEIVE_LOTS,
    }
    work_session = True
    created = True
    filterset_class = Filters
    Output = LotOutput

    class Input(serializers.Serializer[Any]):
        site = serializers.CharField(max_length=16)
        component = serializers.CharField(max_length=32)
        number = serializers.CharField(max_length=64)
        expires_at = serializers.DateTimeField()
        certificate = serializers.CharField(max_length=200)

    def get_queryset(self) -> QuerySet[Lot]:
        return lots_visible_to(self.person)

    def post(self, request: Request) -> Response:
        stated, by, at = checked(self.Input, request), person(request), trial_now()

        def shown(resource: str) -> Outcome:
            lot = lots_visible_to(by).get(pk=uuid.UUID(resource))
            return Outcome(201, dict(self.Output(lot).data), resource)

        def receive() -> Outcome:
            return shown(str(receive_lot(by=by, at=at, **stated).pk))

        return perform(request, receive, replay=shown)


urlpatterns = [path("lots", Lots.as_view())]
