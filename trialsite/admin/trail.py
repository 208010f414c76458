"""Admin page of the audit trail's visible events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import SimpleListFilter, display, register
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern

from trialsite.admin import events, showing
from trialsite.admin.pages import MaskedModelAdmin
from trialsite.admin.site import masked_site
from trialsite.audit.kinds import MASKED_VISIBLE
from trialsite.audit.models import VisibleEvent


class KindFilter(SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:  # noqa: ARG002
        return [(kind, kind) for kind in sorted(MASKED_VISIBLE)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[VisibleEvent]) -> QuerySet[VisibleEvent]:  # noqa: ARG002
        return queryset.filter(kind=self.value()) if self.value() else queryset


@register(VisibleEvent, site=masked_site)
class VisibleEventAdmin(MaskedModelAdmin):
    """
    What happened on the masked side, by whom and when; newest first.

    A list alone: the address of one event would be its position on the trail, whose gaps count
    what happened on the unmasked side.
    """

    list_display = ("recorded_at", "trial_time", "kind", "actor", "role", "about")
    list_display_links = None
    list_filter = (KindFilter,)
    # Names the box; what it looks for is in get_search_results.
    search_fields = ("kind",)
    search_help_text = "The whole of an identifier, a user name or a kind of event."
    date_hierarchy = "recorded_at"
    ordering = ("-position",)

    def get_urls(self) -> list[URLPattern]:
        return super().get_urls()[:1]

    def get_queryset(self, request: HttpRequest) -> QuerySet[VisibleEvent]:  # noqa: ARG002
        return events.visible_events().order_by(*self.ordering)

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[VisibleEvent],
        search_term: str,
    ) -> tuple[QuerySet[VisibleEvent], bool]:
        sought = search_term.strip()
        if not sought:
            return queryset, False
        return queryset.filter(events.about(sought) | Q(actor=sought) | Q(kind=sought)), False

    @display(empty_value="-")
    def actor(self, event: Any) -> str:
        return str(event.actor or "")

    @display(empty_value="-")
    def role(self, event: Any) -> str:
        return str(event.role or "")

    @display(empty_value="-")
    def about(self, event: Any) -> str:
        return showing.lines(events.known(event))

    @display(empty_value="-")
    def trial_time(self, event: Any) -> str:
        return showing.moment(showing.parsed(event.trial_time))
