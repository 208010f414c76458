"""Revisions of screenings and transfers that meet each other, or randomization, in the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from randomization.models import Allocation, Participant, Transfer
from randomization.services.screening import AlreadyInTrial
from randomization.services.screening_revisions import Revision, revise_screening
from supply.models import Infusion, Kit, Order
from supply.services import ordering
from supply.services.dispatch import release_due
from supply.services.transfers import NobodyToTransfer
from tests.concurrency.test_allocation import at_once, randomizing
from tests.supply.day import HOUR, Day, fresh
from tests.supply.moving import NEW, move, move_many
from tests.world import World, a_participant, a_world, answers
from trialsite.clock.services import trial_now
from trialsite.errors import FieldsInvalid, NotFound, Refused


@pytest.fixture
def world(a_fresh_database, tmp_path, settings) -> World:
    return a_world(tmp_path, settings, length=48)


@pytest.fixture
def day(world: World) -> Day:
    return Day(world)


def whole(act: Callable[[], Any]) -> Callable[[], Any]:
    """Run the act in a transaction of its own, as a request does."""

    def run() -> Any:
        with transaction.atomic(durable=True):
            return act()

    return run


def revising(world: World, participant: Participant, **answered: bool) -> Callable[[], str]:
    by = world.person("investigator" if participant.site_id == "PUREN" else "investigator_2")

    def revise() -> str:
        revision = revise_screening(
            participant_id=participant.pk,
            revision=Revision(eligibility=answered, measurements={}, strata={}),
            reason="read wrongly",
            by=by,
            at=trial_now(),
        )
        return str(revision.new["status"])

    return whole(revise)


@pytest.mark.requirement(13)
def test_of_many_failures_of_one_person_taken_back_at_once_one_becomes_eligible(world, a_fresh_database):
    failed = [
        a_participant(
            world,
            by="investigator" if site == "PUREN" else "investigator_2",
            site=site,
            local_identifier="AB1234567",
            eligibility=answers(E5=True),
        )
        for site in ("PUREN", NEW) * 4
    ]

    with a_fresh_database.logged_in_as("irt_masked"):
        outcomes = at_once(8, [revising(world, one, E5=False) for one in failed])

    assert outcomes.count("eligible") == 1
    assert sum(isinstance(outcome, AlreadyInTrial) for outcome in outcomes) == 7
    assert Participant.objects.filter(status="eligible").count() == 1


@pytest.mark.requirement(8, 13)
def test_a_failure_taken_back_and_a_new_screening_at_once_leave_one_in_the_trial(world):
    for number in range(4):
        failed = a_participant(world, local_identifier=f"TWICE-{number}", eligibility=answers(E5=True))

        outcomes = at_once(
            2,
            [
                revising(world, failed, E5=False),
                lambda n=number: a_participant(world, local_identifier=f"TWICE-{n}").status,
            ],
        )

        assert sorted(map(str, outcomes)) == ["This person is already in the trial.", "eligible"]


@pytest.mark.requirement(8, 12)
def test_who_is_found_ineligible_and_randomized_at_once_is_one_of_the_two(world):
    for _ in range(6):
        participant = a_participant(world)

        randomized, revised = at_once(
            2, [randomizing(world, participant), revising(world, participant, E5=True)]
        )

        holds_a_slot = Allocation.objects.filter(participant=participant).exists()
        assert holds_a_slot is not isinstance(randomized, Refused)
        assert holds_a_slot is isinstance(revised, Refused)
        assert fresh(participant).status == ("eligible" if holds_a_slot else "screen_failed")


@pytest.mark.requirement(48)
@pytest.mark.parametrize("several", [False, True])
def test_who_is_transferred_and_randomized_at_once_has_a_schedule_at_one_site(world, day, several):
    for _ in range(6):
        participant, now = a_participant(world), trial_now()
        when = {"at": now, "transferred_at": now}

        def transfer(one: Participant = participant, when: Any = when) -> Any:
            return move_many(day, participants=[one.pk], **when) if several else move(day, one, **when)

        moved, randomized = at_once(2, [whole(transfer), randomizing(world, participant)])

        assert not isinstance(moved, Exception)
        assert isinstance(randomized, int | NotFound)
        planned = Infusion.objects.filter(participant=participant).values_list("site_id", flat=True)
        assert set(planned) == (set() if isinstance(randomized, NotFound) else {NEW})


@pytest.mark.requirement(48)
def test_everybody_sent_on_twice_at_once_goes_once(world, day):
    for _ in range(8):
        a_participant(world)

    outcomes = at_once(4, [whole(lambda: move_many(day))] * 4)

    refused = [outcome for outcome in outcomes if isinstance(outcome, NobodyToTransfer)]
    (moved,) = [outcome for outcome in outcomes if outcome not in refused]
    assert (len(refused), len(moved)) == (3, 8)
    assert Transfer.objects.count() == 8


@pytest.mark.requirement(48)
def test_who_is_being_screened_while_everybody_goes_goes_too(world, day):
    screened = threading.Event()

    def screen() -> str:
        with transaction.atomic(durable=True):
            number = a_participant(world).screening_number
            screened.set()
            time.sleep(0.5)  # not committed yet
        return number

    def send() -> list[str]:
        screened.wait(timeout=30)
        return [one.transfer.participant.screening_number for one in whole(lambda: move_many(day))()]

    number, sent = at_once(2, [screen, send])

    assert sent == [number]


@pytest.mark.requirement(48)
def test_one_participant_sent_to_one_site_by_many_at_once_goes_once(world, day):
    participant = a_participant(world)

    outcomes = at_once(6, [whole(lambda: move(day, participant))] * 6)

    assert sum(isinstance(outcome, FieldsInvalid) for outcome in outcomes) == 5
    assert Transfer.objects.count() == 1


@pytest.mark.requirement(48)
def test_a_bag_released_during_a_transfer_is_left_behind_or_never_released(day):
    for _ in range(4):
        infusion = day.enrol()[0]
        made = day.make(infusion)

        moved, _ = at_once(
            2, [whole(lambda i=infusion: move(day, i)), lambda m=made: release_due(at=m.dispatch_at)]
        )

        left = [(one.code, one.kit_number) for one in moved.attention if one.code == "bag_left"]
        kits = list(Kit.objects.filter(infusion=infusion).values_list("number", flat=True))
        assert left == [("bag_left", number) for number in kits]
        assert (fresh(infusion).site_id, fresh(infusion).status, fresh(infusion).kit) == (NEW, "open", None)


@pytest.mark.requirement(48)
def test_an_order_placed_at_the_old_site_during_a_transfer_is_seen_by_it_or_refused(day):
    for component in ("uc_msc", "placebo_diluent"):
        day.receive(component, site=NEW, by=day.person("preparer_2"))
    for _ in range(4):
        infusion = day.enrol()[0]
        stated: dict[str, Any] = {
            "weight_kg": infusion.participant.weight_kg,
            "weighed_at": day.now,
            "needed_at": day.now + HOUR,
            "ward": "3",
            "by": day.person("investigator"),
            "at": day.now,
        }

        moved, ordered = at_once(
            2,
            [
                whole(lambda i=infusion: move(day, i)),
                whole(lambda i=infusion, s=stated: ordering.order_infusion(infusion_id=i.pk, **s)),
            ],
        )

        open_wards = list(
            Order.objects.filter(infusion=infusion, closed_at=None).values_list("ward", flat=True)
        )
        if isinstance(ordered, NotFound):
            assert (moved.ordered_again, open_wards) == ([], [])
        else:
            assert (moved.ordered_again, open_wards) == ([1], ["from PUREN"])
