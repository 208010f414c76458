"""Two who enter envelopes of one site at once: the order is kept, and no envelope is anybody else's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from randomization.models import Allocation, Slot, SpoiledSlot, Stratum
from randomization.services import emergency
from supply.services.paper_enrolment import enter_paper_randomization
from tests.concurrency.test_allocation import at_once
from tests.world import World, a_participant, a_world
from trialsite.clock.services import trial_now


@pytest.fixture
def world(a_fresh_database, tmp_path, settings) -> World:
    return a_world(tmp_path, settings)


def stating(world: World, number: str) -> dict[str, object]:
    return {
        "randomization_number": number,
        "reason": "Power cut.",
        "by": world.person("investigator"),
        "at": trial_now() + dt.timedelta(hours=1),
    }


def entering(world: World, number: str) -> Callable[[], str]:
    participant, stated = a_participant(world), stating(world, number)

    def enter() -> str:
        return enter_paper_randomization(
            participant_id=participant.pk,
            stratum=participant.stratum_levels,
            randomized_at=trial_now(),
            opened_by="",
            **stated,
        ).randomization_number

    return enter


@pytest.mark.requirement(9, 83)
def test_one_envelope_entered_for_four_people_and_as_spoiled_at_once_is_one_persons_or_spoiled(world):
    first = Slot.objects.get(stratum="emergency=PUREN", position=0).randomization_number
    stated = stating(world, first)

    def spoil() -> str:
        return emergency.enter_spoiled_envelope(site="PUREN", spoiled_at=trial_now(), **stated).reason

    outcomes = at_once(6, [*(entering(world, first) for _ in range(4)), spoil, spoil])

    assert sum(isinstance(outcome, emergency.EnvelopeEntered) for outcome in outcomes) == 5
    assert Allocation.objects.count() + SpoiledSlot.objects.count() == 1
    assert Stratum.objects.get(pk="emergency=PUREN").next_slot == 1


@pytest.mark.requirement(9, 83)
def test_eight_envelopes_entered_at_once_are_entered_in_order_or_told_to_wait(world):
    slots = Slot.objects.filter(stratum="emergency=PUREN").order_by("position")[:8]
    works = [entering(world, slot.randomization_number) for slot in slots]

    outcomes = at_once(8, works)

    taken = list(Allocation.objects.order_by("position").values_list("position", flat=True))
    assert taken == list(range(len(taken)))
    assert len(taken) >= 1
    refused = [outcome for outcome in outcomes if isinstance(outcome, emergency.EarlierEnvelopeFirst)]
    assert len(taken) + len(refused) == 8
