"""Work sessions of the preparation desk."""

from __future__ import annotations

from typing import Any, ClassVar

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from trialsite.accounts.roles import Permission
from trialsite.accounts.services import sessions
from trialsite.accounts.services.people import LONGEST_PASSWORD
from trialsite.api.views import Endpoint, checked, person
from trialsite.clock.services import real_now


class OpenSession(Endpoint):
    """Open a work session with password and one-time code; preparers send it as X-Session."""

    permissions: ClassVar[dict[str, Permission | None]] = {"POST": None}
    # Each answer is a new secret, which is kept nowhere and could not be repeated.
    idempotent = False
    created = True

    class Input(serializers.Serializer[Any]):
        password = serializers.CharField(trim_whitespace=False, max_length=LONGEST_PASSWORD)
        otp = serializers.CharField(max_length=16)

    class Output(serializers.Serializer[Any]):
        session = serializers.CharField()
        expires_at = serializers.DateTimeField()

    def post(self, request: Request) -> Response:
        fields = checked(self.Input, request)
        opened = sessions.open_session(
            request=request._request,  # axes counts failures by the web request
            user=person(request),
            password=fields["password"],
            otp=fields["otp"],
            at=real_now(),
        )
        return Response(self.Output(opened).data, status=201)


urlpatterns = [path("sessions", OpenSession.as_view())]
