"""
Taking a slot: the one step that makes an allocation.

It opens nothing. The slot's arm stays sealed, so nothing here can depend on it.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from django.db import connection

from randomization.domain.enrolment import Act
from randomization.domain.strata import LevelsInvalid, stratum_code
from randomization.locks import lock_stratum
from randomization.models import Allocation, Participant, Stratum
from randomization.services.consent import ConsentNotGiven, refuse_withdrawn
from randomization.services.enrolment_gate import StratumFull, refuse_beyond_caps, refuse_unless_open
from randomization.services.notices import messages_of_exhaustion, notify_of_last_slot
from trialsite.accounts.access import require
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.errors import Refused
from trialsite.protocol import Protocol
from trialsite.rows import insert, one
from trialsite.transactions import whole

_MOVE_ON = """
    WITH moved AS (
        UPDATE randomization_stratum SET next_slot = next_slot + 1 WHERE code = %s AND next_slot = %s
        RETURNING code, next_slot - 1 AS position
    )
    SELECT slot.id, slot.randomization_number
    FROM moved
    JOIN randomization_slot AS slot ON slot.stratum_id = moved.code AND slot.position = moved.position
"""


class NotEligible(Refused):
    """The participant's screening found a criterion unmet."""

    code = "not_eligible"


class AlreadyRandomized(Refused):
    """The participant holds a slot, and keeps it."""

    code = "already_randomized"


class NotRandomized(Refused):
    """The participant holds no slot."""

    code = "not_randomized"


class Discontinued(Refused):
    """The participant's treatment, or part in the study, has ended."""

    code = "discontinued"


class StratumMismatch(Refused):
    """The confirmed stratum is not the one that screening found."""

    code = "stratum_mismatch"


class ListExhausted(Refused):
    """
    No slot is left in the participant's stratum.

    Recruitment in the stratum stops until the list is extended; the unmasked statistician is told when
    its last slot is taken, and again when somebody is refused. The message names the stratum and never
    the list's length.
    """

    code = "list_exhausted"


@whole
def take_next_slot(
    *, participant: Participant, levels: Mapping[str, str], by: User, at: dt.datetime
) -> Allocation:
    """
    Give the participant the next slot of their stratum, once.

    Two participants can never be handed one slot, and slots go in order: no ``SKIP LOCKED``, which
    could hand out slot n+1 while slot n is rolled back; never a count; never a freed slot. The
    caller holds the participant, and writes the audit event in the same transaction (docs/adr/0004).

    :param levels: the whole stratum as the investigator confirmed it.
    :raises trialsite.accounts.access.NotPermitted: if ``by`` may not randomize at the site.
    :raises randomization.selectors.TrialNotActive: before activation.
    :raises trialsite.errors.Refused: if enrolment does not stand open there, or a cap is reached, as
        ``enrolment_gate`` says. The caller asks it again once the event is on the trail.
    :raises AlreadyRandomized: if the participant holds a slot.
    :raises NotEligible: if screening found a criterion unmet.
    :raises randomization.services.consent.ConsentNotGiven: if consent was given later than ``at``.
    :raises randomization.services.consent.ConsentWithdrawn: if consent was withdrawn.
    :raises Discontinued: if treatment or study has ended for the participant.
    :raises StratumMismatch: if the levels are not those that screening found.
    :raises ListExhausted: if the stratum has no slot left.
    """
    require(by, Permission.RANDOMIZE, site=participant.site_id)
    now = refuse_unless_open(participant.site_id, Act.RANDOMIZE)
    _refuse_unless_ready(participant, levels=levels, at=at)
    refuse_beyond_caps(now, participant.site_id)
    stratum = locked_stratum(_code(now.protocol, levels))
    _refuse_unless_a_slot_is_left(stratum, protocol=now.protocol, at=at)
    slot, randomization_number = _move_on(stratum)
    if stratum.next_slot == stratum.length - 1:
        notify_of_last_slot(stratum, at=at)
    allocation = Allocation(
        participant=participant,
        slot_id=slot,
        stratum=stratum,
        position=stratum.next_slot,
        randomization_number=randomization_number,
        randomized_at=at,
        randomized_by=by,
    )
    insert([allocation])
    return allocation


def locked_stratum(code: str) -> Stratum:
    """Return the stratum, held to the end of the transaction."""
    # Row locks queue unfairly: the advisory lock does the queueing. The row lock is what keeps the
    # promise, whoever else may write the row and does not know of the other lock.
    lock_stratum(code)
    return one(Stratum, code, held=True)


def _refuse_unless_ready(participant: Participant, *, levels: Mapping[str, str], at: dt.datetime) -> None:
    is_randomized, has_left = _held_and_left(participant)
    if is_randomized:
        raise AlreadyRandomized("This participant is already randomized.")
    if participant.status != Participant.Status.ELIGIBLE:
        raise NotEligible("Screening found a criterion that this participant does not meet.")
    if participant.consented_at > at:
        raise ConsentNotGiven
    if has_left:
        refuse_withdrawn(participant)
        raise Discontinued("This participant's treatment has ended.")
    if dict(levels) != participant.stratum_levels:
        raise StratumMismatch("The confirmed stratum is not the one that screening found.")


def _held_and_left(participant: Participant) -> tuple[bool, bool]:
    """Return whether the participant holds a slot, and whether treatment or study has ended for them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM randomization_allocation WHERE participant_id = %s),"
            " EXISTS (SELECT FROM randomization_discontinuation WHERE participant_id = %s)",
            [participant.pk, participant.pk],
        )
        holds, left = cursor.fetchone() or (False, False)
    return bool(holds), bool(left)


def _refuse_unless_a_slot_is_left(stratum: Stratum, *, protocol: Protocol, at: dt.datetime) -> None:
    """
    :raises StratumFull: if the trial file allows no more in the stratum.
    :raises ListExhausted: if its list has ended.
    """
    cap = protocol.caps.strata.get(stratum.code) if protocol.caps else None
    # Under the stratum's lock, and slots go in order: its next one is the number of those taken.
    if cap is not None and stratum.next_slot >= cap:
        raise StratumFull(f"Stratum {stratum.code} has as many participants as it may.")
    if stratum.next_slot >= stratum.length:
        refusal = ListExhausted(f"No slot is left in stratum {stratum.code}.")
        refusal.messages = messages_of_exhaustion(stratum, at=at)
        raise refusal


def _move_on(stratum: Stratum) -> tuple[uuid.UUID, str]:
    """
    Move the held stratum on by one slot, and return that slot's id and number, in one statement.

    :raises RuntimeError: if the stratum has moved since it was read: it was not held.
    """
    with connection.cursor() as cursor:
        cursor.execute(_MOVE_ON, [stratum.pk, stratum.next_slot])
        row = cursor.fetchone()
    if row is None:
        message = f"Stratum {stratum.pk} has moved on, though it was held."
        raise RuntimeError(message)
    slot, randomization_number = row
    return slot, randomization_number


def _code(protocol: Protocol, levels: Mapping[str, str]) -> str:
    try:
        return stratum_code(protocol, levels)
    except LevelsInvalid:
        # Screened under a version of the trial that had other strata.
        raise StratumMismatch("The stratum of the screening is not one of this trial's.") from None
