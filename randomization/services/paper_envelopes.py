"""Printing a participant's code-break envelope, for the day the system is down."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from randomization.envelopes import EnvelopeContent, code_break_envelope
from randomization.models import Participant
from randomization.services.unblinding import arm_for_paper, signed_checkpoint
from randomization.services.unblinding_requests import allocation_of
from trialsite.accounts.access import require
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record_sealed
from trialsite.errors import NotFound
from trialsite.ids import new_id


def print_envelope(*, screening_number: str, by: User, at: dt.datetime) -> bytes:
    """
    Return the paper envelope (PDF) of a participant who holds a slot. Not inside a transaction.

    That it is printed is on the trail, committed and signed, before the arm is opened.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may not print envelopes.
    :raises trialsite.errors.NotFound: if nobody has that screening number.
    :raises randomization.services.assignment.NotRandomized: if the participant holds no slot.
    :raises randomization.services.unblinding.TrailUnavailable: if the trail cannot be signed.
    :raises randomization.services.unblinding.CannotReveal: if the envelope is not the listed one.
    """
    require(by, Permission.PRINT_ENVELOPES)
    participant = Participant.objects.select_related("site").filter(screening_number=screening_number).first()
    if participant is None:
        raise NotFound("There is no such participant.")
    number = allocation_of(participant.pk).randomization_number
    body = {"act": "print", "by": str(by.pk), "participant": str(participant.pk)}
    with transaction.atomic(durable=True):
        record_sealed(kind=Kind.UNBLINDING, event_id=new_id(), at=at, body=body)
    signed_checkpoint()
    protocol, arm = arm_for_paper(participant.pk)
    return code_break_envelope(
        EnvelopeContent(
            trial_code=protocol.protocol,
            site=participant.site.name,
            randomization_number=number,
            arm=protocol.arms[arm].code,
            treatment=protocol.treatment(arm).name,
            emergency_contact=protocol.label.emergency_contact,
            printed_on=at.date(),
        )
    )
