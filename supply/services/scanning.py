"""Is this the bag of this infusion? Asked before it is handed over and again at the bedside."""

from __future__ import annotations

import datetime as dt

from django.db.models import Q

from supply.domain.kit_states import KitStatus, effective_status
from supply.domain.scans import read_kit_scan
from supply.models import Infusion, Kit
from supply.services.records import locked_kit
from trialsite.errors import Refused


class KitUnknown(Refused):
    """No kit of that number was released at this site."""

    code = "kit_unknown"

    def __init__(self) -> None:
        super().__init__("No kit of this number was released here. Do not use it. Call the pharmacy.")


class KitMismatch(Refused):
    """The kit is another participant's, or another infusion's."""

    code = "kit_mismatch"

    def __init__(self) -> None:
        super().__init__(
            "This kit is not for this participant and infusion. Do not use it. Call the pharmacy."
        )


class KitExpired(Refused):
    """The time printed on the label is over."""

    code = "kit_expired"

    def __init__(self) -> None:
        super().__init__("This kit has expired. Do not use it. Call the pharmacy.")


class WouldExpire(Refused):
    """The bag would expire while it runs."""

    code = "would_expire"

    def __init__(self) -> None:
        super().__init__("This kit would expire before the planned end of the infusion. Do not use it.")


def scanned_kit(kit_scan: str, infusion: Infusion) -> Kit:
    """
    Return the scanned kit, held, which is one of the held infusion's.

    The words of a refusal do not depend on what was scanned.

    :raises supply.domain.kit_codes.KitNumberMisread: if the scan holds no kit number.
    :raises KitUnknown: if no kit of that number was released there, or for the participant elsewhere.
    :raises KitMismatch: if the kit is not this infusion's.
    """
    kit = released_kit(kit_scan, infusion)
    # One that was left behind at another site was made for this infusion too.
    if kit.infusion_id != infusion.pk or infusion.kit_id not in (None, kit.number):
        raise KitMismatch
    return kit


def released_kit(kit_scan: str, infusion: Infusion) -> Kit:
    """
    Return the scanned kit, held: any that was released at the site of the held infusion, or for its
    participant at another.

    :raises supply.domain.kit_codes.KitNumberMisread: if the scan holds no kit number.
    :raises KitUnknown: if no such kit was released.
    """
    number = read_kit_scan(kit_scan)
    near = Q(site=infusion.site_id) | Q(participant=infusion.participant_id)
    if not Kit.objects.filter(near, pk=number).exists():
        raise KitUnknown
    return locked_kit(number)


def is_expired(kit: Kit, *, at: dt.datetime) -> bool:
    """Say whether the kit's time was over at ``at``, or was found to be over before."""
    return effective_status(kit.status, kit.expires_at, at) == KitStatus.EXPIRED
