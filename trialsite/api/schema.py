"""The OpenAPI description, made from the views: their permissions, ``Input`` and ``Output``."""

from __future__ import annotations

import re
from typing import Any

import django_filters as filters
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiFilterExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from trialsite.api.views import Endpoint, ListEndpoint, PublicEndpoint


class FieldProblem(serializers.Serializer[Any]):
    """One field or query parameter that is not acceptable."""

    pointer = serializers.CharField(help_text="JSON pointer into the body (#/a/b), or ?name of a parameter")
    code = serializers.CharField()
    detail = serializers.CharField()


class Problem(serializers.Serializer[Any]):
    """A refusal (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField(help_text="Stable; programs decide by this")
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment]  # a field of the problem


class BearerTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "trialsite.api.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer", "description": "From manage.py issue_token USER."}


class NamedFiltersParameters(OpenApiFilterExtension):  # type: ignore[no-untyped-call]
    """The view's named filters. Spectacular's own would run the query of a person who is not there."""

    target_class = "trialsite.api.filtering.NamedFilters"
    priority = 1

    def get_schema_operation_parameters(
        self,
        auto_schema: AutoSchema,
        *args: Any,  # noqa: ARG002 - spectacular's signature
        **kwargs: Any,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        filterset = getattr(auto_schema.view, "filterset_class", None)
        named = filterset.base_filters.items() if filterset else ()
        return [{"in": "query", "name": name, "schema": _filtered(filter_)} for name, filter_ in named]


def _filtered(filter_: filters.Filter) -> dict[str, Any]:
    """Return the JSON schema of a filter's value."""
    match filter_:
        case filters.ChoiceFilter():
            return {"type": "string", "enum": [value for value, _ in filter_.extra["choices"]]}
        case filters.UUIDFilter():
            return {"type": "string", "format": "uuid"}
        case filters.IsoDateTimeFilter():
            return {"type": "string", "format": "date-time"}
        case filters.NumberFilter():
            return {"type": "number"}
    return {"type": "string"}


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    required=True,
    description="New for each thing that is to happen; the same key and body do it once.",
)
WORK_SESSION = OpenApiParameter(
    "X-Session", OpenApiTypes.STR, OpenApiParameter.HEADER, required=True, description="From POST sessions."
)
_SERVICE = ("livez", "readyz", "openapi.yaml", "me")


class Schema(AutoSchema):
    """Reads what ``Endpoint`` declares; ``extend_schema`` still overrides where a view differs."""

    view: Endpoint  # type: ignore[override]  # no other view is described

    def get_operation_id(self) -> str:
        path = re.sub(r"^/(api/v1/)?", "", self.path)
        return "_".join([self.method.lower(), *re.findall(r"[A-Za-z0-9]+", path)])

    def get_tags(self) -> list[str]:
        first = re.sub(r"^/(api/v1/)?", "", self.path).partition("/")[0]
        return ["service" if first in _SERVICE else first]

    def get_summary(self) -> str | None:
        handler = getattr(self.view, self.method.lower())
        return (handler.__doc__ or self.view.__doc__ or "").strip().partition("\n")[0] or None

    def get_description(self) -> str:  # type: ignore[override]  # spectacular's signature
        return (self.view.__doc__ or "").strip().partition("\n")[2].strip()

    def get_auth(self) -> list[dict[str, list[str]]]:
        return [] if isinstance(self.view, PublicEndpoint) else super().get_auth()

    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = []
        if self.method == "POST" and self.view.idempotent:
            parameters.append(IDEMPOTENCY_KEY)
        if self.view.work_session:
            parameters.append(WORK_SESSION)
        return parameters

    def get_request_serializer(self) -> Any:
        return getattr(self.view, "Input", None) if self.method == "POST" else None

    def get_response_serializers(self) -> Any:
        status = 201 if self.method == "POST" and self.view.created else 200
        output = getattr(self.view, "Output", None)
        answer = output or OpenApiResponse(description="Done.")
        if self._is_list_view(answer):
            answer = output(many=True) if output else answer
        return {status: answer}

    def _is_list_view(self, serializer: Any = None) -> bool:  # noqa: ARG002 - the base's signature
        return isinstance(self.view, ListEndpoint) and self.method == "GET"

    def get_serializer_name(self, serializer: serializers.Serializer[Any], direction: Any) -> str:  # noqa: ARG002
        """``Randomize.Output`` becomes ``RandomizeOutput``: nested names alone would collide."""
        return type(serializer).__qualname__.replace(".", "")

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        """Every call may answer with a problem, those too whose answer is described by hand."""
        refusal = OpenApiResponse(Problem, description="A refusal.")
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        bodies["default"] = self._get_response_for_code(  # type: ignore[no-untyped-call]
            refusal, "default", ["application/problem+json"], direction
        )
        return bodies
