"""
The base of every admin page: a list with search and filters, a record, its history. Nothing else.

No page changes anything, for superusers too, and no page answers a question that it does not
offer: filters, search and order are those that the class declares.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import ModelAdmin, ShowFacets, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path, unquote
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.functional import cached_property

from trialsite.admin import events, queries, showing
from trialsite.audit.models import VisibleEvent

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

    _ModelAdmin = ModelAdmin[Any]
else:
    _ModelAdmin = ModelAdmin

EVENTS_ON_A_PAGE = 100


class MaskedModelAdmin(_ModelAdmin):
    """
    Read-only pages of one model.

    Subclasses declare ``fields`` (what a record shows; nothing that is not named is shown),
    ``list_display``, ``list_filter``, ``search_fields`` and ``date_hierarchy``.
    """

    # Dotted attributes from a record to its site, in whose zone its times are written.
    site_path: ClassVar[str] = ""

    actions = None
    list_per_page = 50
    list_max_show_all = 0
    show_facets = ShowFacets.NEVER
    preserve_filters = False
    view_on_site = False
    change_form_template = "admin/record.html"
    object_history_template = "admin/record_history.html"

    def __init__(self, model: type[models.Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        self._shown = {
            field.name: how
            for field in model._meta.fields
            if (how := showing.shown(field, site_path=self.site_path))
        }

    def get_urls(self) -> list[URLPattern]:
        """Return three addresses; nothing to add, delete, choose or look up from another form."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("", self.admin_site.admin_view(self.changelist_view), name=f"{name}_changelist"),
            path(
                "<path:object_id>/history/",
                self.admin_site.admin_view(self.history_view),
                name=f"{name}_history",
            ),
            path(
                "<path:object_id>/change/",
                self.admin_site.admin_view(self.change_view),
                name=f"{name}_change",
            ),
        ]

    @property
    def media(self) -> Media:
        """Return no scripts: they serve forms, and here are none."""
        return Media()

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:  # noqa: ARG002
        return False

    def get_list_display(self, request: HttpRequest) -> list[Any]:  # noqa: ARG002
        return self._columns

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:  # noqa: ARG002
        return self._lines

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:  # noqa: ARG002
        return self._lines

    @cached_property
    def _columns(self) -> list[Any]:
        return [self._shown.get(str(name), name) for name in self.list_display]

    @cached_property
    def _lines(self) -> list[Any]:
        return [self._shown.get(str(name), name) for name in self.fields or ()]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:  # noqa: ARG002
        """Allow what the declared filters and the date hierarchy send, and nothing else."""
        return lookup in self._filter_parameters

    @cached_property
    def _filter_parameters(self) -> queries.Allowed:
        allowed: dict[str, re.Pattern[str]] = {}
        for declared in self.list_filter:
            if isinstance(declared, type) and issubclass(declared, SimpleListFilter):
                allowed[str(declared.parameter_name)] = queries.TEXT
                continue
            field = get_fields_from_path(self.model, str(declared))[-1]
            target = f"__{field.target_field.name}" if isinstance(field, models.ForeignKey) else ""
            allowed[f"{declared}{target}__exact"] = queries.TEXT
            if field.null:
                allowed[f"{declared}__isnull"] = re.compile("True")
        if self.date_hierarchy:
            parts = {"year": queries.YEAR, "month": queries.MONTH, "day": queries.DAY}
            allowed |= {f"{self.date_hierarchy}__{part}": pattern for part, pattern in parts.items()}
        return allowed

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """
        Show the list.

        :raises trialsite.admin.queries.QueryRefused: if the address says more than the page offers.
        """
        own = {PAGE_VAR: queries.PAGE, ORDER_VAR: queries.ORDER}
        if self.search_fields:
            own[SEARCH_VAR] = queries.TEXT
        queries.check_query(request.GET, allowed={**self._filter_parameters, **own})
        for column in request.GET.get(ORDER_VAR, "").replace("-", "").split("."):
            if column and int(column) not in self._sortable_columns:
                raise queries.refused()
        return super().changelist_view(request, extra_context)

    @cached_property
    def _sortable_columns(self) -> frozenset[int]:
        fields = {field.name for field in self.model._meta.fields}
        shown_by = [
            getattr(self, column, None) if isinstance(column, str) else column for column in self._columns
        ]
        return frozenset(
            index
            for index, (column, shower) in enumerate(zip(self._columns, shown_by, strict=True))
            if column in fields or hasattr(shower, "admin_order_field")
        )

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        try:
            return super().get_changelist_instance(request)
        except IncorrectLookupParameters as error:
            raise queries.refused() from error

    def get_object(
        self, request: HttpRequest, object_id: str | None, from_field: str | None = None
    ) -> models.Model | None:
        if object_id is None or not queries.TEXT.fullmatch(object_id):
            return None
        return super().get_object(request, object_id, from_field)

    def _get_obj_does_not_exist_redirect(self, *_: Any) -> HttpResponse:
        raise Http404

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        queries.check_query(request.GET, allowed={})
        return super().changeform_view(request, object_id, form_url, extra_context)

    def events_of(self, record: Any) -> QuerySet[VisibleEvent]:
        """Return the events that make the record's history."""
        return events.visible_events().filter(events.about(str(record.pk))).order_by("position")

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what the trail says of the record; Django's own log is never written."""
        queries.check_query(request.GET, allowed={PAGE_VAR: queries.PAGE})
        record = self.get_object(request, unquote(object_id))
        if record is None:
            raise Http404
        if not self.has_view_permission(request, record):
            raise PermissionDenied
        zone = showing.zone_of(record, site_path=self.site_path)
        found = self.get_paginator(request, self.events_of(record), EVENTS_ON_A_PAGE)
        page = found.get_page(request.GET.get(PAGE_VAR, 1))
        context = {
            **self.admin_site.each_context(request),
            "title": f"History: {record}",
            "page": page,
            "events": [event_row(event, zone=zone) for event in page],
            "object": record,
            "opts": self.opts,
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.object_history_template or (), context)


def event_row(event: Any, *, zone: Any) -> dict[str, Any]:
    """Return one line of a history, as the template writes it."""
    return {
        "recorded_at": showing.moment(event.recorded_at, zone=zone),
        "trial_time": showing.moment(showing.parsed(event.trial_time), zone=zone),
        "kind": event.kind,
        "actor": event.actor or "",
        "role": event.role or "",
        "about": showing.lines(events.known(event)),
    }
