"""Reports for who oversees enrolment: totals, never by arm."""

from __future__ import annotations

from typing import Any, ClassVar

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from randomization.domain.randomization_errors import HIGH_ABOVE_PERCENT
from randomization.services.enrolment_report import enrolment_report
from trialsite.accounts.roles import Permission
from trialsite.api.views import Endpoint, person
from trialsite.clock.services import trial_now


class ErrorRateOutput(serializers.Serializer[Any]):
    """The share of the randomized with at least one error, in percent."""

    participants = serializers.IntegerField(help_text="With at least one error")
    randomized = serializers.IntegerField()
    rate_percent = serializers.DecimalField(max_digits=5, decimal_places=2, allow_null=True)
    interval_95_percent = serializers.ListField(
        child=serializers.DecimalField(max_digits=5, decimal_places=2),
        allow_null=True,
        help_text="Wilson score interval, lower and upper limit",
    )
    level = serializers.ChoiceField(
        choices=["none", "medium", "high"], help_text=f"high: above {HIGH_ABOVE_PERCENT} %"
    )


class Enrolment(Endpoint):
    """Screened, failed, randomized, left, and randomized in error; an investigator's own site only."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.SEE_ENROLMENT}

    class Output(serializers.Serializer[Any]):
        class StratumCounts(serializers.Serializer[Any]):
            stratum = serializers.DictField(child=serializers.CharField())
            used = serializers.IntegerField(help_text="Randomized in this stratum")
            true = serializers.IntegerField(help_text="Who truly belong to it")

        class SiteCounts(serializers.Serializer[Any]):
            site = serializers.CharField(help_text="Where they were enrolled")
            screened = serializers.IntegerField()
            screen_failed = serializers.IntegerField()
            randomized = serializers.IntegerField()
            error_rate = ErrorRateOutput()

        class Unreported(serializers.Serializer[Any]):
            screening_number = serializers.CharField()
            unmet_now = serializers.ListField(child=serializers.CharField(), help_text="As corrected")
            deviations = serializers.ListField(
                child=serializers.CharField(), help_text="Stood against the randomization, by the record now"
            )

        at = serializers.DateTimeField(help_text="Trial time of the counts")
        screened = serializers.IntegerField()
        screen_failed = serializers.IntegerField()
        screen_failed_by_criterion = serializers.DictField(
            child=serializers.IntegerField(), help_text="Participants; one may fail several"
        )
        eligible_not_randomized = serializers.IntegerField(help_text="And not discontinued")
        randomized = serializers.IntegerField()
        discontinued = serializers.DictField(child=serializers.IntegerField(), help_text="By scope")
        strata = StratumCounts(many=True)
        sites = SiteCounts(many=True)
        errors_by_kind = serializers.DictField(
            child=serializers.IntegerField(), help_text="Participants; one may have several"
        )
        error_rate = ErrorRateOutput()
        unreported = Unreported(many=True, help_text="Something was wrong, and nobody has reported it")

    def get(self, request: Request) -> Response:
        return Response(self.Output(enrolment_report(by=person(request), at=trial_now())).data)


urlpatterns = [path("reports/enrolment", Enrolment.as_view())]
