"""A randomization that was done on paper while the system was down, entered afterwards as such."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from randomization.locks import lock_identity, lock_participant
from randomization.models import Allocation, Participant
from randomization.selectors import participant_within_reach
from randomization.services.emergency import stood_against, take_envelope
from randomization.services.randomization_errors import (
    report_duplicate,
    report_ineligible,
    report_randomized_in_error,
)
from supply.services.enrolment import plan_infusions
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp

INELIGIBLE = "Randomized on paper; the system's own check of the screening finds the criteria unmet."
DUPLICATE = "Randomized on paper; the same person is randomized under another number."
STOOD_AGAINST = "Randomized on paper although the system would have refused: {codes}."


@transaction.atomic
def enter_paper_randomization(
    *,
    participant_id: uuid.UUID,
    randomization_number: str,
    randomized_at: dt.datetime,
    stratum: Mapping[str, str],
    reason: str,
    opened_by: str,
    before_consent: bool = False,
    by: User,
    at: dt.datetime,
) -> Allocation:
    """
    Record that the participant was randomized from an envelope, and plan their four infusions.

    They are planned from the time that the paper states. A fact is not refused. What the site can
    supply now is not asked; a participant whom the system would have found ineligible, or for whom
    enrolment was shut or full, or whose consent did not stand, is randomized and reported as an
    error of that kind, and so is a person who was randomized under another number.

    :param stratum: the participant's own stratum, as the investigator confirms it.
    :param reason: why it was done on paper.
    :param opened_by: who opened the envelope; may be empty.
    :param before_consent: whether ``by`` confirms that consent was given later, if it was.
    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises trialsite.errors.Refused: as ``take_envelope`` does.
    """
    # Before the participant is read, so that nothing read of them can be revised meanwhile.
    _hold_the_person(participant_id)
    participant = participant_within_reach(participant_id, by=by, permission=Permission.RANDOMIZE)
    allocation = take_envelope(
        participant=participant,
        number=randomization_number,
        levels=stratum,
        randomized_at=randomized_at,
        reason=reason,
        before_consent=before_consent,
        by=by,
        at=at,
    )
    plan_infusions(allocation, ended=participant.discontinuations.exists())
    paper = {"randomized_at": timestamp(randomized_at), "reason": reason}
    record(
        kind=Kind.PARTICIPANT_RANDOMIZED,
        by=by,
        role=acting_role(by, Permission.RANDOMIZE, site=participant.site_id),
        at=at,
        about={
            "participant": str(participant.pk),
            "site": participant.site_id,
            "stratum": allocation.stratum_id,
            "randomization_number": allocation.randomization_number,
        },
        data={
            "slot": allocation.position,
            "paper": paper | ({"opened_by": opened_by} if opened_by else {}),
        },
    )
    _report_errors(allocation, by=by, at=at)
    return allocation


def _hold_the_person(participant_id: uuid.UUID) -> None:
    """Hold every participant who is the same person, and that person's being in the trial."""
    people = Participant.objects.filter(pk=participant_id).values("identity_hash")
    for each in sorted({participant_id, *_same_person(people).values_list("pk", flat=True)}):
        lock_participant(each)
    for identity in people.values_list("identity_hash", flat=True):
        lock_identity(identity)


def _same_person(identities: Any) -> QuerySet[Participant]:
    return Participant.objects.filter(identity_hash__in=identities).order_by("screening_number")


def _report_errors(allocation: Allocation, *, by: User, at: dt.datetime) -> None:
    """Report what the system would have refused."""
    participant = allocation.participant
    known: dict[str, Any] = {"participant_id": participant.pk, "known_at": at, "by": by, "at": at}
    for other in _same_person([participant.identity_hash]).exclude(pk=participant.pk):
        if other.is_randomized:
            report_duplicate(duplicate_of=other.screening_number, reason=DUPLICATE, **known)
    if participant.unmet:
        report_ineligible(criteria=participant.unmet, reason=INELIGIBLE, **known)
    # Once the event is on the trail, whose head keeps everybody else out until this is over.
    if codes := stood_against(allocation):
        report_randomized_in_error(reason=STOOD_AGAINST.format(codes=", ".join(codes)), **known)
