"""Enrolment: a slot on the list and four planned infusions, together or not at all."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from randomization.domain.enrolment import Act
from randomization.locks import lock_participant
from randomization.models import Allocation
from randomization.selectors import participant_within_reach, protocol_of
from randomization.services.assignment import take_next_slot
from randomization.services.enrolment_gate import refuse_beyond_caps, refuse_unless_open
from supply.domain.infusion_states import InfusionStatus, effective_status
from supply.domain.visit_windows import VisitWindow, visit_windows
from supply.models import Infusion
from supply.selectors import site_is_ready
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.errors import Refused
from trialsite.ids import new_id
from trialsite.rows import insert, one
from trialsite.transactions import whole


class SupplyNotReady(Refused):
    """The site cannot make the bags of both arms; said in the same words whatever is missing."""

    code = "supply_not_ready"

    def __init__(self) -> None:
        super().__init__("This site cannot supply infusions at the moment. No slot was taken.")


@whole
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
    # Held first: a revision of the screening or a transfer may be under way.
    lock_participant(participant_id)
    participant = participant_within_reach(participant_id, by=by, permission=Permission.RANDOMIZE)
    if not site_is_ready(participant.site_id, at=at):
        raise SupplyNotReady
    allocation = take_next_slot(participant=participant, levels=stratum, by=by, at=at)
    plan_infusions(allocation)
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
        data={"slot": allocation.position},
    )
    # Again, now that the event is on the trail: what stands there before decides.
    now = refuse_unless_open(participant.site_id, Act.RANDOMIZE)
    refuse_beyond_caps(now, participant.site_id, places=0)
    return allocation


def plan_infusions(allocation: Allocation, *, ended: bool = False) -> None:
    """
    Plan the participant's four infusions from the time at which they were randomized.

    Each stands as it did then: what has opened or closed since is for the sweeps, and for whoever
    looks, as with any other.

    :param ended: treatment has ended meanwhile, so they are cancelled.
    """
    participant = allocation.participant
    protocol = protocol_of(participant.trial_version_id)
    # Of the site as it is now: one transferred before was screened under a trial file of other sites.
    zone = one(Site, participant.site_id).time_zone
    windows = visit_windows(allocation.randomized_at, time_zone=zone, plan=protocol.infusions)
    planned = [_infusion(allocation, window, ended=ended) for window in windows]
    insert(planned)
    # The answer shows them: what was just written is not read again.
    shown = Infusion.objects.filter(participant=participant)
    shown._result_cache = planned
    vars(participant)["_prefetched_objects_cache"] = {"infusions": shown}


def _infusion(allocation: Allocation, window: VisitWindow, *, ended: bool) -> Infusion:
    then = allocation.randomized_at
    status = effective_status(InfusionStatus.SCHEDULED, window.opens_at, window.closes_at, then)
    return Infusion(
        id=new_id(),
        participant=allocation.participant,
        site_id=allocation.participant.site_id,
        number=window.number,
        day=window.day,
        opens_at=window.opens_at,
        target_at=window.target_at,
        closes_at=window.closes_at,
        status=InfusionStatus.CANCELLED if ended else status,
    )
