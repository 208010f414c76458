"""Admin pages of the audit trail's visible events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import SimpleListFilter, display, register
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from trialsite.admin import showing
from trialsite.admin.events import mentioning, visible_events
from trialsite.admin.pages import MaskedModelAdmin
from trialsite.admin.site import masked_site
from trialsite.audit.models import VisibleEvent


class KindFilter(SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:  # noqa: ARG002
        kinds = VisibleEvent.objects.order_by("kind").values_list("kind", flat=True).distinct()
        return [(kind, kind) for kind in kinds]

    def queryset(self, request: HttpRequest, queryset: QuerySet[VisibleEvent]) -> QuerySet[VisibleEvent]:  # noqa: ARG002
        return queryset.filter(kind=self.value()) if self.value() else queryset


@register(VisibleEvent, site=masked_site)
class VisibleEventAdmin(MaskedModelAdmin):
    """What happened on the masked side, by whom and when, in the trail's own order."""

    fields = ("position", "recorded_at", "trial_time", "kind", "actor", "role", "about")
    list_display = ("position", "recorded_at", "kind", "actor", "role", "about")
    list_filter = (KindFilter,)
    # Names the box; what it looks for is in get_search_results.
    search_fields = ("kind",)
    search_help_text = "The whole of an identifier, a user name or a kind of event."
    date_hierarchy = "recorded_at"
    ordering = ("-position",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[VisibleEvent]:  # noqa: ARG002
        return visible_events().order_by(*self.ordering)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[VisibleEvent], search_term: str  # noqa: ARG002
    ) -> tuple[QuerySet[VisibleEvent], bool]:
        sought = search_term.strip()
        if not sought:
            return queryset, False
        about_it = mentioning(VisibleEvent.objects.all(), sought).values("pk")
        return queryset.filter(Q(pk__in=about_it) | Q(actor=sought) | Q(kind=sought)), False

    def events_of(self, record: VisibleEvent) -> QuerySet[VisibleEvent]:
        return visible_events().filter(pk=record.pk)

    @display(empty_value="-")
    def actor(self, event: Any) -> str:
        return str(event.actor or "")

    @display(empty_value="-")
    def role(self, event: Any) -> str:
        return str(event.role or "")

    @display(empty_value="-")
    def about(self, event: Any) -> str:
        return showing.lines(event.event.get("about", {}))

    @display(empty_value="-")
    def trial_time(self, event: Any) -> str:
        return showing.moment(showing.parsed(event.trial_time))
