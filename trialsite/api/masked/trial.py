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
from trialsite.protocol_screening import accepted_consent_versions


class QuantityOutput(serializers.Serializer[Any]):
    """Something that is measured, and what is plausible."""

    code = serializers.CharField()
    unit = serializers.CharField()
    minimum = serializers.CharField()
    maximum = serializers.CharField()


class MeasurementOutput(serializers.Serializer[Any]):
    """The value behind a criterion, and its limit; the limit itself meets it."""

    value = QuantityOutput()
    divided_by = QuantityOutput(allow_null=True)
    at_least = serializers.CharField(allow_null=True)
    at_most = serializers.CharField(allow_null=True)
    sufficient_only = serializers.BooleanField(help_text="Whether other findings meet the criterion too")


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
            measurement = MeasurementOutput(allow_null=True)

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
        consent_version = serializers.CharField(help_text="The version in force")
        consent_versions = serializers.ListField(
            child=serializers.CharField(), help_text="All under which consent may be given"
        )

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
            "consent_version": protocol.consent_version,
            "consent_versions": accepted_consent_versions(protocol),
        }
        return Response(self.Output(shown).data)


urlpatterns = [path("trial", Trial.as_view())]
