"""
Taking a slot: the one step that makes an allocation.

It opens nothing. The slot's arm stays sealed, so nothing here can depend on it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.db import transaction

from randomization.domain.strata import LevelsInvalid, stratum_code
from randomization.locks import lock_participant, lock_stratum
from randomization.models import Allocation, Participant, Slot, Stratum
from randomization.selectors import active_trial
from randomization.services.notices import notify_of_last_slot
from trialsite.accounts.access import require
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.errors import Refused
from trialsite.protocol import Protocol


class NotEligible(Refused):
    """The participant's screening found a criterion unmet."""

    code = "not_eligible"


class AlreadyRandomized(Refused):
    """The participant holds a slot, and keeps it."""

    code = "already_randomized"


class Discontinued(Refused):
    """The participant's treatment, or part in the study, has ended."""

    code = "discontinued"


class StratumMismatch(Refused):
    """The confirmed stratum is not the one that screening found."""

    code = "stratum_mismatch"


class ListExhausted(Refused):
    """
    No slot is left in the participant's stratum.

    Recruitment in the stratum stops; the unmasked statistician was told when its last slot was
    taken. The message names the stratum and never the list's length.
    """

    code = "list_exhausted"


@transaction.atomic
def take_next_slot(
    *, participant: Participant, levels: Mapping[str, str], by: User, at: dt.datetime
) -> Allocation:
    """
    Give the participant the next slot of their stratum, once.

    Two participants can never be handed one slot, and slots go in order: no ``SKIP LOCKED``, which
    could hand out slot n+1 while slot n is rolled back; never a count; never a freed slot. The
    caller writes the audit event in the same transaction (docs/adr/0004).

    :param levels: the whole stratum as the investigator confirmed it.
    :raises trialsite.accounts.access.NotPermitted: if ``by`` may not randomize at the site.
    :raises randomization.selectors.TrialNotActive: before activation.
    :raises AlreadyRandomized: if the participant holds a slot.
    :raises NotEligible: if screening found a criterion unmet.
    :raises Discontinued: if treatment or study has ended for the participant.
    :raises StratumMismatch: if the levels are not those that screening found.
    :raises ListExhausted: if the stratum has no slot left.
    """
    require(by, Permission.RANDOMIZE, site=participant.site_id)
    lock_participant(participant.pk)
    _, protocol = active_trial()
    _refuse_unless_ready(participant, levels=levels)
    stratum = locked_stratum(_code(protocol, levels))
    if stratum.next_slot >= stratum.length:
        raise ListExhausted(f"No slot is left in stratum {stratum.code}.")
    slot = Slot.objects.get(stratum=stratum, position=stratum.next_slot)
    Stratum.objects.filter(pk=stratum.pk).update(next_slot=stratum.next_slot + 1)
    if slot.position == stratum.length - 1:
        notify_of_last_slot(stratum, at=at)
    return Allocation.objects.create(
        participant=participant,
        slot=slot,
        stratum=stratum,
        position=slot.position,
        randomization_number=slot.randomization_number,
        randomized_at=at,
        randomized_by=by,
    )


def locked_stratum(code: str) -> Stratum:
    """Return the stratum, held to the end of the transaction."""
    ordinal = Stratum.objects.values_list("ordinal", flat=True).get(pk=code)
    # Row locks queue unfairly: the advisory lock does the queueing. The row lock is what keeps the
    # promise, whoever else may write the row and does not know of the other lock.
    lock_stratum(ordinal)
    return Stratum.objects.select_for_update().get(pk=code)


def _refuse_unless_ready(participant: Participant, *, levels: Mapping[str, str]) -> None:
    if Allocation.objects.filter(participant=participant).exists():
        raise AlreadyRandomized("This participant is already randomized.")
    if participant.status != Participant.Status.ELIGIBLE:
        raise NotEligible("Screening found a criterion that this participant does not meet.")
    if participant.discontinuations.exists():
        raise Discontinued("This participant's treatment has ended.")
    if dict(levels) != participant.stratum_levels:
        raise StratumMismatch("The confirmed stratum is not the one that screening found.")


def _code(protocol: Protocol, levels: Mapping[str, str]) -> str:
    try:
        return stratum_code(protocol, levels)
    except LevelsInvalid:
        # Screened under a version of the trial that had other strata.
        raise StratumMismatch("The stratum of the screening is not one of this trial's.") from None
