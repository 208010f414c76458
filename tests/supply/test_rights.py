"""The whole day under the logins that the processes really have."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import ProgrammingError

from supply.models import Infusion, Kit, Lot, Preparation
from supply.services import desk, dispatch, lots, ordering, schedule
from tests.supply.day import HOUR, Day, fresh
from tests.world import World, a_participant, a_world
from trialsite.accounts.models import User
from trialsite.outbox.models import Message

MASKED, UNMASKED, WORKER = "irt_masked", "irt_unmasked", "irt_worker"


@pytest.fixture
def world(a_fresh_database, tmp_path, settings) -> World:
    return a_world(tmp_path, settings)


@pytest.fixture
def face(a_fresh_database):
    return a_fresh_database.logged_in_as


def order(day: Day, infusion: Infusion) -> None:
    """Order a bag, and nothing that the masked face could not do."""
    ordering.order_infusion(
        infusion_id=infusion.pk,
        weight_kg=Decimal("61.5"),
        weighed_at=day.now,
        needed_at=day.now + HOUR,
        ward="Ward 7",
        by=day.person("investigator"),
        at=day.now,
    )


def make(day: Day, infusion: Infusion) -> Preparation:
    """Take the order up and make the bag up to its release, as the unmasked face and the signer."""
    desk.take_up_orders()
    made = day.preparation(infusion)
    day.complete(made)
    day.verify(made)
    day.cover(made)
    day.now = fresh(made).dispatch_at
    dispatch.release_due(at=day.now)
    return made


@pytest.mark.requirement(50, 78)
def test_each_face_has_the_rights_for_its_part_of_the_day_and_no_others(day, face):
    participant = a_participant(day.world)
    with face(MASKED):
        first, second, *_ = day.enrol(participant)
        order(day, first)
        day.cancel_order(first)
        order(day, first)
        for hidden in (Preparation, Lot):
            with pytest.raises(ProgrammingError, match="permission denied"):
                hidden.objects.first()
    with face(UNMASKED):
        day.receive("uc_msc", number="MORE")
        desk.take_up_orders()
        day.reject(day.preparation(first))
        make(day, first)
        lots.publish_readiness(at=day.now)
    with face(MASKED):
        day.dispense(first)
        day.waste(fresh(first).kit)
        order(day, first)
    with face(UNMASKED):
        make(day, first)
    with face(MASKED):
        day.dispense(first)
        day.start(first)
        day.wait(hours=1)
        day.stop(first)
        day.miss(second)
        day.discontinue(participant)

    assert [infusion.status for infusion in Infusion.objects.order_by("number")] == [
        "given",
        "missed",
        "cancelled",
        "cancelled",
    ]


def test_the_masked_face_expires_a_bag_itself_where_no_sweep_has_run(day, face):
    with face(MASKED):
        infusion = day.enrol()[0]
        order(day, infusion)
    with face(UNMASKED):
        make(day, infusion)
    with face(MASKED):
        day.now = Kit.objects.get().expires_at
        order(day, infusion)

    assert (fresh(infusion).status, Kit.objects.get().status) == ("ordered", "expired")


@pytest.mark.requirement(47)
def test_the_worker_has_the_rights_for_its_sweeps_and_sees_nothing_of_a_preparation(day, face):
    User.objects.filter(username="nurse").update(email="nurse@example.org")
    waiting, bag, ordered = (day.enrol()[0] for _ in range(3))
    for infusion in (bag, ordered):
        day.order(infusion)
    made = day.preparation(bag)
    day.complete(made)
    day.verify(made)
    day.cover(made)
    day.now = fresh(made).dispatch_at
    dispatch.release_due(at=day.now)

    with face(WORKER):
        for at in (day.now, Kit.objects.get().expires_at, waiting.closes_at + HOUR):
            schedule.run_all(at=at)
        with pytest.raises(ProgrammingError, match="permission denied"):
            Preparation.objects.first()

    firsts = [fresh(infusion).status for infusion in (waiting, bag, ordered)]
    assert firsts == ["undocumented", "undocumented", "undocumented"]
    assert Infusion.objects.filter(number=2, status="open").count() == 3
    assert Kit.objects.get().status == "expired"
    assert Message.objects.exclude(sent_at=None).exists()
