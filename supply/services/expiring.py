"""A bag that was not hung in time expires: by the sweep, or earlier when somebody needs to know."""

from __future__ import annotations

import datetime as dt

from supply.domain import infusion_states, kit_states
from supply.domain.infusion_states import InfusionAction
from supply.domain.kit_states import KitAction, KitStatus
from supply.models import Infusion, Kit
from supply.selectors import BAG_IN_HAND
from supply.services.records import locked_kit
from supply.services.relocation import bring_to
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record


def expire_bag_in_hand(infusion: Infusion, *, at: dt.datetime) -> None:
    """Expire the bag that a held infusion has, if its time is over, as the sweep would."""
    if infusion.status in BAG_IN_HAND and infusion.kit_id:
        expire(locked_kit(infusion.kit_id), infusion, at=at, by="system:clock")


def expire(kit: Kit, infusion: Infusion, *, at: dt.datetime, by: str) -> bool:
    """
    Expire a held kit of a held infusion if its time is over; return whether it was.

    The infusion goes back to ``open``, for another bag, only if this is the bag it has: a
    participant may have been given another one meanwhile.
    """
    if kit.status == KitStatus.EXPIRED or not _is_over(kit, at):
        return False
    kit.status = kit_states.after(kit.status, KitAction.EXPIRE)
    kit.ended_at = kit.expires_at
    kit.save(update_fields=["status", "ended_at"])
    lose(kit, infusion)
    record(
        kind=Kind.KIT_EXPIRED,
        by=by,
        at=at,
        about={"participant": str(kit.participant_id), "infusion": str(kit.infusion_id), "kit": kit.number},
    )
    return True


def lose(kit: Kit, infusion: Infusion) -> None:
    """
    Open the held infusion for another bag, if ``kit`` is the bag it has and has not been hung.

    It is then where the participant is: only the bag kept it at a site that they have left.
    """
    if infusion.kit_id == kit.number and infusion.status in BAG_IN_HAND:
        infusion.status = infusion_states.after(infusion.status, InfusionAction.LOSE_KIT)
        infusion.kit = None
        moved = bring_to(infusion.participant.site, infusion)
        infusion.save(update_fields=["status", "kit", *moved])


def give_up(kit: Kit, infusion: Infusion) -> None:
    """Take the kit from the held infusion that has it, since it was hung for another one."""
    lose(kit, infusion)
    if infusion.kit_id == kit.number:
        # Its window has closed, or it was declared missed or cancelled: that stays.
        infusion.kit = None
        infusion.save(update_fields=["kit"])


def _is_over(kit: Kit, at: dt.datetime) -> bool:
    return kit_states.effective_status(kit.status, kit.expires_at, at) == KitStatus.EXPIRED
