"""Lists are filtered by the fields that their view names, and by nothing else."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from trialsite.api.errors import InvalidFields, pointers


class NamedFilters(DjangoFilterBackend):  # type: ignore[misc]  # django-filter has no types
    """``filterset_class`` of the view; a value that a filter cannot read is 400, not ignored."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """
        :raises InvalidFields: if a value is malformed.
        """
        try:
            filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        except ValidationError as error:
            raise InvalidFields(pointers(error, prefix="?")) from None
        return filtered
