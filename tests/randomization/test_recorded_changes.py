"""What is changed of participants by hand, and not by a use case, is refused by the database itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from randomization.models import (
    Allocation,
    Consent,
    Correction,
    Participant,
    Slot,
    SpoiledSlot,
    Stratum,
    Transfer,
)
from tests.randomization.breaking import a_randomized_participant
from tests.world import World, a_participant, a_world, answers
from trialsite.clock.services import trial_now

FACTS: dict[str, Any] = {
    "identity_hash": "0" * 64,
    "birth_date": dt.date(1961, 5, 5),
    "sex": "male",
    "weight_kg": "88.00",
    "consented_at": dt.datetime(2020, 2, 1, tzinfo=dt.UTC),
    "consent_version": "another",
    "measurements": {"spo2_percent": "80"},
    "true_stratum_levels": {"age_group": "60-75"},
}


@pytest.fixture
def world(a_fresh_database, tmp_path, settings) -> Iterator[World]:
    world = a_world(tmp_path, settings)
    with a_fresh_database.logged_in_as("irt_masked"):
        yield world


def change(participant: Participant, **changed: Any) -> None:
    Participant.objects.filter(pk=participant.pk).update(**changed)


def refuse(participant: Participant, **changed: Any) -> None:
    with pytest.raises(DatabaseError, match="is recorded"), transaction.atomic():
        change(participant, **changed)


def in_one(acts: list[Callable[[], None]]) -> None:
    """Do it all in one transaction."""
    with transaction.atomic():
        for act in acts:
            act()


def corrected(world: World, participant: Participant) -> None:
    Correction.objects.create(
        participant=participant, pointer="/sex", reason="x", at=trial_now(),
        recorded_by=world.person("investigator"),
    )  # fmt: skip


def transferred(world: World, participant: Participant) -> None:
    Transfer.objects.create(
        participant=participant, from_site_id="PUREN", to_site_id="HANKOU", reason="x", at=trial_now(),
        recorded_by=world.person("study_manager"),
    )  # fmt: skip


@pytest.mark.requirement(12, 76)
def test_no_fact_of_a_randomized_participant_changes_without_its_record(world):
    participant = a_randomized_participant(world).participant
    corrected(world, participant)  # an earlier record covers nothing
    assert Consent.objects.filter(participant=participant).exists()

    for name, value in FACTS.items():
        refuse(participant, **{name: value})
    with transaction.atomic():
        change(participant, **FACTS)
        with transaction.atomic():  # a savepoint, whose xid is not the transaction's
            corrected(world, participant)

    assert Participant.objects.get(pk=participant.pk).sex == "male"


@pytest.mark.requirement(76)
def test_a_record_that_was_taken_back_or_is_of_another_participant_covers_nothing(world):
    participant, other = (a_randomized_participant(world).participant for _ in range(2))

    def of_another() -> None:
        corrected(world, other)

    def taken_back() -> None:
        back = transaction.savepoint()
        corrected(world, participant)
        transaction.savepoint_rollback(back)

    for useless in (of_another, taken_back):
        with pytest.raises(DatabaseError, match="is recorded"):
            in_one([lambda: change(participant, sex="male"), useless])


@pytest.mark.requirement(48, 76)
def test_nobody_is_moved_without_a_transfer_to_that_site(world):
    participant = a_participant(world)
    refuse(participant, site_id="HANKOU")

    with transaction.atomic():
        with transaction.atomic():
            transferred(world, participant)
        change(participant, site_id="HANKOU")

    refuse(participant, site_id="PUREN")


@pytest.mark.requirement(13, 83)
def test_who_was_randomized_on_paper_after_a_failed_screening_is_in_the_trial(world):
    from randomization.services.screening import AlreadyInTrial
    from randomization.services.screening_revisions import Revision, revise_screening

    failed, other = (
        a_participant(world, local_identifier="AB-1", eligibility=answers(E5=True)) for _ in range(2)
    )
    take(world, failed, slot_of("PUREN"), paper_reason="Power cut.", entered_at=trial_now())

    with pytest.raises(AlreadyInTrial):
        a_participant(world, local_identifier="AB-1")
    with pytest.raises(AlreadyInTrial):
        revise_screening(
            participant_id=other.pk, revision=Revision(eligibility={"E5": False}, measurements={}, strata={}),
            reason="x", by=world.person("investigator"), at=trial_now(),
        )  # fmt: skip


def slot_of(site: str | None, *, levels: Any = None) -> Slot:
    found = Stratum.objects.filter(site=site) if site else Stratum.objects.filter(levels=levels)
    return Slot.objects.get(stratum=found.get(), position=found.get().next_slot)


def take(world: World, participant: Participant, slot: Slot, *, spoil: bool = False, **stated: Any) -> None:
    by = world.person("investigator")
    with transaction.atomic():
        Stratum.objects.filter(pk=slot.stratum_id).update(next_slot=slot.position + 1)
        if spoil:
            SpoiledSlot.objects.create(
                slot=slot, reason="x", spoiled_at=trial_now(), entered_at=trial_now(), recorded_by=by
            )
        Allocation.objects.create(
            participant=participant, slot=slot, stratum=slot.stratum, position=slot.position,
            randomization_number=slot.randomization_number, randomized_at=trial_now(), randomized_by=by,
            **stated,
        )  # fmt: skip


@pytest.mark.requirement(9, 12, 83)
def test_no_slot_is_taken_that_is_spoiled_or_of_a_stratum_that_is_not_the_participants(world):
    participant, paper = a_participant(world), {"paper_reason": "x", "entered_at": trial_now()}
    another = Stratum.objects.filter(site=None).exclude(levels=participant.stratum_levels)[0].levels
    own, there = "own stratum", slot_of("HANKOU")

    for match, slot, stated in (
        ("next slot", slot_of("PUREN"), paper | {"spoil": True}),
        (own, slot_of(None, levels=another), {}),
        (own, slot_of("PUREN"), {"entered_at": trial_now()}),
        (own, slot_of("PUREN"), {"paper_reason": "x"}),
        (own, there, paper),
    ):
        with pytest.raises(DatabaseError, match=match):
            take(world, participant, slot, **stated)

    take(world, participant, slot_of(None, levels=participant.stratum_levels))
    take(world, a_participant(world), slot_of("PUREN"), **paper)
    moved = a_participant(world)
    with transaction.atomic():
        transferred(world, moved)
        change(moved, site_id="HANKOU")
    take(world, moved, slot_of("PUREN"), **paper)
