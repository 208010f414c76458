"""Taking a slot: in order, once, for the right person, and for good."""

from __future__ import annotations

from unittest import mock

import pytest
from django.db import DatabaseError, connection, transaction

from randomization.models import Allocation, Discontinuation, SealedArm, Slot, Stratum
from randomization.services import assignment
from randomization.services.assignment import (
    AlreadyRandomized,
    Discontinued,
    ListExhausted,
    NotEligible,
    StratumMismatch,
    take_next_slot,
)
from supply.models import Infusion, SiteReadiness
from supply.services.enrolment import randomize_participant
from tests.world import a_participant, answers, born
from trialsite.accounts.access import NotPermitted
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now
from trialsite.errors import NotFound
from trialsite.outbox.models import Message


def take(world, participant, *, by="investigator", levels=None):
    return take_next_slot(
        participant=participant,
        levels=participant.stratum_levels if levels is None else levels,
        by=world.person(by),
        at=trial_now(),
    )


def statement(sql, *values):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)


@pytest.mark.requirement(9)
def test_slots_are_taken_in_order_each_with_the_number_of_the_list(world):
    taken = [take(world, a_participant(world)) for _ in range(3)]

    assert [allocation.position for allocation in taken] == [0, 1, 2]
    for allocation in taken:
        assert allocation.randomization_number == allocation.slot.randomization_number
        assert allocation.slot.position == allocation.position


def test_each_stratum_has_an_order_of_its_own(world):
    conventional = take(world, a_participant(world))
    high_flow = take(world, a_participant(world, strata={"respiratory_support": "high_flow_or_ventilation"}))
    elderly = take(world, a_participant(world, birth_date=born(years_ago=66)))

    assert {conventional.position, high_flow.position, elderly.position} == {0}
    assert len({conventional.stratum_id, high_flow.stratum_id, elderly.stratum_id}) == 3


@pytest.mark.requirement(13)
def test_a_participant_holds_one_slot_and_keeps_it(world):
    participant = a_participant(world)
    first = take(world, participant)

    with pytest.raises(AlreadyRandomized):
        take(world, participant)

    assert Allocation.objects.get().pk == first.pk
    assert Stratum.objects.get(pk=first.stratum_id).next_slot == 1


@pytest.mark.requirement(8)
def test_a_screen_failure_takes_no_slot(world):
    participant = a_participant(world, eligibility=answers(E5=True))

    with pytest.raises(NotEligible):
        take(world, participant)

    assert not Stratum.objects.exclude(next_slot=0).exists()


def test_somebody_who_left_takes_no_slot(world):
    participant = a_participant(world)
    Discontinuation.objects.create(
        participant=participant, scope="study", reason="withdrew", at=trial_now(), recorded_at=trial_now(),
        recorded_by=world.person("investigator"),
    )  # fmt: skip

    with pytest.raises(Discontinued):
        take(world, participant)


@pytest.mark.requirement(12)
@pytest.mark.parametrize(
    "levels",
    [
        {"age_group": "60-75", "respiratory_support": "conventional_oxygen"},
        {"respiratory_support": "conventional_oxygen"},
        {"age_group": "18-59", "respiratory_support": "conventional_oxygen", "more": "1"},
        {},
    ],
)
def test_a_stratum_that_is_not_the_screened_one_takes_no_slot(world, levels):
    participant = a_participant(world)

    with pytest.raises(StratumMismatch):
        take(world, participant, levels=levels)

    assert not Allocation.objects.exists()


def test_only_an_investigator_of_the_site_takes_a_slot(world):
    participant = a_participant(world)

    for somebody in ("nurse", "investigator_2", "study_manager", "statistician"):
        with pytest.raises(NotPermitted):
            take(world, participant, by=somebody)


@pytest.mark.requirement(17)
def test_a_list_that_ends_refuses_the_next_and_tells_the_statistician_alone(world):
    length = Stratum.objects.get(ordinal=1).length
    for _ in range(length):
        take(world, a_participant(world))

    with pytest.raises(ListExhausted) as refusal:
        take(world, a_participant(world))

    assert str(length) not in str(refusal.value).replace("18-59", "")
    assert [message.recipient for message in Message.objects.all()] == [world.person("statistician").email]


@pytest.mark.requirement(8, 74)
def test_no_slot_is_taken_when_the_audit_event_cannot_be_written(world):
    participant, by = a_participant(world), world.person("investigator")

    broken = mock.patch("supply.services.enrolment.record", side_effect=DatabaseError)
    with broken, pytest.raises(DatabaseError), transaction.atomic():
        randomize_participant(
            participant_id=participant.pk, stratum=participant.stratum_levels, by=by, at=trial_now()
        )

    assert not Allocation.objects.exists()
    assert not Infusion.objects.exists()
    assert not Stratum.objects.exclude(next_slot=0).exists()


@pytest.mark.requirement(55)
def test_the_masked_login_takes_slots_and_cannot_read_what_is_sealed_in_them(world, as_role):
    participant, by = a_participant(world), world.person("investigator")

    with as_role("irt_masked"):
        randomize_participant(
            participant_id=participant.pk, stratum=participant.stratum_levels, by=by, at=trial_now()
        )
    with pytest.raises(DatabaseError, match="permission denied"), as_role("irt_masked"):
        SealedArm.objects.first()

    assert Entry.objects.filter(kind=Kind.PARTICIPANT_RANDOMIZED).count() == 1


@pytest.mark.requirement(11, 16)
@pytest.mark.parametrize("table", ["allocation", "slot", "sealedarm", "randomizationlist", "stratum"])
@pytest.mark.parametrize("deed", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_nothing_of_the_list_is_deleted_even_by_a_superuser(world, table, deed):
    take(world, a_participant(world))

    statement("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(DatabaseError, match="are final"):
        statement(deed.format(f"randomization_{table}"))


@pytest.mark.requirement(11, 16)
@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE randomization_allocation SET position = position + 1",
        "UPDATE randomization_slot SET randomization_number = 'R000000'",
        "UPDATE randomization_sealedarm SET envelope = leaf_hash",
        "UPDATE randomization_randomizationlist SET leaf_count = 1",
    ],
)
def test_nothing_of_the_list_is_changed_even_by_a_superuser(world, deed):
    take(world, a_participant(world))

    with pytest.raises(DatabaseError, match="are final"):
        statement(deed)


@pytest.mark.requirement(11)
@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE randomization_stratum SET next_slot = 0",
        "UPDATE randomization_stratum SET next_slot = next_slot + 2",
        "UPDATE randomization_stratum SET next_slot = next_slot",
        "UPDATE randomization_stratum SET next_slot = next_slot + 1, length = length + 1",
    ],
)
def test_a_stratum_never_goes_back_or_skips_a_slot_even_by_a_superuser(world, deed):
    take(world, a_participant(world))

    with pytest.raises(DatabaseError, match="moves on by one slot"):
        statement(deed)


@pytest.mark.requirement(9, 11)
def test_no_allocation_takes_another_slot_than_the_next(world):
    participant, chosen = a_participant(world), Slot.objects.get(stratum__ordinal=1, position=2)

    with pytest.raises(DatabaseError, match="takes the next slot"), transaction.atomic():
        Allocation.objects.create(
            participant=participant,
            slot=chosen,
            stratum=chosen.stratum,
            position=chosen.position,
            randomization_number=chosen.randomization_number,
            randomized_at=trial_now(),
            randomized_by=world.person("investigator"),
        )


@pytest.mark.requirement(9, 11)
def test_no_slot_is_moved_over_without_being_taken(world):
    take(world, a_participant(world))
    statement("SET CONSTRAINTS ALL IMMEDIATE")

    with pytest.raises(DatabaseError, match="moved over is taken"):
        statement("UPDATE randomization_stratum SET next_slot = next_slot + 1 WHERE ordinal = 1")

    assert Stratum.objects.get(ordinal=1).next_slot == 1


def test_randomizing_by_rest_answers_number_stratum_and_four_infusions(world):
    participant = a_participant(world)

    answer = world.client("investigator").post(
        f"/api/v1/participants/{participant.pk}/randomize",
        {"stratum": participant.stratum_levels},
        headers={"Idempotency-Key": "one"},
    )

    assert answer.status_code == 201, answer.content
    allocation = Allocation.objects.get()
    assert answer.json()["id"] == str(participant.pk)
    assert answer.json()["randomization_number"] == allocation.randomization_number
    assert answer.json()["stratum"] == participant.stratum_levels
    assert [infusion["day"] for infusion in answer.json()["infusions"]] == [1, 3, 5, 7]


@pytest.mark.requirement(10)
def test_the_same_key_answers_the_same_and_takes_no_second_slot(world):
    participant, client = a_participant(world), world.client("investigator")
    path, body = f"/api/v1/participants/{participant.pk}/randomize", {"stratum": participant.stratum_levels}

    first, again = (client.post(path, body, headers={"Idempotency-Key": "one"}) for _ in range(2))
    other = client.post(path, body, headers={"Idempotency-Key": "two"})

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert (other.status_code, other.json()["code"]) == (409, "already_randomized")
    assert Allocation.objects.count() == 1


def test_a_site_that_cannot_make_both_arms_takes_no_slot(world):
    participant = a_participant(world)
    SiteReadiness.objects.filter(site="PUREN").update(ready_until=None)

    answer = world.client("investigator").post(
        f"/api/v1/participants/{participant.pk}/randomize",
        {"stratum": participant.stratum_levels},
        headers={"Idempotency-Key": "one"},
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "supply_not_ready")
    assert not Allocation.objects.exists()


def test_another_sites_participant_is_not_found(world):
    participant, by = a_participant(world), world.person("investigator_2")

    with pytest.raises(NotFound):
        randomize_participant(
            participant_id=participant.pk, stratum=participant.stratum_levels, by=by, at=trial_now()
        )


def test_the_lock_of_a_stratum_has_its_own_advisory_lock(world):
    with transaction.atomic(), connection.cursor() as cursor:
        assignment.locked_stratum(Stratum.objects.get(ordinal=3).pk)
        cursor.execute(
            "SELECT classid, objid FROM pg_locks"
            " WHERE locktype = 'advisory' AND objsubid = 2 AND classid = 7301"
        )

        assert cursor.fetchall() == [(7301, 3)]
