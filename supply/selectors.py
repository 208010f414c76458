"""Reads of infusions, kits, preparations and lots, always as far as a person may see them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TypeVar

from django.db.models import Case, CharField, F, Model, Q, QuerySet, Value, When

from randomization.selectors import protocol_of
from supply.domain.infusion_states import InfusionStatus
from supply.domain.kit_states import UNSTARTED, KitStatus
from supply.domain.preparation_states import UNRELEASED, PreparationStatus
from supply.models import Infusion, Kit, Lot, Preparation, SiteReadiness
from trialsite.accounts.access import at_sites, require
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.errors import NotFound
from trialsite.protocol import Protocol

_I = InfusionStatus
BAG_IN_HAND = (_I.RELEASED, _I.DISPENSED)
Row = TypeVar("Row", bound=Model)


def infusions_visible_to(by: User, *, at: dt.datetime) -> QuerySet[Infusion]:
    """
    Return the infusions of the sites where the person may see infusions, as they stand at ``at``.

    ``present_status`` is what the sweeps would have recorded by now, and ``present_kit`` the number
    of the bag that the infusion has by now: nothing depends on a sweep having run.
    """
    visible = at_sites(Infusion.objects.all(), by, Permission.SEE_INFUSIONS)
    bag_expired = Q(status__in=BAG_IN_HAND, kit__expires_at__lte=at)
    present = Case(
        When(Q(status__in=(_I.SCHEDULED, _I.OPEN), closes_at__lte=at), then=Value(_I.UNDOCUMENTED.value)),
        When(Q(status=_I.SCHEDULED, opens_at__lte=at), then=Value(_I.OPEN.value)),
        When(bag_expired & Q(closes_at__lte=at), then=Value(_I.UNDOCUMENTED.value)),
        When(bag_expired, then=Value(_I.OPEN.value)),
        default=F("status"),
        output_field=CharField(),
    )
    kit = Case(When(bag_expired, then=Value(None)), default=F("kit_id"), output_field=CharField(null=True))
    return visible.annotate(present_status=present, present_kit=kit).order_by("target_at", "id")


def infusion_within_reach(infusion_id: uuid.UUID, *, by: User, permission: Permission) -> Infusion:
    """
    Return an infusion of a site where ``by`` may do it.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may do it nowhere.
    :raises NotFound: if there is no such infusion, or only at another site.
    """
    return _within_reach(Infusion.objects.all(), infusion_id, by, permission, "There is no such infusion.")


def kits_visible_to(by: User, *, at: dt.datetime) -> QuerySet[Kit]:
    """Return the released kits of the person's sites; ``present_status`` is how they stand at ``at``."""
    visible = at_sites(Kit.objects.all(), by, Permission.SEE_KITS)
    present = Case(
        When(Q(status__in=list(UNSTARTED), expires_at__lte=at), then=Value(KitStatus.EXPIRED.value)),
        default=F("status"),
        output_field=CharField(),
    )
    return visible.annotate(present_status=present).order_by("released_at", "number")


def kit_within_reach(number: str, *, by: User, permission: Permission) -> Kit:
    """
    Return a released kit of a site where ``by`` may do it.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may do it nowhere.
    :raises NotFound: if no such kit was released, or only at another site.
    """
    return _within_reach(Kit.objects.all(), number, by, permission, "There is no such kit.")


def preparations_visible_to(by: User) -> QuerySet[Preparation]:
    """
    Return the preparations of the sites where the person prepares, without what is in them.

    ``present_status`` is ``cancelled`` where the order ended before the bag was released.
    """
    visible = at_sites(Preparation.objects.all(), by, Permission.PREPARE)
    present = Case(
        When(
            Q(status__in=list(UNRELEASED), order__closed_at__isnull=False),
            then=Value(PreparationStatus.CANCELLED.value),
        ),
        default=F("status"),
        output_field=CharField(),
    )
    related = ("order__infusion__participant__allocation", "site")
    return (
        visible.select_related(*related).annotate(present_status=present).order_by("order__needed_at", "id")
    )


def preparation_within_reach(preparation_id: uuid.UUID, *, by: User) -> Preparation:
    """
    Return a preparation of a site where ``by`` prepares.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` prepares nowhere.
    :raises NotFound: if there is no such preparation, or only at another site.
    """
    sought = preparations_visible_to(by)
    return _within_reach(sought, preparation_id, by, Permission.PREPARE, "There is no such preparation.")


def lots_visible_to(by: User) -> QuerySet[Lot]:
    """Return the lots received at the person's sites. Unmasked side only."""
    return at_sites(Lot.objects.all(), by, Permission.RECEIVE_LOTS).order_by("expires_at", "id")


def site_is_ready(site: str, *, at: dt.datetime) -> bool:
    """Say whether the site can make the bags of both arms at ``at``."""
    return SiteReadiness.objects.filter(site=site, ready_until__gt=at).exists()


def protocol_for(infusion: Infusion) -> Protocol:
    """Return the trial as it was when the infusion's participant was screened."""
    return protocol_of(infusion.participant.trial_version_id)


def _within_reach(
    rows: QuerySet[Row], key: uuid.UUID | str, by: User, permission: Permission, missing: str
) -> Row:
    require(by, permission)
    row = at_sites(rows, by, permission).filter(pk=key).first()
    if row is None:
        raise NotFound(missing)
    return row
