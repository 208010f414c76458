"""The trail to take away: its newest checkpoint for everyone, all of it for the auditor."""

from __future__ import annotations

from typing import ClassVar

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from randomization.models import RandomizationList
from trialsite.accounts.roles import Permission
from trialsite.api.views import Endpoint, PublicEndpoint
from trialsite.audit.export import bundle
from trialsite.audit.signing import SigningBusy, TrailRolledBack, latest_checkpoint
from trialsite.errors import NotFound, Refused


class TrailHasGoneBack(Refused):
    """The trail no longer holds what was last signed: a restored older copy, or worse."""

    code = "trail_has_gone_back"
    status = 503


class TrailBusy(Refused):
    """Somebody else is signing the trail at the moment."""

    code = "trail_busy"
    status = 503


class TrailCheckpoint(PublicEndpoint):
    """The newest signed checkpoint (C2SP tlog-checkpoint)."""

    @extend_schema(responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002 - Django REST framework's signature
        note = latest_checkpoint()
        if note is None:
            raise NotFound("No checkpoint has been signed yet.")
        return HttpResponse(note, content_type="text/plain; charset=utf-8")


class TrailExport(Endpoint):
    """The verifier's bundle (zip), up to a checkpoint signed now."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": Permission.EXPORT_TRAIL}

    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002 - Django REST framework's signature
        lists = RandomizationList.objects.order_by("ordinal")
        first, *extensions = lists.values_list("commitment_note", flat=True) or [""]
        try:
            content = bundle(commitment_note=first, extension_notes=extensions)
        except TrailRolledBack:
            raise TrailHasGoneBack("The trail has gone back behind what was signed.") from None
        except SigningBusy:
            raise TrailBusy("The trail is being signed. Try again in some seconds.") from None
        response = HttpResponse(content, content_type="application/zip")
        response["Content-Disposition"] = 'attachment; filename="audit-trail.zip"'
        return response


urlpatterns = [
    path("audit-trail/checkpoint", TrailCheckpoint.as_view()),
    path("audit-trail/export", TrailExport.as_view()),
]
