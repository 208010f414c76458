"""
The masked face, and three calls that do nothing: the floors of a request through the same server.

``empty-open`` asks for no token. ``empty-knox`` is what a newcomer writes: Django REST framework with
knox's own authentication. ``empty`` is this project's ``Endpoint`` with its authentication, its role
check and its strict reading of the body. All three pass the whole middleware, read a JSON object and
answer one.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.urls import path
from knox.auth import TokenAuthentication
from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trialsite.accounts.roles import Permission
from trialsite.api.views import Endpoint, checked
from trialsite.urls import masked


class EmptyOpen(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    parser_classes = (JSONParser,)

    def post(self, request: Request) -> Response:
        return Response({"fields": len(request.data)})


class EmptyKnox(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)

    def post(self, request: Request) -> Response:
        return Response({"fields": len(request.data)})


class Empty(Endpoint):
    permissions: ClassVar[dict[str, Permission | None]] = {"POST": Permission.RANDOMIZE}

    class Input(serializers.Serializer[Any]):
        stratum = serializers.DictField(child=serializers.CharField(max_length=64))

    def post(self, request: Request) -> Response:
        return Response({"fields": len(checked(self.Input, request))})


urlpatterns = [
    path("benchmarks/empty-open", EmptyOpen.as_view()),
    path("benchmarks/empty-knox", EmptyKnox.as_view()),
    path("benchmarks/empty", Empty.as_view()),
    *masked.urlpatterns,
]
