"""
Participants who go on at another site: one, several, or all of a site at once.

What has not begun goes with the participant; what the old site has in hand (a bag handed over, a
running infusion, a window that closed with nothing recorded) stays there until it has ended, and
staff of both sites can end it. Stratum, slot and numbers stay. The rules, and why:
docs/screening-and-transfer.md.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Sequence

from django.db import transaction

from randomization.domain.enrolment import ACTIVE, PAUSED
from randomization.locks import lock_participant, lock_site
from randomization.models import Participant, Transfer
from randomization.selectors import participant_within_reach
from randomization.services.enrolment_gate import standing
from randomization.services.notices import notify_of_transfers
from supply.models import Infusion
from supply.selectors import ENDED
from supply.services.records import CLOCK_SLACK, refuse_future
from supply.services.taking_along import Move, Moved, take_along
from trialsite.accounts.access import acting_role, require
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, Refused
from trialsite.ids import new_id


class SiteCannotReceive(Refused):
    """The site is suspended, closed, or was never opened."""

    code = "site_cannot_receive"

    def __init__(self) -> None:
        super().__init__("This site is not open: participants cannot be transferred to it.")


class NobodyToTransfer(Refused):
    """All of a site are to be transferred, and nobody of whom that could be said is there."""

    code = "nobody_to_transfer"

    def __init__(self) -> None:
        super().__init__("Nobody at this site is eligible and still in the study.")


@transaction.atomic
def transfer_participant(
    *,
    participant_id: uuid.UUID,
    to_site: str,
    reason: str,
    transferred_at: dt.datetime,
    by: User,
    at: dt.datetime,
) -> Moved:
    """
    Let one participant go on at another site.

    :param transferred_at: when it was, which may be before it is recorded.
    :raises trialsite.accounts.access.NotPermitted: if ``by`` may transfer nobody.
    :raises trialsite.errors.NotFound: if there is no such participant.
    :raises trialsite.errors.FieldsInvalid: if ``transferred_at`` lies in the future or before the
        screening, or the trial has no such site, or the participant is there.
    :raises SiteCannotReceive: if the site is not open.
    """
    require(by, Permission.TRANSFER)
    lock_participant(participant_id)
    participant = participant_within_reach(participant_id, by=by, permission=Permission.TRANSFER)
    move = _stated(participant.site_id, to_site, reason, transferred_at, by=by, at=at)
    return _moved([participant], move)[0]


@transaction.atomic
def transfer_participants(
    *,
    from_site: str,
    to_site: str,
    participants: Collection[uuid.UUID] | None,
    reason: str,
    transferred_at: dt.datetime,
    by: User,
    at: dt.datetime,
) -> list[Moved]:
    """
    Let several participants of a site go on at another one, all or none; in their numbers' order.

    :param participants: who goes; None for everybody who is eligible and whose part in the study has
        not ended, those screened in this moment included.
    :raises trialsite.accounts.access.NotPermitted: if ``by`` may transfer nobody.
    :raises trialsite.errors.FieldsInvalid: if ``transferred_at`` lies in the future or before a
        screening, the trial has no such site, both are one, or somebody named is not there.
    :raises SiteCannotReceive: if the site is not open.
    :raises NobodyToTransfer: if everybody is to go and nobody is there.
    """
    require(by, Permission.TRANSFER)
    move = _stated(from_site, to_site, reason, transferred_at, by=by, at=at)
    if participants is None:
        # Whoever is being screened there is waited for, and goes too.
        lock_site(from_site)
        participants = _everybody(from_site)
        if not participants:
            raise NobodyToTransfer
    for participant_id in sorted(set(participants)):
        lock_participant(participant_id)
    there = Participant.objects.filter(pk__in=participants, site=from_site).select_related("site")
    found = {participant.pk: participant for participant in there}
    missing = [str(place) for place, key in enumerate(participants) if key not in found]
    if missing:
        fault = "No such participant is at that site."
        raise FieldsInvalid(*(FieldFault(("participants", place), "not_there", fault) for place in missing))
    return _moved(sorted(found.values(), key=lambda one: one.screening_number), move)


def _everybody(site: str) -> list[uuid.UUID]:
    staying = Participant.objects.filter(site=site, status=Participant.Status.ELIGIBLE)
    return list(staying.exclude(discontinuations__scope="study").values_list("pk", flat=True))


def _stated(
    from_site: str, to_site: str, reason: str, transferred_at: dt.datetime, *, by: User, at: dt.datetime
) -> Move:
    refuse_future(transferred_at, name="at", at=at)
    sites = {site.pk: site for site in Site.objects.filter(pk__in=(from_site, to_site))}
    faults = [
        FieldFault((name,), "unknown", "The trial has no such site.")
        for name, code in (("from_site", from_site), ("to_site", to_site))
        if code not in sites
    ]
    if from_site == to_site:
        faults.append(FieldFault(("to_site",), "same_site", "Name another site than where they are."))
    if faults:
        raise FieldsInvalid(*faults)
    now = standing(to_site)
    # How enrolment stands in the whole trial is not asked: treatment goes on in any case.
    if to_site not in {site.code for site in now.protocol.sites} or now.site not in (ACTIVE, PAUSED):
        raise SiteCannotReceive
    return Move(to_site=sites[to_site], reason=reason, transferred_at=transferred_at, by=by, at=at)


def _moved(participants: Sequence[Participant], move: Move) -> list[Moved]:
    """Move held participants; every event comes at the end, when no other lock is waited for any more."""
    if any(move.transferred_at < one.created_at - CLOCK_SLACK for one in participants):
        fault = "A participant was screened later than that."
        raise FieldsInvalid(FieldFault(("at",), "before_screening", fault))
    infusions = list(
        Infusion.objects.select_for_update(of=("self",))
        .filter(participant__in=participants)
        .exclude(status__in=ENDED)
        .select_related("site")
        .order_by("participant", "number")
    )
    moved = [
        _move(one, [each for each in infusions if each.participant_id == one.pk], move)
        for one in participants
    ]
    for one in moved:
        _record(one, move)
    notify_of_transfers([one.transfer for one in moved], at=move.at)
    return moved


def _move(participant: Participant, infusions: Iterable[Infusion], move: Move) -> Moved:
    transfer = Transfer.objects.create(
        id=new_id(),
        participant=participant,
        from_site=participant.site,
        to_site=move.to_site,
        reason=move.reason,
        at=move.transferred_at,
        recorded_by=move.by,
    )
    participant.site = move.to_site
    participant.save(update_fields=["site"])
    moved = Moved(transfer)
    for infusion in infusions:
        infusion.participant = participant
        take_along(infusion, moved, move)
    return moved


def _record(moved: Moved, move: Move) -> None:
    for each in moved.cancelled:
        record(**each)
    transfer = moved.transfer
    record(
        kind=Kind.PARTICIPANT_TRANSFERRED,
        by=move.by,
        role=acting_role(move.by, Permission.TRANSFER, site=transfer.to_site_id),
        at=move.at,
        about={"participant": str(transfer.participant_id), "site": transfer.to_site_id},
        data={
            "from": transfer.from_site_id,
            "to": transfer.to_site_id,
            "reason": transfer.reason,
            "transferred_at": timestamp(transfer.at),
            "infusions": moved.infusions,
            "ordered_again": moved.ordered_again,
            "left": [
                {"infusion": one.infusion, "code": one.code, "kit": one.kit_number or ""}
                for one in moved.attention
            ],
        },
    )
    for each in moved.ordered:
        record(**each)
