"""What the tests of transfers share: acts of the study manager, and who sees what."""

from __future__ import annotations

from typing import Any

from randomization.models import Participant
from supply.models import Infusion
from supply.services.taking_along import Moved
from supply.services.transfers import transfer_participant, transfer_participants
from tests.supply.day import Day

NEW = "HANKOU"


def move(day: Day, participant: Participant | Infusion, **other: Any) -> Moved:
    if isinstance(participant, Infusion):
        participant = participant.participant
    stated = {
        "participant_id": participant.pk,
        "to_site": NEW,
        "reason": "Moved to a designated hospital",
        "transferred_at": day.now,
        "by": day.person("study_manager"),
        "at": day.now,
    }
    return transfer_participant(**stated | other)


def move_many(day: Day, **other: Any) -> list[Moved]:
    stated = {
        "from_site": "PUREN",
        "to_site": NEW,
        "participants": None,
        "reason": "Moved to a designated hospital",
        "transferred_at": day.now,
        "by": day.person("study_manager"),
        "at": day.now,
    }
    return transfer_participants(**stated | other)


def attention(moved: Moved) -> list[tuple[int, str]]:
    return [(one.infusion, one.code) for one in moved.attention]


def sites(participant: Participant) -> list[str]:
    return list(
        Infusion.objects.filter(participant=participant).order_by("number").values_list("site_id", flat=True)
    )


def sees(day: Day, who: str, path: str) -> bool:
    status = day.world.client(who).get(f"/api/v1/{path}").status_code
    assert status in (200, 404)
    return status == 200
