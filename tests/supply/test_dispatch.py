"""The release of covered bags: when, in which order, and what never gets out."""

from __future__ import annotations

import pytest

from supply.models import Kit, Preparation
from supply.selectors import infusions_visible_to, kits_visible_to
from supply.services.dispatch import release_due
from tests.supply.day import MINUTE, fresh
from trialsite.audit.kinds import Kind
from trialsite.audit.models import VisibleEvent


def seen_at_the_site(day) -> tuple[list, list, list]:
    """Return what masked people can see of infusions and kits, and of the trail."""
    nurse = day.person("nurse")
    infusions = infusions_visible_to(nurse, at=day.now).values("id", "present_status", "present_kit")
    kits = kits_visible_to(nurse, at=day.now).values()
    return list(infusions), list(kits), list(VisibleEvent.objects.values("kind", "event"))


@pytest.mark.requirement(53)
def test_a_bag_is_released_at_the_dispatch_minute_and_not_before(day, infusion):
    made = day.make(infusion)  # covered at minute 2
    assert made.dispatch_at.minute == 15

    assert release_due(at=made.dispatch_at - MINUTE) == 0
    assert not Kit.objects.exists()
    assert release_due(at=made.dispatch_at) == 1
    assert Kit.objects.get().number == made.kit_number_id


def test_the_recorded_time_is_the_dispatch_minute_however_late_the_sweep(day, infusion):
    made = day.make(infusion)

    release_due(at=made.dispatch_at + 47 * MINUTE)

    assert Kit.objects.get().released_at == made.dispatch_at
    event = VisibleEvent.objects.get(kind=Kind.KIT_RELEASED).event
    assert (event["act"], event["role"]) == ("system:signer", "preparer")
    assert event["at"] == f"{made.dispatch_at:%Y-%m-%dT%H:%M:%S.000Z}"


@pytest.mark.requirement(44)
def test_releasing_twice_releases_once(day, infusion):
    made = day.make(infusion)

    assert [release_due(at=made.dispatch_at) for _ in range(2)] == [1, 0]
    assert VisibleEvent.objects.filter(kind=Kind.KIT_RELEASED).count() == 1


@pytest.mark.requirement(21)
def test_bags_of_one_dispatch_go_out_in_the_order_of_their_numbers(day):
    made = [day.make(day.enrol()[0]) for _ in range(4)]

    release_due(at=made[0].dispatch_at)

    released = [event.event["about"]["kit"] for event in VisibleEvent.objects.filter(kind=Kind.KIT_RELEASED)]
    assert released == sorted(released)
    assert len(released) == 4


@pytest.mark.requirement(53)
def test_nothing_of_a_preparation_or_its_remake_is_seen_on_the_masked_side_before_the_release(day, infusion):
    made = day.order(infusion)
    before = seen_at_the_site(day)

    day.complete(made)
    day.verify(made)
    day.cover(made)
    assert seen_at_the_site(day) == before
    day.reject(made)
    assert seen_at_the_site(day) == before
    remake = day.preparation(infusion)
    day.complete(remake)
    day.verify(remake)
    day.cover(remake)
    assert seen_at_the_site(day) == before

    release_due(at=fresh(remake).dispatch_at)
    number = fresh(remake).kit_number_id
    assert [kit.number for kit in kits_visible_to(day.person("nurse"), at=day.now)] == [number]


def test_a_bag_whose_order_was_cancelled_is_not_released(day, infusion):
    made = day.make(infusion)
    day.cancel_order(infusion)

    assert release_due(at=made.dispatch_at) == 0
    assert fresh(infusion).status == "open"


def test_a_rejected_bag_is_not_released(day, infusion):
    made = day.make(infusion)
    day.reject(made)

    assert release_due(at=made.dispatch_at) == 0


def test_a_bag_that_expired_before_the_sweep_came_never_reaches_the_ward(day, infusion):
    made = day.make(infusion)
    day.now = fresh(made).expires_at

    assert release_due(at=day.now) == 0
    assert not Kit.objects.exists()

    # It waits on the unmasked side for a preparer, who makes another.
    assert fresh(made).status == "covered"
    day.reject(made)
    assert Preparation.objects.filter(order=made.order).count() == 2
