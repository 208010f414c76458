"""The trial clock of an evaluation deployment. In production this path does not exist."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from trialsite.accounts.roles import Permission
from trialsite.api.views import Endpoint, checked
from trialsite.clock import services as clock


class TrialClock(Endpoint):
    """Trial time, which moves forwards only and for every process at once."""

    permissions: ClassVar[dict[str, Permission | None]] = {
        "GET": Permission.ADVANCE_CLOCK,
        "POST": Permission.ADVANCE_CLOCK,
    }
    # It moves the evaluation and not the trial: sent twice, it advances twice.
    idempotent = False

    class Input(serializers.Serializer[Any]):
        advance_seconds = serializers.IntegerField(min_value=0, max_value=clock.MOST_ADVANCE_SECONDS)

    class Output(serializers.Serializer[Any]):
        now = serializers.DateTimeField()

    def get(self, request: Request) -> Response:  # noqa: ARG002 - Django REST framework's signature
        return Response(self.Output({"now": clock.trial_now()}).data)

    def post(self, request: Request) -> Response:
        """Advance, and answer when the sweeps that became due have run."""
        fields = checked(self.Input, request)
        clock.wait_for_sweeps(generation=clock.advance(seconds=fields["advance_seconds"]))
        return Response(self.Output({"now": clock.trial_now()}).data)


evaluation_urlpatterns = [path("evaluation/clock", TrialClock.as_view())]
urlpatterns = evaluation_urlpatterns if settings.EVALUATION else []
