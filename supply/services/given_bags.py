"""What a participant was given, for whoever breaks their code. Reads only, and opens nothing."""

from __future__ import annotations

import uuid

from randomization.services.unblinding import SealedBag
from supply.domain.kit_codes import KitNumberMisread
from supply.domain.scans import read_kit_scan
from supply.models import Infusion, Preparation


def given_bags(participant_id: uuid.UUID) -> list[SealedBag]:
    """Return the bag of every infusion that was started, in the order of the infusions."""
    infusions = Infusion.objects.filter(
        participant=participant_id, started_at__isnull=False, kit__isnull=False
    ).order_by("number")
    prepared = {
        preparation.kit_number_id: preparation
        for preparation in Preparation.objects.filter(
            kit_number__in=[infusion.kit_id for infusion in infusions]
        )
    }
    return [_bag(infusion, prepared.get(infusion.kit_id)) for infusion in infusions]


def participant_of_kit(kit_scan: str) -> uuid.UUID | None:
    """Return who was given a bag, else whom it was made for; None if the scan is no bag's number."""
    try:
        number = read_kit_scan(kit_scan)
    except KitNumberMisread:
        return None
    given = Infusion.objects.filter(kit=number, started_at__isnull=False).first()
    if given:
        return given.participant_id
    preparation = Preparation.objects.filter(kit_number=number).select_related("order__infusion").first()
    return preparation.order.infusion.participant_id if preparation else None


def _bag(infusion: Infusion, preparation: Preparation | None) -> SealedBag:
    assert infusion.started_at is not None  # noqa: S101 - the query above
    return SealedBag(
        kit_number=str(infusion.kit_id),
        infusion=infusion.number,
        given_at=infusion.started_at,
        volume_ml=infusion.volume_ml,
        preparation_id=preparation.pk if preparation else None,
        sealed_contents=preparation.sealed_contents if preparation else None,
    )
