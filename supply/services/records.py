"""What the masked side's use cases share: locks in their one order, events, deviations, moments."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final

from django.db.models import Q

from randomization.locks import lock_participant
from supply.models import Infusion, Kit, Order
from supply.selectors import infusion_within_reach, refuse_out_of_reach
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import timestamp
from trialsite.errors import FieldFault, FieldsInvalid

# The clock of a tablet at the bedside may run ahead of ours by this much.
CLOCK_SLACK: Final = dt.timedelta(minutes=1)
# What is entered later than this after it happened is a late entry.
LATE_AFTER: Final = dt.timedelta(minutes=15)


def held(infusion_id: uuid.UUID, *, by: User, permission: Permission) -> Infusion:
    """
    Hold the participant, then the infusion, on which ``by`` may act; return it as it is now.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may do it nowhere.
    :raises trialsite.errors.NotFound: if there is no such infusion, or only at another site.
    """
    infusion = locked(infusion_within_reach(infusion_id, by=by, permission=permission))
    refuse_out_of_reach(infusion, by=by, permission=permission)
    return infusion


def locked(infusion: Infusion) -> Infusion:
    """Hold the participant, then the infusion, to the end of the transaction; return it as it is now."""
    lock_participant(infusion.participant_id)
    # Without the kit: a joined row is not read again when the lock was waited for.
    rows = Infusion.objects.select_for_update(of=("self",)).select_related("participant__site", "site")
    return rows.get(pk=infusion.pk)


def locked_with_holder(infusion: Infusion, number: str) -> tuple[Infusion, Infusion | None]:
    """
    Hold an infusion, and another one that has the kit ``number``; return both as they are now.

    The participants of both are held first, in one order, whichever infusion is asked for.
    """
    near = Q(site=infusion.site_id) | Q(participant=infusion.participant_id)
    other = Infusion.objects.filter(near, kit=number).exclude(pk=infusion.pk).first()
    if other is None:
        return locked(infusion), None
    for participant_id in sorted({infusion.participant_id, other.participant_id}):
        lock_participant(participant_id)
    return locked(infusion), locked(other)


def locked_kit(number: str) -> Kit:
    """Hold a kit, after its infusion, and return it as it is now."""
    return Kit.objects.select_for_update(of=("self",)).get(pk=number)


def end_open_order(infusion: Infusion, *, at: dt.datetime, reason: str) -> bool:
    """Cancel the infusion's open order, if it has one, and say whether it had."""
    return bool(
        Order.objects.filter(infusion=infusion, closed_at=None).update(
            closed_at=at, cancelled=True, cancel_reason=reason
        )
    )


def event(
    kind: Kind,
    *,
    by: User,
    permission: Permission,
    at: dt.datetime,
    infusion: Infusion,
    kit: str | None = None,
    data: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the arguments of ``record`` for a person's act on an infusion, or on a kit of it."""
    about = {"participant": str(infusion.participant_id), "infusion": str(infusion.pk)}
    if kit:
        about["kit"] = kit
    # Of a participant who was transferred, each site may have to do with what it has in hand.
    also = {infusion.participant.site_id, *Kit.objects.filter(pk=kit).values_list("site_id", flat=True)}
    role = acting_role(by, permission, site=infusion.site_id, or_at=also)
    return {"kind": kind, "by": by, "role": role, "at": at, "about": about, "data": data or {}}


def deviation(code: str, detail: str, *, at: dt.datetime) -> dict[str, str]:
    """Return one entry of an infusion's ``deviations``."""
    return {"code": code, "detail": detail, "recorded_at": timestamp(at)}


def refuse_future(moment: dt.datetime, *, name: str, at: dt.datetime) -> None:
    """
    Refuse a past act that is dated later than now.

    :raises FieldsInvalid: if ``moment`` is later than ``at``, beyond what clocks differ by.
    """
    if moment > at + CLOCK_SLACK:
        raise FieldsInvalid(FieldFault((name,), "in_the_future", "This has not happened yet."))


def is_late(moment: dt.datetime, *, at: dt.datetime) -> bool:
    """Say whether what happened at ``moment`` is entered late at ``at``."""
    return at - moment > LATE_AFTER
