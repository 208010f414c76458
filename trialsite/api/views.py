"""
What every REST view stands on.

A view translates in, makes one service call, and translates out. It says in ``permissions`` what
each method takes; ``Input`` and ``Output`` are serializers nested in it, from which the OpenAPI
description is made too.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.accounts.services.sessions import require_session
from trialsite.api.authentication import person
from trialsite.api.errors import InvalidFields, field_error
from trialsite.api.pagination import Pages
from trialsite.api.strictness import mistakes
from trialsite.clock.services import real_now

__all__ = ["Endpoint", "ListEndpoint", "NoFields", "PublicEndpoint", "checked", "choices", "person"]


class NoFields(serializers.Serializer[Any]):
    """The body of a call that takes none."""


class OneFormat(BaseContentNegotiation):
    """Each call answers in its one format whatever ``Accept`` says, so errors are always problems."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        return DefaultContentNegotiation().select_parser(request, parsers)

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - Django REST framework's signature
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class Endpoint(APIView):
    """
    One path.

    ``permissions``: method -> what it takes; None for any signed-in person; absent is refused.
    ``idempotent``: whether POST takes ``Idempotency-Key`` (it does, if it goes through the floor).
    ``work_session``: whether ``X-Session`` is needed beside the token.
    ``created``: whether POST answers 201.
    """

    permissions: ClassVar[dict[str, Permission | None]] = {}
    idempotent: ClassVar[bool] = True
    work_session: ClassVar[bool] = False
    created: ClassVar[bool] = False

    http_method_names: ClassVar[list[str]] = ["get", "head", "post"]  # type: ignore[misc]
    content_negotiation_class = OneFormat
    # Without it OPTIONS would describe the view to anyone.
    metadata_class = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.check_query(request)
        if request.method == "POST" and not hasattr(self, "Input"):
            checked(NoFields, request)
        if self.work_session:
            self.check_work_session(request)

    def known_parameters(self) -> frozenset[str]:
        """Return the names of the query parameters that GET takes."""
        return frozenset()

    def check_query(self, request: Request) -> None:
        """
        :raises InvalidFields: if a query parameter is unknown, repeated, or sent with a POST.
        """
        known = self.known_parameters() if request.method in ("GET", "HEAD") else frozenset()
        wrong = [
            field_error(f"?{name[:64]}", "unknown_parameter")
            for name, values in request.query_params.lists()
            if name not in known or len(values) != 1
        ]
        if wrong:
            raise InvalidFields(wrong)

    def check_work_session(self, request: Request) -> None:
        """
        :raises WorkSessionRequired: if there is no living session of this person.
        """
        require_session(user=person(request), session=request.headers.get("X-Session", ""), at=real_now())


class PublicEndpoint(Endpoint):
    """Open to all without an account; a token that is sent is not even looked at."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    permissions: ClassVar[dict[str, Permission | None]] = {"GET": None}


class ListEndpoint(Endpoint, GenericAPIView[Any]):
    """
    A list, in pages, filtered by ``filterset_class`` (django-filter); ``Output`` shows one row.

    Write ``get_queryset``: what ``self.person`` may see, in one fixed order.
    """

    filterset_class: ClassVar[Any] = None
    Output: ClassVar[type[serializers.BaseSerializer[Any]]]

    @property
    def person(self) -> User:
        return person(self.request)

    def known_parameters(self) -> frozenset[str]:
        named = frozenset(self.filterset_class.base_filters) if self.filterset_class else frozenset()
        return named | Pages.PARAMETERS

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return self.Output

    def page(self) -> Response:
        """Return one page of what the person may see."""
        rows: QuerySet[Any] = self.filter_queryset(self.get_queryset())
        some = self.paginate_queryset(rows)
        return self.get_paginated_response(self.Output(some, many=True).data)

    def get(self, request: Request) -> Response:  # noqa: ARG002 - Django REST framework's signature
        return self.page()


def choices(values: type[StrEnum]) -> list[tuple[str, str]]:
    """Return the values as the choices of a field or filter, each shown as itself."""
    return [(each.value, each.value) for each in values]


def checked(serializer_class: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """
    Return the request's body as ``serializer_class`` reads it.

    Strict beyond REST framework: no unknown field at any depth, no number for a text or truth
    value, no time without its offset.

    :raises InvalidFields: with every mistake found.
    """
    serializer = serializer_class(data=request.data)
    wrong = mistakes(serializer, request.data)
    if wrong:
        raise InvalidFields(wrong)
    serializer.is_valid(raise_exception=True)
    validated: dict[str, Any] = serializer.validated_data
    return validated
