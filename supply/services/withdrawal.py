"""The end of a participant's treatment, or of their part in the study."""

from __future__ import annotations

import datetime as dt
import uuid

from django.db import transaction

from randomization.locks import lock_participant
from randomization.models import Discontinuation
from randomization.selectors import participant_within_reach
from supply.domain import infusion_states
from supply.domain.infusion_states import InfusionAction
from supply.models import Infusion, Order
from supply.services.records import refuse_future
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import Refused


class AlreadyDiscontinued(Refused):
    """That has been recorded before."""

    code = "already_discontinued"


@transaction.atomic
def discontinue_participant(
    *,
    participant_id: uuid.UUID,
    scope: str,
    reason: str,
    discontinued_at: dt.datetime,
    by: User,
    at: dt.datetime,
) -> Discontinuation:
    """
    End treatment, or the part in the study, and with it every open order and coming infusion.

    An infusion that is running is left to be stopped. A bag that was released stays, to be wasted.

    :param scope: ``treatment`` or ``study``.
    :param discontinued_at: when it ended, which may be before it is recorded.
    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises trialsite.errors.FieldsInvalid: if ``discontinued_at`` lies in the future.
    :raises AlreadyDiscontinued: if the participant was discontinued in that scope before.
    """
    participant = participant_within_reach(participant_id, by=by, permission=Permission.DISCONTINUE)
    lock_participant(participant.pk)
    refuse_future(discontinued_at, name="at", at=at)
    if participant.discontinuations.filter(scope=scope).exists():
        raise AlreadyDiscontinued("The participant's discontinuation has been recorded before.")
    discontinuation = Discontinuation.objects.create(
        participant=participant,
        scope=scope,
        reason=reason,
        at=discontinued_at,
        recorded_at=at,
        recorded_by=by,
    )
    cancelled = _cancel_what_has_not_begun(participant.pk, at=at)
    record(
        kind=Kind.PARTICIPANT_DISCONTINUED,
        by=by,
        role=acting_role(by, Permission.DISCONTINUE, site=participant.site_id),
        at=at,
        about={"participant": str(participant.pk)},
        data={
            "scope": scope,
            "reason": reason,
            "discontinued_at": timestamp(discontinued_at),
            "infusions_cancelled": cancelled,
        },
    )
    return discontinuation


def _cancel_what_has_not_begun(participant_id: uuid.UUID, *, at: dt.datetime) -> list[int]:
    """Return the numbers of the infusions that were cancelled."""
    coming = [
        infusion
        for infusion in Infusion.objects.select_for_update()
        .filter(participant=participant_id)
        .order_by("number")
        if infusion_states.may(infusion.status, InfusionAction.CANCEL)
    ]
    for infusion in coming:
        infusion.status = infusion_states.after(infusion.status, InfusionAction.CANCEL)
        infusion.save(update_fields=["status"])
    Order.objects.filter(infusion__in=coming, closed_at=None).update(
        closed_at=at, cancelled=True, cancel_reason="The participant was discontinued."
    )
    return [infusion.number for infusion in coming]
