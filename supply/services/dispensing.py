"""Handing a released bag over to the ward."""

from __future__ import annotations

import datetime as dt
import uuid

from django.db import transaction

from supply.domain import infusion_states, kit_states
from supply.domain.expiry import would_expire_before_end
from supply.domain.infusion_states import InfusionAction
from supply.domain.kit_states import KitAction
from supply.models import Infusion
from supply.selectors import protocol_for
from supply.services.bedside_stops import WindowClosed
from supply.services.records import event, held
from supply.services.scanning import KitExpired, WouldExpire, is_expired, scanned_kit
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record


@transaction.atomic
def dispense_kit(*, infusion_id: uuid.UUID, kit_scan: str, by: User, at: dt.datetime) -> Infusion:
    """
    Hand the released bag over for its infusion.

    :raises trialsite.errors.NotFound: if the infusion is not at a site of ``by``.
    :raises trialsite.errors.Refused: as ``scanned_kit`` does.
    :raises KitExpired: if the bag's time is over.
    :raises WouldExpire: if the infusion could not end before that.
    :raises supply.services.bedside_stops.WindowClosed: if the infusion may no longer be given.
    :raises supply.domain.moves.IllegalMove: if the bag was handed over, ended, or its infusion was.
    """
    infusion = held(infusion_id, by=by, permission=Permission.DISPENSE)
    kit = scanned_kit(kit_scan, infusion)
    if is_expired(kit, at=at):
        raise KitExpired
    if would_expire_before_end(kit.expires_at, at, protocol_for(infusion).infusion_minutes):
        raise WouldExpire
    if infusion.status == infusion_states.InfusionStatus.RELEASED and at >= infusion.closes_at:
        raise WindowClosed
    kit.status = kit_states.after(kit.status, KitAction.DISPENSE)
    infusion.status = infusion_states.after(infusion.status, InfusionAction.DISPENSE)
    infusion.dispensed_at = at
    infusion.save(update_fields=["status", "dispensed_at"])
    kit.save(update_fields=["status"])
    record(
        **event(
            Kind.KIT_DISPENSED,
            by=by,
            permission=Permission.DISPENSE,
            at=at,
            infusion=infusion,
            kit=kit.number,
        )
    )
    return infusion
