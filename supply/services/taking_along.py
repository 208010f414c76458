"""What becomes of each infusion when its participant goes on at another site."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Final

from randomization.models import Transfer
from supply.domain import infusion_states
from supply.domain.infusion_states import InfusionAction, InfusionStatus, effective_status
from supply.models import Infusion, Order
from supply.selectors import ENDED, site_is_ready
from supply.services.enrolment import SupplyNotReady
from supply.services.ordering import check_order, ordered
from supply.services.records import event
from supply.services.relocation import bring_to
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.errors import Refused
from trialsite.ids import new_id

_I = InfusionStatus
# What the old site has in hand, and what is to be done about it there.
_IN_HAND: Final = {
    _I.DISPENSED: ("bag_dispensed", "Its bag was handed over. Start and stop it, or waste the bag."),
    _I.STARTED: ("infusion_running", "It is running. Stop it."),
    _I.UNDOCUMENTED: ("not_documented", "Its window closed with nothing recorded. Say what happened."),
}
BAG_LEFT: Final = "Its bag was released and stays with the pharmacy of the old site. Waste it there."


@dataclass(frozen=True, kw_only=True)
class Attention:
    """
    Something that a person must see to after a transfer.

    :param infusion: number of the infusion, 1 to 4.
    :param because: code of the refusal, where an order could not be repeated.
    """

    infusion: int
    code: str
    detail: str
    kit_number: str | None = None
    because: str = ""


@dataclass(frozen=True)
class Moved:
    """
    What became of one participant.

    ``infusions`` and ``ordered_again`` are numbers of infusions; ``cancelled`` and ``ordered`` the
    arguments of the events that the caller records.
    """

    transfer: Transfer
    infusions: list[int] = field(default_factory=list)
    ordered_again: list[int] = field(default_factory=list)
    attention: list[Attention] = field(default_factory=list)
    cancelled: list[dict[str, Any]] = field(default_factory=list, repr=False)
    ordered: list[dict[str, Any]] = field(default_factory=list, repr=False)


@dataclass(frozen=True, kw_only=True)
class Move:
    """The transfer of some participants, as the study manager states it."""

    to_site: Site
    reason: str
    transferred_at: dt.datetime
    by: User
    at: dt.datetime


def take_along(infusion: Infusion, moved: Moved, move: Move) -> None:
    """Move a held infusion that has not ended, or leave it in the hands of its site and say so."""
    stays = in_hand(infusion, at=move.at)
    if stays is None:
        _bring(infusion, moved, move)
        return
    code, detail = stays
    moved.attention.append(
        Attention(infusion=infusion.number, code=code, detail=detail, kit_number=infusion.kit_id)
    )


def in_hand(infusion: Infusion, *, at: dt.datetime) -> tuple[str, str] | None:
    """Return code and words of what the infusion's site has in hand of it, if anything."""
    over = infusion.closes_at <= at and infusion.status not in (*_IN_HAND, *ENDED)
    return _IN_HAND.get(_I.UNDOCUMENTED if over else InfusionStatus(infusion.status))


def transferred_to(site: str) -> str:
    """Return the reason that is recorded of an order that ends with a transfer."""
    return f"The participant was transferred to {site}."


def _bring(infusion: Infusion, moved: Moved, move: Move) -> None:
    """Let an infusion that has not begun go with its participant, its order made anew if it can be."""
    old_site = infusion.site_id
    if infusion.status == _I.RELEASED:
        moved.attention.append(
            Attention(infusion=infusion.number, code="bag_left", detail=BAG_LEFT, kit_number=infusion.kit_id)
        )
        infusion.status = infusion_states.after(infusion.status, InfusionAction.LOSE_KIT)
        infusion.kit = None
    order = Order.objects.filter(infusion=infusion, closed_at=None).first()
    if order is not None:
        _cancel(order, infusion, moved, move)
    fields = bring_to(move.to_site, infusion)
    again = _order_again(order, infusion, moved, move, ward=f"from {old_site}") if order else None
    infusion.save(update_fields=list({"status", "kit", *fields}))
    if again is not None:
        again.save(force_insert=True)
        moved.ordered_again.append(infusion.number)
        moved.ordered.append(ordered(again, by=move.by, permission=Permission.TRANSFER, at=move.at))
    moved.infusions.append(infusion.number)


def _cancel(order: Order, infusion: Infusion, moved: Moved, move: Move) -> None:
    """End an order whose bag would be made at the wrong place."""
    reason = transferred_to(move.to_site.pk)
    infusion.status = infusion_states.after(infusion.status, InfusionAction.CANCEL_ORDER)
    order.closed_at, order.cancelled, order.cancel_reason = move.at, True, reason
    order.save(update_fields=["closed_at", "cancelled", "cancel_reason"])
    moved.cancelled.append(
        event(
            Kind.INFUSION_ORDER_CANCELLED,
            by=move.by,
            permission=Permission.TRANSFER,
            at=move.at,
            infusion=infusion,
            data={"reason": reason},
        )
    )


def _order_again(order: Order, infusion: Infusion, moved: Moved, move: Move, *, ward: str) -> Order | None:
    """Return the same order at the new site, not saved; or leave the infusion open, and say why."""
    again = Order(
        id=new_id(),
        infusion=infusion,
        weight_kg=order.weight_kg,
        weighed_at=order.weighed_at,
        needed_at=order.needed_at,
        # Which ward it is there, nobody knows yet.
        ward=ward,
        ordered_at=move.at,
        ordered_by=move.by,
    )
    if not site_is_ready(move.to_site.pk, at=move.at):
        _left_open(
            moved, infusion, SupplyNotReady.code, "The new site cannot supply infusions at the moment."
        )
        return None
    present = effective_status(infusion.status, infusion.opens_at, infusion.closes_at, move.at)
    try:
        status = infusion_states.after(present, InfusionAction.ORDER)
        check_order(again, at=move.at)
    except Refused as refusal:
        _left_open(moved, infusion, refusal.code, str(refusal))
        return None
    infusion.status = status
    return again


def _left_open(moved: Moved, infusion: Infusion, because: str, detail: str) -> None:
    moved.attention.append(
        Attention(infusion=infusion.number, code="order_not_repeated", detail=detail, because=because)
    )
