"""What is left to be done of transfers, as things stand now. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.db.models import Prefetch, Q, QuerySet

from randomization.models import Transfer
from supply.domain.infusion_states import InfusionStatus, effective_status
from supply.domain.kit_states import KitStatus
from supply.domain.kit_states import effective_status as status_of_kit
from supply.models import Infusion, Kit, Order
from supply.services.taking_along import BAG_LEFT, Attention, in_hand, transferred_to
from trialsite.accounts.access import sites_of
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission

_NOT_REPEATED = "Its order ended with the transfer and was not made anew. Order again."


def transfers_visible_to(by: User) -> QuerySet[Transfer]:
    """Return the transfers from or to the sites where the person sees participants, as recorded."""
    orders = Prefetch("orders", Order.objects.order_by("ordered_at", "closed_at"))
    infusions = Prefetch(
        "participant__infusions", Infusion.objects.order_by("number").prefetch_related("kits", orders)
    )
    transfers = Transfer.objects.select_related("participant").prefetch_related(infusions)
    sites = sites_of(by, Permission.SEE_PARTICIPANTS)
    if sites is not None:
        transfers = transfers.filter(Q(from_site__in=sites) | Q(to_site__in=sites))
    return transfers.order_by("recorded_at", "id")


def still_open(transfer: Transfer, *, by: User, at: dt.datetime) -> list[Attention]:
    """
    Return what is still to be done of a transfer of ``transfers_visible_to``, as far as it concerns ``by``.

    That is what is at a site of the person, and of a participant who is at one everything.
    """
    sites = sites_of(by, Permission.SEE_PARTICIPANTS)
    here = transfer.participant.site_id
    return [
        attention
        for infusion in transfer.participant.infusions.all()
        for place, attention in _open(infusion, transfer, at)
        if sites is None or here in sites or place in sites
    ]


def _open(infusion: Infusion, transfer: Transfer, at: dt.datetime) -> Iterator[tuple[str, Attention]]:
    """Return each thing that is to be done of the infusion, with the site where it is."""
    left, here = transfer.from_site_id, transfer.participant.site_id
    number = infusion.number
    stays = in_hand(infusion, at=at)
    if stays and infusion.site_id == left != here:
        code, detail = stays
        yield left, Attention(infusion=number, code=code, detail=detail, kit_number=infusion.kit_id)
    for kit in infusion.kits.all():
        if kit.site_id == left != here and _lies_there(kit, infusion, at):
            yield left, Attention(infusion=number, code="bag_left", detail=BAG_LEFT, kit_number=kit.number)
    if _waits_for_an_order_since(transfer, infusion, at):
        yield here, Attention(infusion=number, code="order_not_repeated", detail=_NOT_REPEATED)


def _lies_there(kit: Kit, infusion: Infusion, at: dt.datetime) -> bool:
    unused = status_of_kit(kit.status, kit.expires_at, at) == KitStatus.RELEASED
    return unused and kit.number != infusion.kit_id


def _waits_for_an_order_since(transfer: Transfer, infusion: Infusion, at: dt.datetime) -> bool:
    present = effective_status(infusion.status, infusion.opens_at, infusion.closes_at, at)
    if present not in (InfusionStatus.SCHEDULED, InfusionStatus.OPEN):
        return False
    orders = list(infusion.orders.all())
    return bool(orders) and orders[-1].cancel_reason == transferred_to(transfer.to_site_id)
