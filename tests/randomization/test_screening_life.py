"""Screenings that fail, come out otherwise, and are done again."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from randomization.models import Participant, ScreeningRevision
from randomization.services.assignment import AlreadyRandomized
from randomization.services.screening import AlreadyInTrial
from randomization.services.screening_revisions import NothingChanges, Revision, revise_screening
from tests.randomization.breaking import a_randomized_participant
from tests.world import World, a_participant, answers, born
from trialsite.accounts.access import NotPermitted
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now
from trialsite.errors import FieldsInvalid, NotFound

_keys = itertools.count(1)


def revise(
    world: World, participant: Participant, *, by: str = "investigator", **other: Any
) -> ScreeningRevision:
    revised = {"eligibility": {}, "measurements": {}, "strata": {}} | other
    return revise_screening(
        participant_id=participant.pk,
        revision=Revision(**revised),
        reason="The sheet was read wrongly",
        by=world.person(by),
        at=trial_now(),
    )


def a_failure(world: World, **other: Any) -> Participant:
    return a_participant(world, eligibility=answers(E5=True), **other)


@pytest.mark.requirement(8, 76)
def test_a_screen_failure_is_taken_back_and_the_old_verdict_stays_beside_the_new(world):
    participant = a_failure(world, measurements={"spo2_percent": "90"})

    revision = revise(world, participant, eligibility={"E5": False})

    changed = Participant.objects.get()
    assert (changed.status, changed.unmet) == ("eligible", [])
    assert (revision.old["status"], revision.old["unmet"]) == ("screen_failed", ["E5"])
    assert revision.old["eligibility"]["E5"]
    assert not revision.new["eligibility"]["E5"]
    assert revision.new["measurements"] == {"spo2_percent": "90"}


@pytest.mark.requirement(8)
def test_who_proves_ineligible_before_randomization_is_not_randomized(world):
    participant = a_participant(world)

    revise(world, participant, eligibility={"E1": True, "I2": False})

    answer = world.client("investigator").post(
        f"/api/v1/participants/{participant.pk}/randomize",
        {"stratum": participant.stratum_levels},
        headers={"Idempotency-Key": "one"},
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "not_eligible")
    assert Participant.objects.get().unmet == ["I2", "E1"]


def test_a_stratum_that_was_stated_wrongly_is_another_before_randomization(world):
    participant = a_participant(world)

    revise(world, participant, strata={"respiratory_support": "high_flow_or_ventilation"})

    assert Participant.objects.get().stratum_levels == {
        "age_group": "18-59",
        "respiratory_support": "high_flow_or_ventilation",
    }


def test_a_value_is_measured_again_or_taken_back_and_a_weight_weighed_again(world):
    participant = a_participant(world, measurements={"respiratory_rate": "33", "spo2_percent": "90"})

    revise(
        world,
        participant,
        measurements={"spo2_percent": "88", "respiratory_rate": None},
        weight_kg=Decimal("72.5"),
    )

    changed = Participant.objects.get()
    assert (changed.measurements, changed.weight_kg) == ({"spo2_percent": "88"}, Decimal("72.5"))


@pytest.mark.parametrize(
    ("revised", "wrong"),
    [
        ({}, ("#", "required")),
        ({"eligibility": {"E99": True}}, ("#/eligibility/E99", "unknown")),
        ({"strata": {"age_group": "60-75"}}, ("#/strata/age_group", "derived")),
        ({"weight_kg": Decimal(7)}, ("#/weight_kg", "implausible")),
        ({"measurements": {"spo2_percent": "99"}}, ("#/eligibility/I4B", "contradicts_measurement")),
    ],
)
def test_a_revision_is_checked_as_the_screening_was(world, revised, wrong):
    participant = a_participant(world)

    with pytest.raises(FieldsInvalid) as refusal:
        revise(world, participant, **revised)

    assert {(fault.pointer, fault.code) for fault in refusal.value.faults} == {wrong}
    assert not ScreeningRevision.objects.exists()


def test_a_revision_that_changes_nothing_is_refused(world):
    participant = a_participant(world, measurements={"spo2_percent": "90"})

    for same in (
        {"eligibility": {"E5": False}},
        {"measurements": {"spo2_percent": "90", "respiratory_rate": None}},
        {"strata": {"respiratory_support": "conventional_oxygen"}, "weight_kg": Decimal("61.5")},
    ):
        with pytest.raises(NothingChanges):
            revise(world, participant, **same)
    assert not ScreeningRevision.objects.exists()


@pytest.mark.requirement(18)
def test_the_age_of_a_revision_is_still_that_at_consent(world):
    participant = a_failure(world, birth_date=born(years_ago=17))

    revise(world, participant, eligibility={"E5": False})

    assert Participant.objects.get().unmet == ["I1"]


@pytest.mark.requirement(12, 14)
def test_once_randomized_a_screening_is_not_revised_and_the_refusal_names_the_calls_that_help(world):
    allocation = a_randomized_participant(world)

    with pytest.raises(AlreadyRandomized, match=r"'ineligible'.*'wrong-stratum'.*'corrections'"):
        revise(world, allocation.participant, eligibility={"E5": True})

    assert Participant.objects.get().status == "eligible"


@pytest.mark.requirement(12)
def test_not_even_by_hand_is_the_verdict_of_a_randomized_participant_changed(world):
    participant = a_randomized_participant(world).participant

    with pytest.raises(DatabaseError, match="frozen"), transaction.atomic():
        Participant.objects.filter(pk=participant.pk).update(status="screen_failed")


@pytest.mark.requirement(13)
def test_a_failure_is_not_taken_back_while_the_person_is_in_the_trial_under_another_number(world):
    failed = a_failure(world, local_identifier="AB1234567")
    a_participant(world, local_identifier="AB1234567", by="investigator_2", site="HANKOU")

    with pytest.raises(AlreadyInTrial):
        revise(world, failed, eligibility={"E5": False})

    assert Participant.objects.get(pk=failed.pk).status == "screen_failed"


@pytest.mark.requirement(74)
def test_the_trail_tells_both_verdicts_and_the_reason_and_no_answer(world):
    participant = a_failure(world)

    revise(world, participant, eligibility={"E5": False})

    event = parse(bytes(Entry.objects.get(kind=Kind.PARTICIPANT_SCREENING_REVISED).body))
    assert event["about"] == {"participant": str(participant.pk), "site": "PUREN"}
    assert event["data"]["old"] == {
        "status": "screen_failed",
        "unmet": ["E5"],
        "stratum": participant.stratum_levels,
    }
    assert event["data"]["new"]["status"] == "eligible"
    assert event["data"]["reason"] == "The sheet was read wrongly"


def test_nobody_revises_anothers_screening(world):
    participant = a_failure(world)

    with pytest.raises(NotFound):
        revise(world, participant, by="investigator_2", eligibility={"E5": False})
    with pytest.raises(NotPermitted):
        revise(world, participant, by="nurse", eligibility={"E5": False})


def test_revisions_over_rest(world):
    participant = a_failure(world)
    path = f"/api/v1/participants/{participant.pk}/screening-revisions"
    client = world.client("investigator")

    made = client.post(
        path,
        {"eligibility": {"E5": False}, "measurements": {"spo2_percent": "91"}, "reason": "read wrongly"},
        format="json",
        headers={"Idempotency-Key": "r"},
    )
    listed = world.client("monitor").get(path).json()

    assert made.status_code == 201
    assert made.json()["new"]["status"] == "eligible"
    assert made.json()["old"]["measurements"] == {}
    assert listed["results"] == [made.json()]
    assert world.client("investigator_2").get(path).status_code == 404


@pytest.mark.requirement(13)
def test_who_is_screened_again_is_linked_to_the_screening_that_failed_last(world):
    a_failure(world, local_identifier="AB1234567")
    second = a_failure(world, local_identifier="ab 1234567")

    third = a_participant(world, local_identifier="AB1234567")

    assert third.rescreens == second
    shown = world.client("nurse").get(f"/api/v1/participants/{third.pk}").json()
    assert shown["rescreens"] == "PUREN-002"


@pytest.mark.requirement(13)
def test_the_number_of_another_sites_screening_is_told_only_to_who_sees_that_site(world):
    failed = a_failure(world, local_identifier="AB1234567")

    again = a_participant(world, local_identifier="AB1234567", by="investigator_2", site="HANKOU")

    path = f"/api/v1/participants/{again.pk}"
    assert again.rescreens == failed
    assert world.client("investigator_2").get(path).json()["rescreens"] is None
    assert world.client("study_manager").get(path).json()["rescreens"] == "PUREN-001"


def test_the_age_of_one_who_was_transferred_is_reckoned_where_they_were_screened(world):
    from randomization.models import Transfer
    from trialsite.accounts.models import Site

    consented_at = dt.datetime(2020, 2, 9, 17, 0, tzinfo=dt.UTC)  # already the 10th in Wuhan
    participant = a_failure(world, birth_date=dt.date(2002, 2, 10), consented_at=consented_at)
    Site.objects.filter(pk="HANKOU").update(time_zone="Europe/Berlin")
    by = world.person("study_manager")
    Transfer.objects.create(
        participant=participant,
        from_site_id="PUREN",
        to_site_id="HANKOU",
        reason="x",
        at=trial_now(),
        recorded_by=by,
    )
    Participant.objects.update(site_id="HANKOU")

    revise(world, participant, by="investigator_2", eligibility={"E5": False})

    assert Participant.objects.get().status == "eligible"


def test_the_masked_login_may_revise(world, as_role):
    participant, by = a_failure(world), world.person("investigator")

    with as_role("irt_masked"):
        revise_screening(
            participant_id=participant.pk,
            revision=Revision(eligibility={"E5": False}, measurements={}, strata={}),
            reason="read wrongly",
            by=by,
            at=trial_now(),
        )

    assert Participant.objects.get().status == "eligible"
