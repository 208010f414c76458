"""Lists are filtered by the fields that their view names, and by nothing else."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend, IsoDateTimeFilter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from trialsite.api.errors import InvalidFields, field_error, pointers
from trialsite.api.strictness import is_time

_ANY_TIME = "2000-01-01T00:00:00Z"


class NamedFilters(DjangoFilterBackend):  # type: ignore[misc]  # django-filter has no types
    """``filterset_class`` of the view; a value that a filter cannot read is 400, not ignored."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """
        :raises InvalidFields: if a value is malformed.
        """
        named = getattr(view, "filterset_class", None)
        times = [
            name
            for name, filter_ in (named.base_filters.items() if named else ())
            if isinstance(filter_, IsoDateTimeFilter)
        ]
        wrong = [name for name in times if not is_time(request.query_params.get(name, _ANY_TIME))]
        if wrong:
            raise InvalidFields([field_error(f"?{name}", "not_a_time") for name in wrong])
        try:
            filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        except ValidationError as error:
            raise InvalidFields(pointers(error, prefix="?")) from None
        return filtered
