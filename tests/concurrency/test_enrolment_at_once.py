"""Extensions, caps and pauses while participants are being randomized: the trail's order decides."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from itertools import product

import pytest
from django.db import transaction

from randomization.models import Allocation, Participant, Stratum
from randomization.services import enrolment_changes, enrolment_gate, screening
from randomization.services.assignment import ListExhausted
from randomization.services.enrolment_gate import EnrolmentPaused, EnrolmentSuspended, TrialFull
from supply.services import enrolment
from tests import world as worlds
from tests.concurrency.test_allocation import at_once, randomizing
from tests.randomization.extending import an_extension, install
from tests.world import World, a_participant, a_world, born
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now
from trialsite.protocol_caps import Caps

CAP = 5


@pytest.fixture
def world(a_fresh_database, tmp_path, settings) -> World:
    return a_world(tmp_path, settings, length=24)


@pytest.fixture
def capped(a_fresh_database, tmp_path, settings, monkeypatch) -> Iterator[World]:
    """A trial that takes five in all."""
    trial = dataclasses.replace(worlds.the_protocol(), caps=Caps(trial=CAP))
    monkeypatch.setattr(worlds, "the_protocol", lambda: trial)
    made = a_world(tmp_path, settings, length=24)
    with a_fresh_database.logged_in_as("irt_masked"):
        yield made


def the_trail() -> list[dict]:
    return [parse(bytes(entry.body)) for entry in Entry.objects.order_by("position")]


@pytest.mark.requirement(9, 11, 17)
def test_an_extension_in_the_middle_of_forty_randomizations_loses_no_slot_and_keeps_the_order(world):
    bundle = an_extension(world, length=24)
    participants = [a_participant(world) for _ in range(40)]
    works: list[Callable[[], object]] = [
        until_there_is_a_slot(randomizing(world, one)) for one in participants
    ]
    works.insert(20, lambda: install(bundle).ordinal)

    outcomes = at_once(8, works)

    assert outcomes.pop(20) == 1
    assert sorted(outcomes) == list(range(40))
    stratum = Stratum.objects.get(ordinal=1)
    assert sorted(Allocation.objects.values_list("position", flat=True)) == list(range(stratum.next_slot))
    kinds = [event["k"] for event in the_trail()]
    assert kinds.index(Kind.PARTICIPANT_RANDOMIZED) < kinds.index(Kind.LIST_EXTENDED)
    slots = [event["data"]["slot"] for event in the_trail() if event["k"] == Kind.PARTICIPANT_RANDOMIZED]
    assert slots == list(range(40)), "the trail has another order"


def until_there_is_a_slot(randomize: Callable[[], int]) -> Callable[[], int]:
    def again() -> int:
        for _ in range(200):
            try:
                return randomize()
            except ListExhausted:
                time.sleep(0.1)
        raise AssertionError("no extension came")

    return again


def of_every_stratum(world: World, times: int) -> list[Callable[[], int]]:
    support = ("conventional_oxygen", "high_flow_or_ventilation")
    people = product(range(times), (30, 65), support)
    return [
        randomizing(
            world,
            a_participant(world, birth_date=born(years_ago=age), strata={"respiratory_support": level}),
        )
        for _, age, level in people
    ]


@pytest.mark.requirement(9)
def test_of_many_at_once_in_all_strata_no_more_than_the_cap_are_randomized(capped):
    outcomes = at_once(12, of_every_stratum(capped, 3))

    assert sum(isinstance(outcome, int) for outcome in outcomes) == CAP
    assert sum(isinstance(outcome, TrialFull) for outcome in outcomes) == 12 - CAP
    assert Allocation.objects.count() == CAP == sum(Stratum.objects.values_list("next_slot", flat=True))


@pytest.mark.requirement(9)
def test_without_the_second_look_the_same_twelve_are_more_than_the_cap(capped, monkeypatch):
    first_only = enrolment_gate.refuse_beyond_caps

    def before_only(now, site, *, places=1):
        if places:
            first_only(now, site, places=places)

    monkeypatch.setattr(enrolment, "refuse_beyond_caps", before_only)

    at_once(12, of_every_stratum(capped, 3))

    assert Allocation.objects.count() > CAP


def a_change(world: World, status: str) -> None:
    with transaction.atomic(durable=True):
        enrolment_changes.change_enrolment(
            site=None, status=status, reason="A question.", by=world.person("study_manager"), at=trial_now()
        )


@pytest.mark.requirement(8)
def test_a_pause_that_is_on_the_trail_first_wins_over_a_randomization_that_began_before(world, monkeypatch):
    randomize = randomizing(world, a_participant(world))
    looked, paused = threading.Event(), threading.Event()
    record = enrolment.record

    def wait_before_the_event(**event):
        looked.set()
        assert paused.wait(timeout=30)
        return record(**event)

    monkeypatch.setattr(enrolment, "record", wait_before_the_event)

    def pause() -> str:
        assert looked.wait(timeout=30)
        a_change(world, "paused")  # comes back although the randomization is under way
        paused.set()
        return "paused"

    refused, done = at_once(2, [randomize, pause])

    assert isinstance(refused, EnrolmentPaused)
    assert done == "paused"
    assert not Allocation.objects.exists()
    assert Stratum.objects.get(ordinal=1).next_slot == 0


def test_a_suspension_that_is_on_the_trail_first_wins_over_a_screening_that_began_before(world, monkeypatch):
    looked, suspended = threading.Event(), threading.Event()
    record = screening._record

    def wait_before_the_event(participant, **event):
        looked.set()
        assert suspended.wait(timeout=30)
        record(participant, **event)

    monkeypatch.setattr(screening, "_record", wait_before_the_event)

    def suspend() -> str:
        assert looked.wait(timeout=30)
        a_change(world, "suspended")
        suspended.set()
        return "suspended"

    refused, _ = at_once(2, [lambda: a_participant(world), suspend])

    assert isinstance(refused, EnrolmentSuspended)
    assert not Participant.objects.exists()


@pytest.mark.requirement(8)
def test_a_pause_that_comes_after_the_event_waits_for_the_randomization(world, monkeypatch):
    randomize = randomizing(world, a_participant(world))
    written = threading.Event()
    record = enrolment.record

    def pause_while_the_head_is_held(**event):
        position = record(**event)
        written.set()
        time.sleep(1)
        return position

    monkeypatch.setattr(enrolment, "record", pause_while_the_head_is_held)

    def pause() -> str:
        assert written.wait(timeout=30)
        a_change(world, "paused")
        return "paused"

    assert at_once(2, [randomize, pause]) == [0, "paused"]
    kinds = [event["k"] for event in the_trail()]
    assert kinds[-2:] == [Kind.PARTICIPANT_RANDOMIZED, Kind.ENROLMENT_CHANGED]


def test_changes_of_enrolment_made_at_once_are_numbered_without_a_gap(world):
    def pause(site: str) -> Callable[[], int]:
        def change() -> int:
            with transaction.atomic(durable=True):
                return enrolment_changes.change_enrolment(
                    site=site, status="paused", reason="x", by=world.person("study_manager"), at=trial_now()
                ).number

        return change

    outcomes = at_once(2, [pause("PUREN"), pause("HANKOU")])

    # Three rows came with the activation.
    assert sorted(outcomes) == [4, 5]
