"""Enrolment: a slot on the list and four planned infusions, together or not at all."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from django.db import transaction

from randomization.locks import lock_participant
from randomization.models import Allocation
from randomization.selectors import participant_within_reach, protocol_of
from randomization.services.assignment import take_next_slot
from supply.domain.infusion_states import InfusionStatus, effective_status
from supply.domain.visit_windows import VisitWindow, visit_windows
from supply.models import Infusion
from supply.selectors import site_is_ready
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.errors import Refused
from trialsite.ids import new_id


class SupplyNotReady(Refused):
    """The site cannot make the bags of both arms; said in the same words whatever is missing."""

    code = "supply_not_ready"

    def __init__(self) -> None:
        super().__init__("This site cannot supply infusions at the moment. No slot was taken.")


@transaction.atomic
def randomize_participant(
    *, participant_id: uuid.UUID, stratum: Mapping[str, str], by: User, at: dt.datetime
) -> Allocation:
    """
    Give the participant the next slot of their stratum and plan their four infusions.

    Whether the site can make *both* arms is asked before the slot is taken, so that a refusal
    cannot depend on the arm.

    :param stratum: the whole stratum, as the investigator confirms it.
    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises SupplyNotReady: if the site cannot make the bags of both arms.
    :raises trialsite.errors.Refused: as ``take_next_slot`` does.
    """
    participant = participant_within_reach(participant_id, by=by, permission=Permission.RANDOMIZE)
    lock_participant(participant.pk)
    if not site_is_ready(participant.site_id, at=at):
        raise SupplyNotReady
    allocation = take_next_slot(participant=participant, levels=stratum, by=by, at=at)
    protocol = protocol_of(participant.trial_version_id)
    zone = protocol.site(participant.site_id).time_zone
    windows = visit_windows(at, time_zone=zone, plan=protocol.infusions)
    Infusion.objects.bulk_create([_infusion(allocation, window, at) for window in windows])
    record(
        kind=Kind.PARTICIPANT_RANDOMIZED,
        by=by,
        role=acting_role(by, Permission.RANDOMIZE, site=participant.site_id),
        at=at,
        about={
            "participant": str(participant.pk),
            "stratum": allocation.stratum_id,
            "randomization_number": allocation.randomization_number,
        },
        data={"slot": allocation.position},
    )
    return allocation


def _infusion(allocation: Allocation, window: VisitWindow, at: dt.datetime) -> Infusion:
    return Infusion(
        id=new_id(),
        participant=allocation.participant,
        site_id=allocation.participant.site_id,
        number=window.number,
        day=window.day,
        opens_at=window.opens_at,
        target_at=window.target_at,
        closes_at=window.closes_at,
        status=effective_status(InfusionStatus.SCHEDULED, window.opens_at, window.closes_at, at),
    )
