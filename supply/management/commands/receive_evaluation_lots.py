"""Stock for an evaluation: one synthetic lot of every component at every site that has preparers."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from randomization.selectors import current_trial
from supply.models import Lot
from supply.services.lots import receive_lot
from trialsite.accounts.models import RoleGrant
from trialsite.accounts.roles import Role
from trialsite.clock.services import trial_now

SHELF_LIFE = dt.timedelta(days=180)


class Command(BaseCommand):
    help = "Receive one synthetic lot of every component at every site (evaluation only)."

    def handle(self, *_args: Any, **_options: Any) -> None:
        if not settings.EVALUATION:
            raise CommandError("Synthetic lots exist in evaluation deployments only.")
        at = trial_now()
        _, protocol = current_trial()
        components = sorted({c for treatment in protocol.treatments.values() for c in treatment.components})
        for site in protocol.sites:
            preparers = RoleGrant.objects.filter(role=Role.PREPARER, site=site.code, ended_at=None)
            preparer = preparers.order_by("user__username").first()
            # One number and one expiry for every component: stock tells nothing by itself.
            number = f"EVALUATION-{site.code}"
            for component in components if preparer else ():
                if not Lot.objects.filter(site=site.code, component=component, number=number).exists():
                    receive_lot(
                        site=site.code,
                        component=component,
                        number=number,
                        expires_at=at + SHELF_LIFE,
                        certificate="synthetic",
                        by=preparer.user,  # type: ignore[union-attr]
                        at=at,
                    )
