"""An infusion that is to be given at another site than was planned."""

from __future__ import annotations

from supply.domain import infusion_states
from supply.domain.infusion_states import InfusionAction
from supply.domain.visit_windows import in_other_zone
from supply.models import Infusion
from trialsite.accounts.models import Site


def bring_to(site: Site, infusion: Infusion) -> list[str]:
    """
    Let a held infusion that has not begun be given at ``site``; return the fields to save, if any.

    Its days stay the calendar dates they were, and begin and end by the clocks of the site. The
    people there have not been reminded of it.
    """
    if infusion.site_id == site.pk:
        return []
    fields = ["site", "reminded_at"]
    old, new = infusion.site.time_zone, site.time_zone
    infusion.site, infusion.reminded_at = site, None
    if old == new:
        return fields
    window = (infusion.opens_at, infusion.target_at, infusion.closes_at)
    infusion.opens_at, infusion.target_at, infusion.closes_at = in_other_zone(*window, old=old, new=new)
    if infusion_states.may(infusion.status, InfusionAction.REPLAN):
        # Whether it is open there is for the clock to say.
        infusion.status = infusion_states.after(infusion.status, InfusionAction.REPLAN)
    return [*fields, "opens_at", "target_at", "closes_at", "status"]
