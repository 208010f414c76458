"""
The hard stops at the bedside, in the order in which they are asked.

What is about to happen is stopped at the first of them, and the near miss is put on the trail. What
has happened is never refused: entered late, each of them becomes a deviation of the infusion. No
sentence here depends on what the bag holds.
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from randomization.identity import identity_hash
from randomization.models import Allocation, Discontinuation
from supply.domain.expiry import would_expire_before_end
from supply.domain.visit_windows import IntervalTooShort, check_interval
from supply.models import Infusion, Kit
from supply.selectors import protocol_for
from supply.services.ordering import latest_start
from supply.services.scanning import KitExpired
from trialsite.errors import Refused


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


class WouldExpire(Refused):
    """The bag would expire while it runs."""

    code = "would_expire"

    def __init__(self) -> None:
        super().__init__("This kit would expire before the planned end of the infusion. Do not begin.")


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


@dataclass(frozen=True, kw_only=True)
class Start:
    """The beginning of an infusion, as the bedside states it; the infusion and kit are held."""

    infusion: Infusion
    kit: Kit
    started_at: dt.datetime
    cover_intact: bool


def check_person(participant_scan: str, infusion: Infusion) -> None:
    """
    Refuse a person who is not the infusion's participant.

    :param participant_scan: the hospital's own identifier, or the randomization number.
    :raises ParticipantMismatch: if it is another's, or nobody's.
    """
    participant = infusion.participant
    number = Allocation.objects.values_list("randomization_number", flat=True).get(pk=participant.pk)
    if participant_scan.strip().upper() == number.upper():
        return
    scanned = identity_hash(participant_scan, study=protocol_for(infusion).protocol)
    if not hmac.compare_digest(scanned, participant.identity_hash):
        raise ParticipantMismatch


def hard_stops(start: Start) -> Iterator[Refused]:
    """Return what speaks against beginning then: visit, expiry, planned end, withdrawal, cover."""
    infusion, kit, began = start.infusion, start.kit, start.started_at
    protocol = protocol_for(infusion)
    if began < infusion.opens_at:
        yield WindowNotOpen()
    if began >= infusion.closes_at:
        yield WindowClosed()
    try:
        check_interval(
            previous_started_at=latest_start(infusion), at=began, min_hours=protocol.min_interval_hours
        )
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
