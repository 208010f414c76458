"""Pages of a list: ``{"count", "next", "previous", "results"}``."""

from __future__ import annotations

from typing import Any

from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request

from trialsite.api.errors import InvalidFields, field_error


class Pages(PageNumberPagination):
    page_size = 50
    max_page_size = 200
    page_query_param = "page"
    page_size_query_param = "page_size"
    last_page_strings = ()

    PARAMETERS = frozenset({page_query_param, page_size_query_param})

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """
        :raises InvalidFields: if ``page`` or ``page_size`` is not a positive whole number.
        """
        wrong = [
            field_error(f"?{name}", "wrong_type")
            for name in sorted(self.PARAMETERS & set(request.query_params))
            if not _is_counting_number(request.query_params[name])
        ]
        if wrong:
            raise InvalidFields(wrong)
        return super().paginate_queryset(queryset, request, view)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """In OpenAPI 3.1 words; the base class's are of 3.0."""
        link = {"type": ["string", "null"], "format": "uri"}
        properties = {"count": {"type": "integer"}, "next": link, "previous": link, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}


def _is_counting_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0
