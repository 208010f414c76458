"""What the tests of unblinding share: a randomized participant, a bag that was given, a request."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection

from randomization.domain.schedule import generate_arms, spec_of
from randomization.models import Allocation
from supply.models import Infusion, Kit, KitNumber, Order, Preparation
from supply.services.enrolment import randomize_participant
from tests.world import SEED, STUDY, World, a_participant, the_protocol
from trialsite.audit.services import public_keys
from trialsite.clock.services import trial_now
from trialsite.sealing import seal_body

PATH = "/api/v1/unblindings"


def a_randomized_participant(world: World, *, by: str = "investigator", **other: Any) -> Allocation:
    participant = a_participant(world, by=by, **other)
    return randomize_participant(
        participant_id=participant.pk, stratum=participant.stratum_levels, by=world.person(by), at=trial_now()
    )


def arm_of(allocation: Allocation) -> int:
    """Return what the list says, from its seed."""
    arms = generate_arms(spec_of(the_protocol(), length=8), SEED)
    return arms[allocation.stratum_id][allocation.position]


def ask(
    world: World,
    *,
    by: str = "investigator",
    key: str = "one",
    steps: int = 0,
    signature: dict[str, str] | None = None,
    **named: Any,
) -> Any:
    body = {
        "category": "emergency",
        "reason": "Anaphylaxis during the second infusion",
        "reveal_to": "requester",
        "signature": signature or world.signature(by, steps=steps),
        **{name: str(value) for name, value in named.items()},
    }
    return world.client(by).post(PATH, body, headers={"Idempotency-Key": key})


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def a_started_bag(allocation: Allocation, *, number: int = 1, treatment: str = "What was in the bag") -> Kit:
    """Give the participant an infusion whose bag was prepared, as its sealed contents say."""
    infusion = Infusion.objects.get(participant=allocation.participant, number=number)
    kit_number = KitNumber.objects.filter(taken=False).order_by("position")[0]
    KitNumber.objects.filter(pk=kit_number.pk).update(taken=True)
    now, by = trial_now(), allocation.randomized_by
    order = Order.objects.create(
        infusion=infusion,
        weight_kg="61.5",
        weighed_at=now,
        needed_at=now,
        ward="ICU",
        ordered_at=now,
        ordered_by=by,
    )
    preparation = Preparation(order=order, site=infusion.site, status="released", kit_number=kit_number)
    preparation.sealed_contents = seal_body(
        {"treatment": treatment}, event_id=preparation.pk, study=STUDY, at=now,
        recipients=(public_keys().auditor, public_keys().code_break),
    )  # fmt: skip
    preparation.save()
    kit = Kit.objects.create(
        number=kit_number.pk, site=infusion.site, participant=allocation.participant, infusion=infusion,
        status="used", released_at=now, expires_at=now + dt.timedelta(hours=6),
    )  # fmt: skip
    Infusion.objects.filter(pk=infusion.pk).update(kit=kit, started_at=now, volume_ml="97.5", status="given")
    return kit


def forget_used_codes() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_usedcode")
