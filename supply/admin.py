"""Admin pages of infusions, orders and released kits: read-only, nothing of the unmasked side."""

from __future__ import annotations

from django.contrib.admin import display, register

from supply.domain import infusion_states, kit_states
from supply.models import Infusion, Kit, Order
from trialsite.admin.pages import MaskedModelAdmin
from trialsite.admin.site import masked_site
from trialsite.clock.services import trial_now


@register(Infusion, site=masked_site)
class InfusionAdmin(MaskedModelAdmin):
    """The planned infusions; ``status`` is what was recorded, ``status_now`` what the time makes of it."""

    site_path = "site"
    fields = (
        "id",
        "participant",
        "site",
        "number",
        "day",
        "opens_at",
        "target_at",
        "closes_at",
        "status",
        "status_now",
        "kit",
        "dispensed_at",
        "started_at",
        "ended_at",
        "volume_ml",
        "outcome",
        "reason",
        "deviations",
        "reminded_at",
    )
    list_display = ("participant", "number", "site", "opens_at", "target_at", "closes_at", "status", "kit")
    list_filter = ("site", "status")
    search_fields = ("participant__screening_number", "kit__number")
    date_hierarchy = "target_at"
    list_select_related = ("participant", "site", "kit")

    @display(description="status now")
    def status_now(self, infusion: Infusion) -> str:
        return infusion_states.effective_status(
            infusion.status, infusion.opens_at, infusion.closes_at, trial_now()
        ).value


@register(Order, site=masked_site)
class OrderAdmin(MaskedModelAdmin):
    site_path = "infusion.site"
    fields = (
        "id",
        "infusion",
        "weight_kg",
        "weighed_at",
        "needed_at",
        "ward",
        "ordered_at",
        "ordered_by",
        "closed_at",
        "cancelled",
        "cancel_reason",
    )
    list_display = (
        "participant",
        "infusion_number",
        "needed_at",
        "ordered_at",
        "ordered_by",
        "closed_at",
        "cancelled",
    )
    list_filter = ("infusion__site", "cancelled")
    search_fields = ("infusion__participant__screening_number", "ward")
    date_hierarchy = "ordered_at"
    list_select_related = ("infusion__site", "infusion__participant", "ordered_by")

    @display(ordering="infusion__participant__screening_number")
    def participant(self, order: Order) -> str:
        return str(order.infusion.participant)

    @display(description="number", ordering="infusion__number")
    def infusion_number(self, order: Order) -> int:
        return order.infusion.number


@register(Kit, site=masked_site)
class KitAdmin(MaskedModelAdmin):
    """Kits from their release on; ``status`` as for infusions."""

    site_path = "site"
    fields = (
        "number",
        "site",
        "participant",
        "infusion",
        "status",
        "status_now",
        "released_at",
        "expires_at",
        "ended_at",
        "end_reason",
        "volume_ml",
    )
    list_display = ("number", "participant", "site", "status", "released_at", "expires_at")
    list_filter = ("site", "status")
    search_fields = ("number", "participant__screening_number")
    date_hierarchy = "released_at"
    list_select_related = ("participant", "site")

    @display(description="status now")
    def status_now(self, kit: Kit) -> str:
        return kit_states.effective_status(kit.status, kit.expires_at, trial_now()).value
