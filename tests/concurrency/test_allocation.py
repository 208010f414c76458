"""Many at once: every slot goes to one participant, in order, and every participant gets one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.db import connection, transaction

from randomization.models import Allocation, Participant, Stratum
from randomization.services import assignment
from randomization.services.screening import AlreadyInTrial
from supply.models import Infusion
from supply.services.enrolment import randomize_participant
from tests.world import World, a_participant, a_world
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now

T = TypeVar("T")
THREADS = 20


@pytest.fixture
def world(a_fresh_database, tmp_path, settings) -> Iterator[World]:
    made = a_world(tmp_path, settings, length=48)
    with a_fresh_database.logged_in_as("irt_masked"):
        yield made


def at_once(threads: int, works: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Run the works from so many threads that begin together; return what each gave or raised."""
    together = threading.Barrier(threads)

    def first_wait_then(work: Callable[[], T], *, first: bool) -> T | Exception:
        if first:
            together.wait(timeout=30)
        try:
            return work()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=threads) as pool:
        running = [pool.submit(first_wait_then, work, first=i < threads) for i, work in enumerate(works)]
        return [each.result() for each in running]


def randomizing(world: World, participant: Participant) -> Callable[[], int]:
    by = world.person("investigator")

    def randomize() -> int:
        with transaction.atomic(durable=True):
            return randomize_participant(
                participant_id=participant.pk, stratum=participant.stratum_levels, by=by, at=trial_now()
            ).position

    return randomize


def forty_participants_from_twenty_threads(world: World) -> list[int | Exception]:
    works = [randomizing(world, a_participant(world)) for _ in range(40)]
    return at_once(THREADS, works)


def check_that_each_got_a_slot_of_their_own(outcomes: list[int | Exception]) -> None:
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert set(outcomes) == set(range(40))
    assert sorted(Allocation.objects.values_list("position", flat=True)) == list(range(40))
    assert Stratum.objects.get(ordinal=1).next_slot == 40


@pytest.mark.requirement(9)
def test_forty_participants_from_twenty_threads_take_forty_slots_without_gap_or_double(
    world, a_fresh_database
):
    outcomes = forty_participants_from_twenty_threads(world)

    check_that_each_got_a_slot_of_their_own(outcomes)
    with a_fresh_database.logged_in_as("irt_unmasked"):
        events = Entry.objects.filter(kind=Kind.PARTICIPANT_RANDOMIZED).order_by("position")
        assert [_slot(event) for event in events] == list(range(40)), "the trail has another order"


@pytest.mark.requirement(9)
def test_without_the_lock_the_same_forty_do_not_get_forty_slots(world, monkeypatch):
    def unlocked(code: str) -> Stratum:
        return Stratum.objects.get(pk=code)

    monkeypatch.setattr(assignment, "locked_stratum", unlocked)

    outcomes = forty_participants_from_twenty_threads(world)

    with pytest.raises(AssertionError):
        check_that_each_got_a_slot_of_their_own(outcomes)


@pytest.mark.requirement(9, 13)
def test_one_participant_sent_eight_times_at_once_takes_one_slot(world):
    participant = a_participant(world)

    outcomes = at_once(8, [randomizing(world, participant)] * 8)

    assert outcomes.count(0) == 1
    assert sum(isinstance(outcome, assignment.AlreadyRandomized) for outcome in outcomes) == 7
    assert Stratum.objects.get(ordinal=1).next_slot == 1
    assert Infusion.objects.count() == 4


@pytest.mark.requirement(10)
def test_one_request_sent_eight_times_at_once_with_one_key_answers_eight_times_the_same(world):
    participant = a_participant(world)

    def send() -> tuple[int, str]:
        answer = world.client("investigator").post(
            f"/api/v1/participants/{participant.pk}/randomize",
            {"stratum": participant.stratum_levels},
            headers={"Idempotency-Key": "one"},
        )
        return answer.status_code, str(answer.json().get("randomization_number", answer.json()))

    outcomes = at_once(8, [send] * 8)

    assert set(outcomes) == {(201, Allocation.objects.get().randomization_number)}


@pytest.mark.requirement(13)
def test_one_person_screened_at_two_sites_at_once_is_in_the_trial_once(world):
    def screening(by: str, site: str) -> Callable[[], str]:
        return lambda: a_participant(world, by=by, site=site, local_identifier="AB1234567").status

    works = [screening("investigator", "PUREN"), screening("investigator_2", "HANKOU")] * 4

    outcomes = at_once(8, works)

    assert outcomes.count("eligible") == 1
    assert sum(isinstance(outcome, AlreadyInTrial) for outcome in outcomes) == 7


def test_twenty_screened_at_once_get_twenty_numbers_in_a_row(world):
    outcomes = at_once(THREADS, [lambda: a_participant(world).screening_number] * THREADS)

    assert Counter(outcomes) == Counter(f"PUREN-{number:03d}" for number in range(1, THREADS + 1))


def _slot(event: Entry) -> int:
    return int(parse(bytes(event.body))["data"]["slot"])
