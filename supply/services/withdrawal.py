"""The end of a participant's treatment, or of their part in the study, and of their consent."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.db import transaction

from randomization.domain.consent import standing
from randomization.locks import lock_participant
from randomization.models import Consent, Discontinuation, Participant
from randomization.selectors import participant_within_reach
from randomization.services.consent import ConsentWithdrawn, giver_faults, record_withdrawn
from supply.domain import infusion_states
from supply.domain.infusion_states import InfusionAction
from supply.models import Infusion, Order
from supply.services.records import refuse_future
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, Refused
from trialsite.ids import new_id


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
    participant = _held(participant_id, by=by)
    refuse_future(discontinued_at, name="at", at=at)
    if participant.discontinuations.filter(scope=scope).exists():
        raise AlreadyDiscontinued("The participant's discontinuation has been recorded before.")
    ending = _Ending(scope=scope, reason=reason, ended_at=discontinued_at, by=by, at=at)
    discontinuation = _kept(participant, ending)
    _record(discontinuation, cancelled=_cancel_what_has_not_begun(participant.pk, at=at))
    return discontinuation


@transaction.atomic
def withdraw_consent(
    *,
    participant_id: uuid.UUID,
    given_by: str,
    relationship: str,
    reason: str,
    withdrawn_at: dt.datetime,
    scope: str,
    by: User,
    at: dt.datetime,
) -> Consent:
    """
    Record that consent was withdrawn, and discontinue the participant with it.

    Nobody owes a reason for it. Where the participant was discontinued in that scope before, the
    withdrawal is recorded all the same. Before randomization it ends the way to it.

    :param given_by: ``participant`` or ``representative``: who withdraws.
    :param scope: what it is withdrawn from, ``treatment`` or ``study``.
    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises trialsite.errors.FieldsInvalid: if ``withdrawn_at`` lies in the future or before the
        consent, or a representative's relationship is missing.
    :raises randomization.services.consent.ConsentWithdrawn: if it was withdrawn from that before, and
        not given again since.
    """
    participant = _held(participant_id, by=by)
    refuse_future(withdrawn_at, name="at", at=at)
    if withdrawn_at < participant.consented_at:
        raise FieldsInvalid(FieldFault(("at",), "before_consent", "Consent was given later."))
    if faults := giver_faults(given_by, relationship):
        raise FieldsInvalid(*faults)
    stands = standing(participant.consents.all())
    if stands is not None and {scope, "study"} & stands.withdrawn_from:
        raise ConsentWithdrawn
    consent = Consent.objects.create(
        id=new_id(),
        participant=participant,
        act=Consent.Act.WITHDRAWN,
        giver=given_by,
        relationship=relationship,
        scope=scope,
        reason=reason,
        at=withdrawn_at,
        recorded_at=at,
        recorded_by=by,
    )
    if participant.discontinuations.filter(scope=scope).exists():
        record_withdrawn(consent)
        return consent
    why = f"Consent was withdrawn. {reason}".strip()
    ending = _Ending(scope=scope, reason=why, ended_at=withdrawn_at, by=by, at=at)
    discontinuation = _kept(participant, ending)
    cancelled = _cancel_what_has_not_begun(participant.pk, at=at)
    record_withdrawn(consent)
    _record(discontinuation, cancelled=cancelled)
    return consent


@dataclass(frozen=True, kw_only=True)
class _Ending:
    scope: str
    reason: str
    ended_at: dt.datetime
    by: User
    at: dt.datetime


def _held(participant_id: uuid.UUID, *, by: User) -> Participant:
    lock_participant(participant_id)
    return participant_within_reach(participant_id, by=by, permission=Permission.DISCONTINUE)


def _kept(participant: Participant, ending: _Ending) -> Discontinuation:
    return Discontinuation.objects.create(
        participant=participant,
        scope=ending.scope,
        reason=ending.reason,
        at=ending.ended_at,
        recorded_at=ending.at,
        recorded_by=ending.by,
    )


def _record(discontinuation: Discontinuation, *, cancelled: list[int]) -> None:
    by, participant = discontinuation.recorded_by, discontinuation.participant
    record(
        kind=Kind.PARTICIPANT_DISCONTINUED,
        by=by,
        role=acting_role(by, Permission.DISCONTINUE, site=participant.site_id),
        at=discontinuation.recorded_at,
        about={"participant": str(participant.pk)},
        data={
            "scope": discontinuation.scope,
            "reason": discontinuation.reason,
            "discontinued_at": timestamp(discontinuation.at),
            "infusions_cancelled": cancelled,
        },
    )


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
