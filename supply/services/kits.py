"""The end of a released bag that is not infused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from django.db import transaction

from supply.domain import kit_states
from supply.domain.kit_states import KitAction
from supply.models import Kit
from supply.selectors import kit_within_reach
from supply.services.expiring import lose
from supply.services.records import event, locked, locked_kit, refuse_future
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp


@transaction.atomic
def waste_kit(
    *,
    kit_number: str,
    reason: str,
    wasted_at: dt.datetime,
    volume_ml: Decimal | None,
    by: User,
    at: dt.datetime,
) -> Kit:
    """
    Record that a bag was destroyed unused; an infusion that has not begun goes back to ``open``.

    :param volume_ml: what was in the bag when it was destroyed, if known.
    :raises trialsite.errors.NotFound: if no such kit was released at a site of ``by``.
    :raises trialsite.errors.FieldsInvalid: if ``wasted_at`` lies in the future.
    :raises supply.domain.moves.IllegalMove: if the bag was hung, or is wasted already.
    """
    reached = kit_within_reach(kit_number, by=by, permission=Permission.WASTE)
    infusion = locked(reached.infusion)
    kit = locked_kit(reached.number)
    refuse_future(wasted_at, name="at", at=at)
    kit.status = kit_states.after(kit.status, KitAction.WASTE)
    kit.ended_at, kit.end_reason, kit.volume_ml = wasted_at, reason, volume_ml
    kit.save(update_fields=["status", "ended_at", "end_reason", "volume_ml"])
    lose(kit, infusion)
    stated = {"reason": reason, "wasted_at": timestamp(wasted_at)}
    if volume_ml is not None:
        stated["volume_ml"] = str(volume_ml)
    record(
        **event(
            Kind.KIT_WASTED,
            by=by,
            permission=Permission.WASTE,
            at=at,
            infusion=infusion,
            kit=kit.number,
            data=stated,
        )
    )
    return kit
