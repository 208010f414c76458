"""What has happened is recorded, whatever the record expected: never refused, always with its deviations."""

from __future__ import annotations

import pytest

from supply.models import Infusion, Kit, Preparation
from supply.services import schedule
from supply.services.dispatch import release_due
from supply.services.given_bags import given_bags, participant_of_kit
from tests.supply.day import HOUR, MINUTE, Day, fresh
from trialsite.audit.canonical import parse
from trialsite.audit.models import Entry
from trialsite.audit.story import Story
from trialsite.errors import FieldsInvalid, Refused

NIGHT = {"reason": "found out at the change of shift"}


def codes(infusion: Infusion) -> list[str]:
    return [entry["code"] for entry in fresh(infusion).deviations]


def two_bags(day: Day) -> tuple[Infusion, Infusion]:
    """Return the first infusions of two participants, each with its own bag handed over."""
    mine, neighbours = day.enrol()[0], day.enrol()[0]
    bag, _ = [day.make(infusion) for infusion in (mine, neighbours)]
    day.now = bag.dispatch_at
    assert release_due(at=day.now) == 2
    for infusion in (mine, neighbours):
        day.dispense(infusion)
    return fresh(mine), fresh(neighbours)


def faults_of_the_trail() -> list[str]:
    story = Story()
    entries = Entry.objects.order_by("position")
    return [fault for entry in entries for fault in story.read(parse(bytes(entry.body)))]


# What is a fact


@pytest.mark.requirement(49)
@pytest.mark.parametrize("meanwhile", ["cover", "window", "sweep", "discontinuation"])
def test_what_began_some_minutes_ago_is_recorded_at_once_with_its_reason(day, infusion, meanwhile):
    day.now = infusion.closes_at - 2 * HOUR
    kit = day.ready_to_start(infusion)
    began = day.now = infusion.closes_at - 5 * MINUTE
    day.wait(minutes=10)
    if meanwhile == "sweep":
        schedule.close_windows(at=day.now)
    elif meanwhile == "discontinuation":
        day.discontinue(infusion.participant, discontinued_at=day.now - 9 * MINUTE)
    stated = {"started_at": began, "kit_scan": kit.number, "cover_intact": meanwhile != "cover"}
    if meanwhile in ("cover", "discontinuation"):
        with pytest.raises(Refused):
            day.start(infusion, **stated)

    day.start(infusion, **stated, **NIGHT)

    told = {"cover": ["cover_broken"], "discontinuation": ["found_started"]}
    assert fresh(infusion).status == "started"
    assert codes(infusion) == told.get(meanwhile, [])
    assert faults_of_the_trail() == []


def test_a_reason_does_not_let_begin_what_begins_only_now(day, infusion):
    day.ready_to_start(infusion)

    with pytest.raises(Refused) as refusal:
        day.start(infusion, started_at=day.now - MINUTE, cover_intact=False, **NIGHT)

    assert refusal.value.code == "cover_broken"


def test_a_bag_that_was_hung_before_the_record_released_it_is_recorded_as_that(day, infusion):
    kit = day.ready_to_start(infusion)
    day.wait(minutes=20)

    with pytest.raises(FieldsInvalid):
        day.start(infusion, started_at=kit.released_at - HOUR, reason="", at=kit.released_at - 50 * MINUTE)
    day.start(infusion, started_at=kit.released_at - 2 * MINUTE, **NIGHT)

    assert codes(infusion) == ["late_entry", "before_release"]


# Intervals


@pytest.mark.requirement(46)
@pytest.mark.parametrize(("hours", "told"), [(36, []), (35, ["interval_too_short"])])
def test_an_infusion_entered_after_the_next_one_is_judged_by_the_gap_between_them(day, hours, told):
    first, second, *_ = day.enrol()
    day.now = first.closes_at - 3 * HOUR
    day.ready_to_start(first)
    began = day.now
    day.now += hours * HOUR
    Infusion.objects.filter(pk=second.pk).update(started_at=day.now, status="given")

    day.start(first, started_at=began, kit_scan=Kit.objects.get().number, **NIGHT)

    assert [code for code in codes(first) if code == "interval_too_short"] == told


# The record's own contradictions


def test_an_old_bag_that_was_hung_while_another_waits_is_told_as_that_and_not_as_never_handed_over(
    day, infusion
):
    old = day.ready_to_start(infusion)
    began = day.now + MINUTE
    day.now = old.expires_at
    schedule.expire_kits(at=day.now)
    new = day.prepare(infusion)

    day.start(infusion, started_at=began, kit_scan=old.number, **NIGHT)

    assert codes(infusion) == ["late_entry", "found_started"]
    assert "kit expired" in fresh(infusion).deviations[-1]["detail"]
    assert fresh(infusion).kit_id == old.number
    day.waste(new)


def test_a_bag_never_handed_over_to_a_withdrawn_participant_has_both_told(day, infusion):
    kit = day.prepare(infusion)
    began = day.now
    day.wait(minutes=20)
    day.discontinue(infusion.participant)

    day.start(infusion, started_at=began, kit_scan=kit.number, **NIGHT)

    assert codes(infusion) == ["late_entry", "not_dispensed", "found_started"]


# A swapped bag


@pytest.mark.requirement(41, 49)
def test_two_swapped_bags_are_recorded_as_they_were_given(day):
    mine, neighbours = two_bags(day)
    my_bag, their_bag = mine.kit_id, neighbours.kit_id
    began = day.now
    day.wait(minutes=10)

    day.start(mine, kit_scan=their_bag, started_at=began, **NIGHT)

    assert (fresh(mine).status, fresh(mine).kit_id, codes(mine)) == ("started", their_bag, ["wrong_kit"])
    assert (fresh(neighbours).status, fresh(neighbours).kit_id) == ("open", None)
    day.start(neighbours, kit_scan=my_bag, started_at=began, **NIGHT)
    assert codes(neighbours) == ["wrong_kit", "found_started"]
    for infusion in (mine, neighbours):
        day.stop(infusion)
    assert [kit.status for kit in Kit.objects.all()] == ["used", "used"]
    assert [(fresh(infusion).status, fresh(infusion).kit_id) for infusion in (mine, neighbours)] == [
        ("given", their_bag),
        ("given", my_bag),
    ]
    assert faults_of_the_trail() == []


@pytest.mark.requirement(66)
def test_who_breaks_a_code_sees_the_bag_that_was_really_given(day):
    mine, neighbours = two_bags(day)
    their_bag = neighbours.kit_id
    began = day.now
    day.wait(minutes=10)
    assert participant_of_kit(their_bag) == neighbours.participant_id

    day.start(mine, kit_scan=their_bag, started_at=began, **NIGHT)

    (bag,) = given_bags(mine.participant_id)
    sealed = Preparation.objects.get(kit_number=their_bag).sealed_contents
    assert (bag.kit_number, bag.infusion, bag.sealed_contents) == (their_bag, 1, sealed)
    assert given_bags(neighbours.participant_id) == []
    assert participant_of_kit(their_bag) == mine.participant_id


def test_the_wrong_person_really_infused_is_recorded_too(day):
    mine, neighbours = two_bags(day)
    day.wait(minutes=20)
    scanned = neighbours.participant.allocation.randomization_number

    day.start(mine, participant_scan=scanned, started_at=day.now - 16 * MINUTE, **NIGHT)

    assert codes(mine) == ["late_entry", "wrong_person"]


@pytest.mark.parametrize("ended", ["undocumented", "missed", "cancelled"])
def test_an_infusion_whose_bag_was_hung_elsewhere_keeps_how_it_ended_and_loses_the_bag(day, ended):
    mine, neighbours = two_bags(day)
    their_bag, began = neighbours.kit_id, day.now
    day.wait(minutes=20)
    if ended == "undocumented":
        Infusion.objects.filter(pk=neighbours.pk).update(closes_at=day.now)
        schedule.close_windows(at=day.now)
    elif ended == "missed":
        day.miss(neighbours)
    else:
        day.discontinue(neighbours.participant)

    day.start(mine, kit_scan=their_bag, started_at=began, **NIGHT)

    assert (fresh(neighbours).status, fresh(neighbours).kit_id) == (ended, None)


def test_a_swapped_bag_is_recorded_at_an_infusion_whose_window_no_sweep_has_opened(day):
    mine, neighbours = two_bags(day)
    second = Infusion.objects.get(participant=mine.participant, number=2)
    day.wait(minutes=10)

    day.start(second, kit_scan=neighbours.kit_id, started_at=day.now - 5 * MINUTE, **NIGHT)

    assert fresh(second).status == "started"
    assert codes(second) == ["wrong_kit", "window_not_open", "found_started"]


def test_a_bag_that_was_recorded_as_hung_is_not_hung_again_and_a_misread_one_stays_refused(day):
    mine, neighbours = two_bags(day)
    their_bag = neighbours.kit_id
    day.start(neighbours)
    day.wait(minutes=20)

    for scan, code in ((their_bag, "illegal_move"), ("00000000", "kit_number_misread")):
        with pytest.raises(Refused) as refusal:
            day.start(mine, kit_scan=scan, started_at=day.now - 16 * MINUTE, **NIGHT)
        assert refusal.value.code == code

    assert (fresh(neighbours).status, fresh(neighbours).kit_id) == ("started", their_bag)
    assert fresh(mine).status == "dispensed"
