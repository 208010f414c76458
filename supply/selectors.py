"""Reads of infusions, kits, preparations and lots, always as far as a person may see them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TypeVar

from django.db import connection
from django.db.models import Case, CharField, F, Model, Q, QuerySet, Value, When

from randomization.selectors import current_trial, protocol_of
from supply.domain.infusion_states import InfusionStatus
from supply.domain.kit_states import UNSTARTED, KitStatus
from supply.domain.preparation_states import UNRELEASED, PreparationStatus
from supply.models import Infusion, Kit, Lot, Preparation
from trialsite.accounts.access import at_sites, require, sites_of
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.errors import NotFound
from trialsite.protocol import Protocol

_I, _K = InfusionStatus, KitStatus
BAG_IN_HAND = (_I.RELEASED, _I.DISPENSED)
ENDED = (_I.GIVEN, _I.INTERRUPTED, _I.MISSED, _I.CANCELLED)
# A bag that is still about, by the record: it can be hung, rightly or not.
_BAG_ABOUT = (_K.RELEASED, _K.DISPENSED, _K.STARTED, _K.EXPIRED, _K.WITHDRAWN)
_NO_INFUSION = "There is no such infusion."
Row = TypeVar("Row", bound=Model)


def infusions_visible_to(by: User, *, at: dt.datetime) -> QuerySet[Infusion]:
    """
    Return the infusions that the person may see, as they stand at ``at``.

    Those are the infusions of the participants at the person's sites, and what such a site still has
    in hand of a participant who was transferred.
    """
    visible = _of_concern(Infusion.objects.all(), by, Permission.SEE_INFUSIONS)
    return _as_they_stand(visible, at=at).order_by("target_at", "id")


def infusion_as_it_stands(infusion_id: uuid.UUID, *, at: dt.datetime) -> Infusion:
    """Return an infusion for whoever has just acted on it, even if their sight of it ended thereby."""
    return _as_they_stand(Infusion.objects.all(), at=at).get(pk=infusion_id)


def _as_they_stand(infusions: QuerySet[Infusion], *, at: dt.datetime) -> QuerySet[Infusion]:
    """
    Annotate ``present_status``, what the sweeps would have recorded by now, and ``present_kit``, the
    number of the bag that the infusion has by now: nothing depends on a sweep having run.
    """
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
    return infusions.annotate(present_status=present, present_kit=kit)


def infusion_within_reach(infusion_id: uuid.UUID, *, by: User, permission: Permission) -> Infusion:
    """
    Return an infusion that ``by`` may act on: by where the participant is, or where it is in hand.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may do it nowhere.
    :raises NotFound: if there is no such infusion, or only at another site.
    """
    rows = _of_concern(Infusion.objects.all(), by, permission)
    return _within_reach(rows, infusion_id, by, permission, _NO_INFUSION)


def refuse_out_of_reach(infusion: Infusion, *, by: User, permission: Permission) -> None:
    """
    Ask again of an infusion that was waited for: its participant may have been transferred meanwhile.

    :raises NotFound: if ``by`` may not act on it any more.
    """
    if not _of_concern(Infusion.objects.filter(pk=infusion.pk), by, permission).exists():
        raise NotFound(_NO_INFUSION)


def _of_concern(infusions: QuerySet[Infusion], by: User, permission: Permission) -> QuerySet[Infusion]:
    """Return the infusions that are the business of the person's sites; docs/screening-and-transfer.md."""
    sites = sites_of(by, permission)
    if sites is None:
        return infusions
    in_hand = Q(site__in=sites) & ~Q(status__in=ENDED)
    # Whatever another site has ended meanwhile: who stands there with the bag must be told to stop.
    bag_in_hand = Q(kit__site__in=sites, kit__status__in=_BAG_ABOUT)
    return infusions.filter(Q(participant__site__in=sites) | in_hand | bag_in_hand)


def infusion_of_bag_left(infusion_id: uuid.UUID, number: str, *, by: User) -> Infusion | None:
    """
    Return the infusion for which the kit ``number``, never hung, was released at a site of ``by``.

    For what is about to go wrong only: the infusion itself may be another site's by now.
    """
    kits = at_sites(Kit.objects.filter(pk=number, infusion=infusion_id), by, Permission.ADMINISTER)
    kit = kits.exclude(status=_K.USED).select_related("infusion__participant").first()
    return kit.infusion if kit else None


def kits_visible_to(by: User, *, at: dt.datetime) -> QuerySet[Kit]:
    """
    Return the kits that the person's sites released, or have the participant of, as they stand at ``at``.

    ``present_status`` is how they stand.
    """
    visible = _at_either(Kit.objects.all(), by, Permission.SEE_KITS)
    present = Case(
        When(Q(status__in=list(UNSTARTED), expires_at__lte=at), then=Value(KitStatus.EXPIRED.value)),
        default=F("status"),
        output_field=CharField(),
    )
    return visible.annotate(present_status=present).order_by("released_at", "number")


def kit_within_reach(number: str, *, by: User, permission: Permission) -> Kit:
    """
    Return a released kit that ``by`` may act on: by where it was released, or where the participant is.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may do it nowhere.
    :raises NotFound: if no such kit was released, or only at another site.
    """
    rows = _at_either(Kit.objects.all(), by, permission)
    return _within_reach(rows, number, by, permission, "There is no such kit.")


def _at_either(kits: QuerySet[Kit], by: User, permission: Permission) -> QuerySet[Kit]:
    sites = sites_of(by, permission)
    return kits if sites is None else kits.filter(Q(site__in=sites) | Q(participant__site__in=sites))


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
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM supply_sitereadiness WHERE site_id = %s AND ready_until > %s)",
            [site, at],
        )
        (ready,) = cursor.fetchone() or (False,)
    return bool(ready)


def protocol_for(infusion: Infusion) -> Protocol:
    """Return the trial as it was when the infusion's participant was screened."""
    return protocol_of(infusion.participant.trial_version_id)


def protocol_at(site: str, infusion: Infusion) -> Protocol:
    """Return the same, or the trial as it is now where that version lacks the site: one added since."""
    protocol = protocol_for(infusion)
    if site in {known.code for known in protocol.sites}:
        return protocol
    return current_trial()[1]


def _within_reach(
    rows: QuerySet[Row], key: uuid.UUID | str, by: User, permission: Permission, missing: str
) -> Row:
    """Return the row of that key; ``rows`` are those that concern the person."""
    require(by, permission)
    row = rows.filter(pk=key).first()
    if row is None:
        raise NotFound(missing)
    return row
