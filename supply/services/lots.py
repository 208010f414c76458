"""Lots at a site, and the one thing that the masked side may know of stock: ready until when."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import Count, Max, Q

from randomization.selectors import current_trial
from supply.models import Lot, SiteReadiness
from trialsite.accounts.access import require
from trialsite.accounts.models import RoleGrant, Site, User
from trialsite.accounts.roles import Permission, Role
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, NotFound, Refused
from trialsite.ids import new_id
from trialsite.protocol import Protocol

# One prepares and another verifies and covers: with one person no bag can be made.
FEWEST_PREPARERS = 2


class LotAlreadyReceived(Refused):
    """The site has received this lot of this component before."""

    code = "lot_already_received"


class LotExpired(Refused):
    """The lot is over already."""

    code = "lot_expired"


@transaction.atomic
def receive_lot(
    *,
    site: str,
    component: str,
    number: str,
    expires_at: dt.datetime,
    certificate: str,
    by: User,
    at: dt.datetime,
) -> Lot:
    """
    Take a lot into the site's stock, and publish what the site is ready for.

    :param component: one that the trial file names for a treatment.
    :param certificate: reference of the certificate of analysis.
    :raises trialsite.accounts.access.NotPermitted: if ``by`` receives lots nowhere.
    :raises NotFound: if the site is not one where ``by`` may.
    :raises FieldsInvalid: if no treatment has such a component.
    :raises LotExpired, LotAlreadyReceived: if it cannot be used, or is there.
    """
    _require_at(site, by=by)
    _, protocol = current_trial()
    if not any(component in treatment.components for treatment in protocol.treatments.values()):
        raise FieldsInvalid(FieldFault(("component",), "invalid_choice", "No treatment has this component."))
    if expires_at <= at:
        raise LotExpired("This lot has expired.")
    lot = Lot(
        id=new_id(),
        site_id=site,
        component=component,
        number=number,
        expires_at=expires_at,
        certificate=certificate,
        received_at=at,
        received_by=by,
    )
    Lot.objects.bulk_create([lot], ignore_conflicts=True)
    if not Lot.objects.filter(pk=lot.pk).exists():
        raise LotAlreadyReceived("This lot was received before.")
    publish_readiness(at=at)
    record(
        kind=Kind.LOT_RECEIVED,
        by=by,
        role=Role.PREPARER.value,
        at=at,
        about={"lot": str(lot.pk), "site": site},
        data={"component": component, "number": number, "expires_at": timestamp(expires_at)},
    )
    return lot


def publish_readiness(*, at: dt.datetime) -> None:
    """
    Write for every site until when it can make the bags of *both* arms; None where it cannot.

    That is the earliest end, over all treatments and their components, of the component's latest
    lot; and there must be two people who prepare there. The same for whatever is missing.
    """
    try:
        _, protocol = current_trial()
    except NotFound:
        return  # Nothing is loaded yet, so there is nothing to be ready for.
    people = _people_who_prepare()
    for site in Site.objects.order_by("code"):
        staffed = people.get(site.code, 0) >= FEWEST_PREPARERS
        ready_until = _stock_until(site, protocol, at=at) if staffed else None
        rows = SiteReadiness.objects.filter(site=site)
        if not rows.exists():
            SiteReadiness.objects.bulk_create(
                [SiteReadiness(site=site, ready_until=ready_until)], ignore_conflicts=True
            )
        rows.exclude(ready_until=ready_until).update(ready_until=ready_until)


def _stock_until(site: Site, protocol: Protocol, *, at: dt.datetime) -> dt.datetime | None:
    living = Lot.objects.filter(site=site, expires_at__gt=at).order_by()
    latest = dict(living.values_list("component").annotate(latest=Max("expires_at")))
    needed = {part for treatment in protocol.treatments.values() for part in treatment.components}
    return min((latest[part] for part in needed), default=None) if needed <= latest.keys() else None


def _people_who_prepare() -> dict[str, int]:
    active = Q(role=Role.PREPARER, ended_at=None, user__is_active=True)
    rows = RoleGrant.objects.filter(active, site__isnull=False).order_by()
    return dict(rows.values_list("site").annotate(people=Count("user", distinct=True)))


def _require_at(site: str, *, by: User) -> None:
    require(by, Permission.RECEIVE_LOTS)
    held = {grant.site_id for grant in by.roles if grant.role == Role.PREPARER}
    if site not in held:
        raise NotFound("There is no such site.")
