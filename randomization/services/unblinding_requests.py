"""
Asking for a participant's code to be broken: who may, who signs, and the event that comes first.

Nothing is opened here. Every attempt leaves a sealed event, of one kind and size whether it was
granted or refused, so that nobody can count refusals from outside.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from randomization.models import Allocation, Participant, Unblinding
from randomization.selectors import participants_ever_at_sites_of
from randomization.services.assignment import NotRandomized
from trialsite.accounts.access import NotPermitted, may
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.accounts.services.factors import Purpose, check_code
from trialsite.accounts.services.signatures import SignatureRejected, verify_password, verify_signature
from trialsite.audit.kinds import Kind
from trialsite.audit.services import check_reason, record_sealed
from trialsite.clock.services import real_now
from trialsite.errors import NotFound, Refused
from trialsite.ids import new_id


@dataclass(frozen=True)
class Signature:
    """Both components, always: nothing that was signed before counts for a code break."""

    password: str = field(repr=False)
    otp: str = field(repr=False)


@transaction.atomic
def request_unblinding(
    *,
    by: User,
    at: dt.datetime,
    participant_id: uuid.UUID | None,
    named: Mapping[str, str],
    reason: str,
    signature: Signature,
) -> Unblinding:
    """
    Put on the trail that ``by`` is about to learn a participant's arm. Nothing is opened.

    :param participant_id: whom ``named`` (what was typed or scanned) turned out to be, if anybody.
    :raises FieldsInvalid: if the reason is too long; the one refusal without an event.
    :raises NotPermitted: if ``by`` may break no code at all.
    :raises NotFound: if there is no such participant, or only at another site.
    :raises NotRandomized: if the participant holds no slot.
    :raises Refused: if the signature does not hold. Every refusal here leaves a sealed event.
    """
    check_reason(reason)
    body = {
        "by": str(by.pk),
        "named": dict(named),
        "category": "emergency",
        "reveal_to": "requester",
        "reason": reason,
    }
    try:
        participant = _participant(participant_id, by=by)
        verify_signature(
            user=by,
            password=signature.password,
            otp=signature.otp,
            purpose=Purpose.UNBLINDING,
            at_real=real_now(),
        )
    except Refused as refusal:
        body |= {"participant": str(participant_id or ""), "refused": refusal.code}
        raise _on_the_trail(refusal, body, at=at) from None
    unblinding = Unblinding(
        participant=participant, requested_by=by, category="emergency", reveal_to="requester", requested_at=at
    )
    unblinding.intent_position = record_act("request", unblinding, at=at, body=body)
    unblinding.save(force_insert=True)
    return unblinding


@transaction.atomic
def request_again(*, unblinding_id: uuid.UUID, by: User, at: dt.datetime, signature: Signature) -> int | None:
    """
    Put on the trail that ``by`` asks for their own reveal once more.

    Return the event's position if the one-time code is fresh, so that the arm may be shown; None
    if it is used or wrong: then the caller answers the event without the arm.

    :raises Refused: if the password is wrong or the person may not any more; on the trail too.
    """
    unblinding = Unblinding.objects.get(pk=unblinding_id, requested_by=by)
    body = {"by": str(by.pk)}
    try:
        _participant(unblinding.participant_id, by=by)
        verify_password(user=by, password=signature.password)
    except Refused as refusal:
        body |= {"unblinding": str(unblinding_id), "refused": refusal.code}
        raise _on_the_trail(refusal, body, at=at) from None
    if not check_code(user=by, otp=signature.otp, purpose=Purpose.UNBLINDING, at=real_now()):
        record_act("denial", unblinding, at=at, body={**body, "refused": SignatureRejected.code})
        return None
    return record_act("read", unblinding, at=at, body=body)


def _participant(participant_id: uuid.UUID | None, *, by: User) -> Participant:
    """
    Return the participant whose code ``by`` may break, who holds a slot.

    The investigators of a site that the participant has left may too: they may have the person
    before them, and a patient in danger is not sent on.
    """
    if not may(by, Permission.BREAK_CODE):
        raise NotPermitted("Your roles do not allow this.")
    reachable = participants_ever_at_sites_of(by, Permission.BREAK_CODE)
    participant = reachable.filter(pk=participant_id).first() if participant_id else None
    if participant is None:
        raise NotFound("There is no such participant.")
    allocation_of(participant.pk)
    return participant


def allocation_of(participant_id: uuid.UUID) -> Allocation:
    allocation = (
        Allocation.objects.select_related("slot__list", "slot__sealedarm")
        .filter(participant_id=participant_id)
        .first()
    )
    if allocation is None:
        raise NotRandomized("This participant is not randomized, so there is no treatment to reveal.")
    return allocation


def record_act(act: str, unblinding: Unblinding, *, at: dt.datetime, body: Mapping[str, Any]) -> int:
    """Append one sealed event of an unblinding and return its position."""
    about = {"act": act, "unblinding": str(unblinding.pk), "participant": str(unblinding.participant_id)}
    return record_sealed(kind=Kind.UNBLINDING, event_id=new_id(), at=at, body={**about, **body})


def _on_the_trail(refusal: Refused, body: Mapping[str, Any], *, at: dt.datetime) -> Refused:
    """Return the refusal with the sealed event that outlives it."""
    denial = {**body, "act": "denial"}
    refusal.leave({"kind": Kind.UNBLINDING, "event_id": new_id(), "at": at, "body": denial})
    return refusal
