"""What both faces answer: who am I, is it alive, what can it do."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import get_urlconf, path
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from trialsite.accounts.roles import Permission
from trialsite.api import readiness
from trialsite.api.views import Endpoint, PublicEndpoint, person


class Me(Endpoint):
    """Who the token belongs to, and which roles that person holds now."""

    permissions: ClassVar[dict[str, Permission | None]] = {"GET": None}

    class Output(serializers.Serializer[Any]):
        class Role(serializers.Serializer[Any]):
            role = serializers.CharField()
            site = serializers.CharField(source="site_id", allow_null=True)

        id = serializers.UUIDField()
        username = serializers.CharField()
        full_name = serializers.CharField()
        roles = Role(many=True)

    def get(self, request: Request) -> Response:
        return Response(self.Output(person(request)).data)


class Live(PublicEndpoint):
    """The process answers; nothing else is looked at."""

    class Output(serializers.Serializer[Any]):
        status = serializers.CharField()

    def get(self, request: Request) -> Response:  # noqa: ARG002 - Django REST framework's signature
        return Response({"status": "alive"})


class Ready(PublicEndpoint):
    """Everything that a request may need is there; otherwise 503 names what is not."""

    class Output(serializers.Serializer[Any]):
        status = serializers.CharField()

    def get(self, request: Request) -> Response:  # noqa: ARG002 - Django REST framework's signature
        readiness.check()
        return Response({"status": "ready"})


class Description(PublicEndpoint):
    """This description."""

    @extend_schema(responses={(200, "application/yaml"): str})
    def get(self, request: Request) -> HttpResponse:  # noqa: ARG002 - Django REST framework's signature
        text = description(get_urlconf() or settings.ROOT_URLCONF)
        return HttpResponse(text, content_type="application/yaml")


@cache
def description(urlconf: str) -> bytes:
    """Return the OpenAPI description of a URL file, made once per process."""
    generator = SchemaGenerator(urlconf=urlconf)  # type: ignore[no-untyped-call]
    schema = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    written: bytes = OpenApiYamlRenderer().render(schema, renderer_context={})  # type: ignore[no-untyped-call]
    return written


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Swagger UI over the description, from our own files only."""
    return render(request, "api/docs.html")


@require_safe
def to_docs(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Lead whoever opens the bare address to where it is described."""
    return HttpResponseRedirect("/api/v1/docs")


urlpatterns = [
    path("me", Me.as_view()),
    path("openapi.yaml", Description.as_view()),
    path("docs", docs),
    path("docs/", to_docs),
]
# Where container health checks look.
health_urlpatterns = [
    path("livez", Live.as_view()),
    path("readyz", Ready.as_view()),
]
# What a person opens without having read anything.
home_urlpatterns = [path("", to_docs)]
