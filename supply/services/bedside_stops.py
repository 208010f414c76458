"""
The hard stops at the bedside, in the order in which they are asked.

What is about to happen is stopped at the first of them, and the near miss is put on the trail. What
has happened is never refused: entered afterwards, each of them becomes a deviation of the infusion,
the wrong bag and the wrong person among them. No sentence here depends on what the bag holds.
"""

from __future__ import annotations

import datetime as dt
import hmac
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from randomization.identity import identity_hash
from randomization.models import Allocation, Discontinuation
from supply.domain import infusion_states
from supply.domain.expiry import would_expire_before_end
from supply.domain.infusion_states import InfusionAction
from supply.domain.kit_codes import KitNumberMisread
from supply.domain.kit_states import UNSTARTED, KitStatus, effective_status
from supply.domain.scans import read_kit_scan
from supply.domain.visit_windows import IntervalTooShort
from supply.models import Infusion, Kit
from supply.selectors import infusion_of_bag_left, infusion_within_reach, protocol_for
from supply.services.ordering import check_intervals
from supply.services.records import CLOCK_SLACK, event
from supply.services.scanning import KitExpired, KitMismatch, WouldExpire
from trialsite.accounts.access import may
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.errors import NotFound, Refused


class ParticipantMismatch(Refused):
    """The person at the bedside is not the one whom the bag is for."""

    code = "participant_mismatch"

    def __init__(self) -> None:
        super().__init__("This is not the participant of this infusion. Do not begin.")


class WindowNotOpen(Refused):
    """The infusion's window has not opened."""

    code = "window_not_open"

    def __init__(self) -> None:
        super().__init__("The window of this infusion is not open yet.")


class WindowClosed(Refused):
    """The infusion's window has closed."""

    code = "window_closed"

    def __init__(self) -> None:
        super().__init__("The window of this infusion has closed.")


class ParticipantWithdrawn(Refused):
    """The participant's treatment, or part in the study, has ended."""

    code = "participant_withdrawn"

    def __init__(self) -> None:
        super().__init__("The treatment of this participant has ended. Do not begin.")


class CoverBroken(Refused):
    """The opaque cover is not intact: whoever sees the bag might learn what is in it."""

    code = "cover_broken"

    def __init__(self) -> None:
        super().__init__("The cover is not intact. Do not begin, and keep the bag out of sight.")


class KitNotDispensed(Refused):
    """The pharmacist has not handed the bag over."""

    code = "kit_not_dispensed"

    def __init__(self) -> None:
        super().__init__("This kit has not been handed over. Do not use it. Call the pharmacist.")


class KitNotUsable(Refused):
    """The bag was wasted, or met another end, by the record."""

    code = "kit_not_usable"

    def __init__(self) -> None:
        super().__init__("This kit may no longer be used. Call the pharmacist.")


class KitLeftBehind(Refused):
    """The bag was released here; since then the participant was transferred, and the infusion with them."""

    code = "kit_left_behind"

    def __init__(self) -> None:
        super().__init__("The participant was transferred to another site. Do not use this bag.")


class BagElsewhere(Refused):
    """Another site has the infusion's bag in its hands, and may hang it."""

    code = "bag_elsewhere"

    def __init__(self, kit: Kit) -> None:
        super().__init__(
            f"Bag {kit.number} of this infusion was handed over at {kit.site_id}. "
            "Ask there whether it was hung; if not, waste it first."
        )


_TOLD_AS = {
    KitMismatch.code: ("wrong_kit", "The kit that was infused was made for another infusion."),
    ParticipantMismatch.code: ("wrong_person", "The person who was scanned is another participant."),
}


@dataclass(frozen=True, kw_only=True)
class Start:
    """
    The beginning of an infusion, as the bedside states it; the infusion and kit are held.

    :param participant_scan: the hospital's own identifier, or the randomization number.
    """

    infusion: Infusion
    kit: Kit
    participant_scan: str
    started_at: dt.datetime
    cover_intact: bool

    @property
    def before_release(self) -> bool:
        """Whether it is said to have begun before the bag left the pharmacy."""
        return self.started_at < self.kit.released_at - CLOCK_SLACK


def infusion_to_start(
    infusion_id: uuid.UUID, kit_scan: str, *, fact: bool, by: User, at: dt.datetime
) -> Infusion:
    """
    Return the infusion that ``by`` may start; docs/screening-and-transfer.md.

    :param fact: whether it has begun: with a bag left behind, that is entered where the participant is.
    :raises trialsite.errors.NotFound: if the infusion is not at a site of ``by``.
    :raises KitLeftBehind: if only the bag is, with a near miss in ``events``.
    """
    try:
        return infusion_within_reach(infusion_id, by=by, permission=Permission.ADMINISTER)
    except NotFound:
        try:
            number = read_kit_scan(kit_scan)
        except KitNumberMisread:
            number = ""
        left = infusion_of_bag_left(infusion_id, number, by=by)
        if fact or left is None:
            raise
    stop = KitLeftBehind()
    leave_near_miss(stop, left, kit=number, by=by, at=at)
    raise stop


def leave_near_miss(stop: Refused, infusion: Infusion, *, kit: str | None, by: User, at: dt.datetime) -> None:
    """Let the refusal carry what is kept although the transaction is not: that it nearly happened."""
    if stop.status != 409:
        return
    near_miss = event(
        Kind.BEDSIDE_STOPPED,
        by=by,
        permission=Permission.ADMINISTER,
        at=at,
        infusion=infusion,
        kit=kit,
        data={"stop": stop.code},
    )
    stop.leave(near_miss)


def refuse_bag_elsewhere(infusion: Infusion, *, by: User, at: dt.datetime) -> None:
    """
    Refuse to say of an infusion that it was not given, while others may be about to give it.

    :raises BagElsewhere: if its bag was handed over at a site where ``by`` declares none missed.
    """
    kit = Kit.objects.filter(pk=infusion.kit_id).first()
    if kit is None or may(by, Permission.MISS, site=kit.site_id):
        return
    if effective_status(kit.status, kit.expires_at, at) == KitStatus.DISPENSED:
        raise BagElsewhere(kit)


def mismatches(start: Start) -> Iterator[Refused]:
    """Return whether bag or person are not the infusion's, in the order in which they are scanned."""
    if start.kit.infusion_id != start.infusion.pk:
        yield KitMismatch()
    if not _is_participant(start.participant_scan, start.infusion):
        yield ParticipantMismatch()


def _is_participant(participant_scan: str, infusion: Infusion) -> bool:
    participant = infusion.participant
    number = Allocation.objects.values_list("randomization_number", flat=True).get(pk=participant.pk)
    if participant_scan.strip().upper() == number.upper():
        return True
    scanned = identity_hash(participant_scan, study=protocol_for(infusion).protocol)
    return hmac.compare_digest(scanned, participant.identity_hash)


def hard_stops(start: Start) -> Iterator[Refused]:
    """Return what speaks against beginning then: visit, expiry, planned end, withdrawal, cover."""
    infusion, kit, began = start.infusion, start.kit, start.started_at
    protocol = protocol_for(infusion)
    if began < infusion.opens_at:
        yield WindowNotOpen()
    if began >= infusion.closes_at:
        yield WindowClosed()
    try:
        check_intervals(infusion, at=began)
    except IntervalTooShort as too_short:
        yield too_short
    if began >= kit.expires_at:
        yield KitExpired()
    elif would_expire_before_end(kit.expires_at, began, protocol.infusion_minutes):
        yield WouldExpire()
    if Discontinuation.objects.filter(participant=infusion.participant_id, at__lte=began).exists():
        yield ParticipantWithdrawn()
    if not start.cover_intact:
        yield CoverBroken()


def check_states(start: Start) -> None:
    """
    Refuse what the record does not have ready for a start.

    :raises KitNotDispensed, KitNotUsable: by the bag.
    :raises supply.domain.moves.IllegalMove: if the infusion may not begin.
    """
    if start.kit.status == KitStatus.RELEASED:
        raise KitNotDispensed
    if start.kit.status != KitStatus.DISPENSED:
        raise KitNotUsable
    infusion_states.after(start.infusion.status, InfusionAction.START)


def told(start: Start, found: list[Refused]) -> list[tuple[str, str]]:
    """Return code and words of the deviations of what has begun: the stops found, and the record's."""
    infusion, kit = start.infusion, start.kit
    deviations = [_TOLD_AS.get(stop.code, (stop.code, str(stop))) for stop in found]
    if start.before_release:
        deviations.append(("before_release", "The record has the release of this kit later."))
    if kit.status == KitStatus.RELEASED:
        deviations.append(("not_dispensed", "The handing over of this kit was not recorded."))
    ruled_out = infusion_states.may(infusion.status, InfusionAction.FOUND_STARTED)
    if ruled_out or kit.status not in UNSTARTED:
        said = f"Until then the record said: infusion {infusion.status}, kit {kit.status}."
        deviations.append(("found_started", said))
    return deviations
