"""The trial as everybody may know it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.selectors import current_trial
from trialsite.accounts.roles import Permission
from trialsite.api.views import Endpoint


class Trial(Endpoint):
    """The trial's public design: factors, eligibility, infusions and sites."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_TRIAL}

    class Output(serializers.Serializer[Any]):
        class Factor(serializers.Serializer[Any]):
            code = serializers.CharField()
            levels = serializers.ListField(child=serializers.CharField())
            derived_from = serializers.CharField(allow_null=True)

        class Criterion(serializers.Serializer[Any]):
            code = serializers.CharField()
            kind = serializers.ChoiceField(choices=["inclusion", "exclusion"])
            group = serializers.CharField()
            combine = serializers.ChoiceField(choices=["all", "any"])
            text = serializers.CharField()

        class PlannedInfusion(serializers.Serializer[Any]):
            number = serializers.IntegerField()
            day = serializers.IntegerField()

        class TrialSite(serializers.Serializer[Any]):
            code = serializers.CharField()
            name = serializers.CharField()
            time_zone = serializers.CharField()

        protocol = serializers.CharField()
        title = serializers.CharField()
        status = serializers.ChoiceField(choices=["loaded", "active"])
        factors = Factor(many=True)
        eligibility = Criterion(many=True)
        infusions = PlannedInfusion(many=True)
        sites = TrialSite(many=True)

    def get(self, request: Request) -> Response:  # noqa: ARG002 - Django REST framework's signature
        version, protocol = current_trial()
        shown = {
            "protocol": protocol.protocol,
            "title": protocol.title,
            "status": "active" if version.activated_at else "loaded",
            "factors": protocol.factors,
            "eligibility": protocol.eligibility,
            "infusions": protocol.infusions,
            "sites": protocol.sites,
        }
        return Response(self.Output(shown).data)


urlpatterns = [path("trial", Trial.as_view())]
