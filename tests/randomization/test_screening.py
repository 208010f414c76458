"""Screening: who may be randomized, who may not, and what is kept of a person."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from randomization.models import Participant
from randomization.selectors import TrialNotActive
from randomization.services.screening import AlreadyInTrial, screen_participant
from tests.world import a_participant, a_world, answers, screening_facts
from trialsite.accounts.access import NotPermitted
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now
from trialsite.errors import FieldsInvalid, NotFound

CONSENT = dt.datetime(2020, 2, 10, 4, 0, tzinfo=dt.UTC)  # noon in Wuhan


def codes_of(refusal: FieldsInvalid) -> set[tuple[str, str]]:
    return {(fault.pointer, fault.code) for fault in refusal.faults}


@pytest.mark.requirement(8)
def test_a_person_who_meets_every_criterion_is_eligible_and_gets_the_sites_first_number(world):
    participant = a_participant(world)

    assert participant.status == "eligible"
    assert participant.unmet == []
    assert participant.screening_number == "PUREN-001"
    assert participant.stratum_levels == {"age_group": "18-59", "respiratory_support": "conventional_oxygen"}


@pytest.mark.requirement(18)
@pytest.mark.parametrize(
    ("birth_date", "status", "age_group"),
    [
        (dt.date(2002, 2, 10), "eligible", "18-59"),  # 18 today
        (dt.date(2002, 2, 11), "screen_failed", None),  # 18 tomorrow
        (dt.date(1960, 2, 10), "eligible", "60-75"),  # 60 today
        (dt.date(1960, 2, 11), "eligible", "18-59"),  # 60 tomorrow
        (dt.date(1944, 2, 11), "eligible", "60-75"),  # 76 tomorrow
        (dt.date(1944, 2, 10), "screen_failed", None),  # 76 today
    ],
)
def test_18_and_75_are_eligible_and_17_and_76_are_not(world, birth_date, status, age_group):
    participant = a_participant(world, birth_date=birth_date, consented_at=CONSENT)

    assert participant.status == status
    assert participant.unmet == ([] if status == "eligible" else ["I1"])
    assert participant.stratum_levels.get("age_group") == age_group


@pytest.mark.requirement(18)
def test_the_age_is_that_of_the_day_at_the_site_and_not_in_utc(world):
    late_evening_utc = dt.datetime(2020, 2, 9, 17, 0, tzinfo=dt.UTC)  # 01:00 on the 10th in Wuhan

    participant = a_participant(world, birth_date=dt.date(2002, 2, 10), consented_at=late_evening_utc)

    assert participant.status == "eligible"


@pytest.mark.requirement(19)
@pytest.mark.parametrize(
    ("given", "unmet"),
    [
        ({"I4A": False, "I4B": False}, []),
        ({"I4A": False, "I4B": False, "I4C": False}, ["I4A", "I4B", "I4C"]),
        ({"E5": True}, ["E5"]),
        ({"I2": False, "E1": True}, ["I2", "E1"]),
    ],
)
def test_criteria_combine_as_the_trial_file_says(world, given, unmet):
    participant = a_participant(world, eligibility=answers(**given))

    assert participant.unmet == unmet
    assert participant.status == ("screen_failed" if unmet else "eligible")


@pytest.mark.parametrize(
    ("other", "wrong"),
    [
        ({"eligibility": {**answers(), "E99": True}}, ("#/eligibility/E99", "unknown")),
        ({"eligibility": {k: v for k, v in answers().items() if k != "E3"}}, ("#/eligibility/E3", "missing")),
        ({"strata": {}}, ("#/strata/respiratory_support", "missing")),
        ({"strata": {"respiratory_support": "none"}}, ("#/strata/respiratory_support", "unknown_level")),
        (
            {"strata": {"respiratory_support": "conventional_oxygen", "age_group": "18-59"}},
            ("#/strata/age_group", "derived"),
        ),
        ({"weight_kg": Decimal("29.99")}, ("#/weight_kg", "implausible")),
        ({"weight_kg": Decimal("200.01")}, ("#/weight_kg", "implausible")),
        ({"local_identifier": " -- "}, ("#/local_identifier", "empty")),
        ({"birth_date": dt.date(2999, 1, 1)}, ("#/birth_date", "after_consent")),
        ({"birth_date": dt.date(1870, 1, 1)}, ("#/birth_date", "implausible")),
    ],
)
def test_what_is_missing_unknown_or_implausible_is_refused_by_its_place(world, other, wrong):
    with pytest.raises(FieldsInvalid) as refusal:
        a_participant(world, **other)

    assert wrong in codes_of(refusal.value)
    assert not Participant.objects.exists()


@pytest.mark.parametrize(
    "later", [lambda: trial_now() + dt.timedelta(minutes=1), lambda: dt.datetime.max.replace(tzinfo=dt.UTC)]
)
def test_a_consent_in_the_future_is_refused(world, later):
    with pytest.raises(FieldsInvalid) as refusal:
        a_participant(world, consented_at=later())

    assert codes_of(refusal.value) == {("#/consented_at", "in_the_future")}


@pytest.mark.requirement(13)
@pytest.mark.parametrize("spelling", ["AB-1234567", "ab 1234567", " AB1234567", "ＡＢ１２３４５６７"])
def test_the_same_person_is_not_in_the_trial_twice_however_the_number_is_typed(world, spelling):
    a_participant(world, local_identifier="AB1234567")

    with pytest.raises(AlreadyInTrial, match=r"^This person is already in the trial\.$"):
        a_participant(world, local_identifier=spelling, by="investigator_2", site="HANKOU")

    assert Participant.objects.count() == 1


@pytest.mark.requirement(13)
def test_a_screen_failure_may_be_screened_again(world):
    a_participant(world, local_identifier="AB1234567", eligibility=answers(E5=True))

    again = a_participant(world, local_identifier="AB1234567")

    assert (again.status, again.screening_number) == ("eligible", "PUREN-002")


def test_each_site_counts_its_own_participants_past_a_thousand(world):
    first = a_participant(world)
    Participant.objects.filter(pk=first.pk).update(screening_number="PUREN-999")

    numbers = [a_participant(world).screening_number for _ in range(2)]
    other = a_participant(world, by="investigator_2", site="HANKOU")

    assert numbers == ["PUREN-1000", "PUREN-1001"]
    assert other.screening_number == "HANKOU-001"


def test_of_a_person_only_a_keyed_hash_of_the_identifier_is_kept(world):
    participant = a_participant(world, local_identifier="AB1234567")

    kept = [str(value) for value in Participant.objects.filter(pk=participant.pk).values_list().get()]
    events = b"".join(bytes(entry.body) for entry in Entry.objects.all())

    assert not any("AB1234567" in value or "ab1234567" in value for value in kept)
    assert len(participant.identity_hash) == 64
    for fact in (
        b"AB1234567",
        b"ab1234567",
        participant.identity_hash.encode(),
        str(participant.birth_date).encode(),
    ):
        assert fact not in events


def test_the_trail_says_who_was_screened_by_whom_with_which_result(world):
    participant = a_participant(world, eligibility=answers(E5=True))

    entry = Entry.objects.filter(kind=Kind.PARTICIPANT_SCREENED).get()

    for part in (
        str(participant.pk),
        str(world.person("investigator").pk),
        '"unmet":["E5"]',
        "screen_failed",
    ):
        assert part.encode() in bytes(entry.body)


def test_nobody_is_screened_at_anothers_site_or_without_the_role(world):
    with pytest.raises(NotFound):
        a_participant(world, site="HANKOU")
    with pytest.raises(NotPermitted):
        a_participant(world, by="nurse")


def test_nobody_is_screened_before_activation(db, tmp_path, settings):
    world = a_world(tmp_path, settings, active=False)

    with pytest.raises(TrialNotActive):
        a_participant(world)


def test_the_masked_login_may_screen(world, as_role):
    stated, by = screening_facts(), world.person("investigator")

    with as_role("irt_masked"):
        participant = screen_participant(by=by, at=trial_now(), **stated)

    assert participant.screening_number == "PUREN-001"
