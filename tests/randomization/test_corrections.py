"""Corrections: old and new are kept, the participant is judged anew, and no allocation is touched."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any
from unittest import mock

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from randomization.models import Correction, Participant, RandomizationError, ScreeningRevision
from randomization.services import screening_revisions
from randomization.services.corrections import correct_participant
from randomization.services.screening import AlreadyInTrial
from tests.randomization.breaking import a_randomized_participant
from tests.randomization.test_randomization_errors import TRUE, USED, ineligible, the_list, wrong_stratum
from tests.world import World, a_participant, answers, born
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now

_keys = itertools.count()
OLDER = {"age_group": "60-75", "respiratory_support": "conventional_oxygen"}
MEASURED = {"spo2_percent": "91"}
# Every place that may be corrected, with a value that changes it.
PLACES: dict[str, Any] = {
    "/birth_date": "1961-05-05",
    "/sex": "male",
    "/weight_kg": "64.2",
    "/consented_at": "2020-02-10T12:00:00+08:00",
    "/strata/respiratory_support": "high_flow_or_ventilation",
    "/eligibility/E5": True,
    "/local_identifier": "AB-777",
    "/measurements/spo2_percent": "90.5",
}

# Pointer, value, and where the answer says what is wrong.
IMPOSSIBLE: list[tuple[str, Any, str, str]] = [
    ("/arm", "A", "#/pointer", "unknown"),
    ("birth_date", "1970-01-01", "#/pointer", "unknown"),
    ("", "1970-01-01", "#/pointer", "blank"),
    ("/site", "HANKOU", "#/pointer", "unknown"),
    ("/eligibility", {"E5": True}, "#/pointer", "unknown"),
    ("/eligibility/E99", True, "#/pointer", "unknown"),
    ("/strata/sex", "male", "#/pointer", "unknown"),
    ("/measurements/pulse", "80", "#/pointer", "unknown"),
    ("/birth_date/year", "1970", "#/pointer", "unknown"),
    ("/strata/age_group", "60-75", "#/pointer", "derived"),
    ("/birth_date", 1970, "#/value", "wrong_type"),
    ("/birth_date", "1970-13-01", "#/value", "invalid"),
    ("/birth_date", "2999-01-01", "#/value", "after_consent"),
    ("/birth_date", "1870-01-01", "#/value", "implausible"),
    ("/birth_date", None, "#/value", "null"),
    ("/sex", "none", "#/value", "invalid_choice"),
    ("/weight_kg", "12", "#/value", "implausible"),
    ("/weight_kg", "61.555", "#/value", "max_decimal_places"),
    ("/consented_at", "2020-02-10", "#/value", "not_a_time"),
    ("/consented_at", "2999-01-01T00:00:00Z", "#/value", "in_the_future"),
    ("/eligibility/E5", "yes", "#/value", "wrong_type"),
    ("/strata/respiratory_support", "none", "#/value", "unknown_level"),
    ("/measurements/spo2_percent", "12", "#/value", "implausible"),
    ("/measurements/spo2_percent", "high", "#/value", "not_a_decimal"),
    ("/local_identifier", " - ", "#/value", "empty"),
]


def correct(
    world: World, participant: Participant, pointer: str, value: Any, *, who: str = "investigator"
) -> Any:
    """Return the answer of the call."""
    return world.client(who).post(
        f"/api/v1/participants/{participant.pk}/corrections",
        {"pointer": pointer, "value": value, "reason": "Mistyped."},
        headers={"Idempotency-Key": str(next(_keys))},
    )


def faults_of(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.content
    return [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]]


def now(participant: Participant) -> Participant:
    return Participant.objects.get(pk=participant.pk)


def a_randomized(world: World, participant: Participant) -> Participant:
    path = f"/api/v1/participants/{participant.pk}/randomize"
    stratum = now(participant).stratum_levels
    answer = world.client("investigator").post(path, {"stratum": stratum}, headers={"Idempotency-Key": "r"})
    assert answer.status_code == 201, answer.content
    return participant


@pytest.fixture
def screened(world: World) -> Participant:
    return a_participant(world, measurements=MEASURED)


@pytest.fixture
def randomized(world: World) -> Participant:
    return a_randomized_participant(world, measurements=MEASURED).participant


@pytest.mark.requirement(76)
@pytest.mark.parametrize("who", ["screened", "randomized"])
def test_old_and_new_stand_side_by_side_but_for_the_identifier(world, who, request):
    participant = request.getfixturevalue(who)

    answers_given = [correct(world, participant, pointer, value) for pointer, value in PLACES.items()]

    assert [answer.status_code for answer in answers_given] == [201] * len(PLACES)
    listed = (
        world.client("investigator")
        .get(f"/api/v1/participants/{participant.pk}/corrections")
        .json()["results"]
    )
    assert [row["pointer"] for row in listed] == list(PLACES)
    values = {row["pointer"]: (row["old"], row["new"]) for row in listed}
    assert values.pop("/local_identifier") == (None, None)
    assert values.pop("/weight_kg") == ("61.50", "64.20")
    assert values.pop("/consented_at")[1] == "2020-02-10T04:00:00.000Z"
    assert all(old != new == PLACES[pointer] for pointer, (old, new) in values.items())


@pytest.mark.requirement(11, 12, 14, 16)
def test_no_correction_touches_slot_stratum_used_or_verdict_of_the_randomized(world, randomized):
    before = the_list()
    frozen = ("status", "unmet", "eligibility", "stratum_levels")
    screened = Participant.objects.values(*frozen).get(pk=randomized.pk)

    for pointer, value in PLACES.items():
        assert correct(world, randomized, pointer, value).status_code == 201

        assert the_list() == before
        assert Participant.objects.values(*frozen).get(pk=randomized.pk) == screened
    assert not ScreeningRevision.objects.exists()


@pytest.mark.requirement(12)
def test_a_corrected_birth_date_moves_only_the_true_stratum(world, randomized):
    answer = correct(world, randomized, "/birth_date", str(born(years_ago=66)))

    assert (answer.json()["stratum"], answer.json()["true_stratum"]) == (USED, OLDER)
    assert answer.json()["unmet_now"] == []
    assert answer.json()["report_at"] is None
    assert now(randomized).allocation.stratum.levels == now(randomized).stratum_levels == USED
    back = correct(world, randomized, "/birth_date", str(born(years_ago=50)))
    assert back.json()["true_stratum"] is None


@pytest.mark.requirement(12)
def test_a_corrected_factor_and_a_reported_stratum_are_one_true_stratum(world, randomized):
    wrong_stratum(world, randomized, TRUE)

    correct(world, randomized, "/birth_date", str(born(years_ago=66)))
    assert now(randomized).true_stratum_levels == {**TRUE, "age_group": "60-75"}
    correct(world, randomized, "/strata/respiratory_support", "conventional_oxygen")

    assert now(randomized).true_stratum_levels == OLDER


@pytest.mark.requirement(14)
@pytest.mark.parametrize(
    ("pointer", "value", "unmet"),
    [
        ("/birth_date", "2010-01-01", ["I1"]),
        ("/eligibility/E5", True, ["E5"]),
        ("/eligibility/I2", False, ["I2"]),
    ],
)
def test_what_the_corrected_record_does_not_meet_is_told_and_left_to_a_person(
    world, randomized, pointer, value, unmet
):
    answer = correct(world, randomized, pointer, value).json()

    assert (answer["status"], answer["unmet"], answer["unmet_now"]) == ("eligible", [], unmet)
    assert answer["report_at"] == f"/api/v1/participants/{randomized.pk}/ineligible"
    assert not RandomizationError.objects.exists()
    report = world.client("study_manager").get("/api/v1/reports/enrolment").json()
    assert report["unreported"] == [{"screening_number": "PUREN-001", "unmet_now": unmet, "deviations": []}]
    ineligible(world, randomized, *unmet)
    report = world.client("study_manager").get("/api/v1/reports/enrolment").json()
    assert report["unreported"] == []


@pytest.mark.requirement(8, 88)
def test_a_consent_that_proves_later_than_the_randomization_points_to_the_report(world, randomized):
    at = now(randomized).allocation.randomized_at
    later = min(at + dt.timedelta(minutes=1), trial_now()).isoformat()

    answer = correct(world, randomized, "/consented_at", later)

    assert answer.status_code == 201, answer.content
    assert answer.json()["deviations"] == ["consent_not_given"]
    assert answer.json()["report_at"] == f"/api/v1/participants/{randomized.pk}/randomized-in-error"
    report = world.client("study_manager").get("/api/v1/reports/enrolment").json()
    assert [row["deviations"] for row in report["unreported"]] == [["consent_not_given"]]


@pytest.mark.requirement(14)
def test_an_answer_corrected_twice_after_randomization_starts_from_the_first_correction(world, randomized):
    assert correct(world, randomized, "/eligibility/E5", True).status_code == 201
    back = correct(world, randomized, "/eligibility/E5", False)
    again = correct(world, randomized, "/eligibility/E5", False)

    assert (back.json()["old"], back.json()["unmet_now"]) == (True, [])
    assert again.json()["code"] == "nothing_changes"


def test_a_value_that_contradicts_its_answer_is_a_fact_once_randomized(world):
    only_oxygen = answers(I4A=False, I4C=False)
    randomized = a_randomized_participant(world, measurements=MEASURED, eligibility=only_oxygen).participant

    answer = correct(world, randomized, "/measurements/spo2_percent", "96")

    assert answer.status_code == 201, answer.content
    assert answer.json()["unmet_now"] == ["I4A", "I4B", "I4C"]
    assert now(randomized).measurements == {"spo2_percent": "96"}


@pytest.mark.requirement(18)
def test_before_randomization_a_correction_is_judged_as_screening_would(world, screened):
    answer = correct(world, screened, "/birth_date", str(born(years_ago=66)))

    assert (answer.json()["stratum"], answer.json()["true_stratum"]) == (OLDER, None)
    (revision,) = ScreeningRevision.objects.all()
    assert (revision.old["stratum"], revision.new["stratum"]) == (USED, OLDER)
    kinds = [entry.kind for entry in Entry.objects.order_by("position")][-2:]
    assert kinds == [Kind.PARTICIPANT_CORRECTED, Kind.PARTICIPANT_SCREENING_REVISED]


def test_a_correction_may_make_a_screening_fail_or_pass(world, screened):
    failed = correct(world, screened, "/eligibility/E5", True).json()
    passed = correct(world, screened, "/eligibility/E5", False).json()

    assert (failed["status"], failed["unmet"]) == ("screen_failed", ["E5"])
    assert (passed["status"], passed["unmet"]) == ("eligible", [])
    assert ScreeningRevision.objects.count() == 2


def test_a_correction_that_changes_no_verdict_is_no_revision(world, screened):
    assert correct(world, screened, "/weight_kg", "70").status_code == 201

    assert not ScreeningRevision.objects.exists()
    assert str(now(screened).weight_kg) == "70.00"


def test_an_answer_corrected_before_randomization_may_still_be_revised(world, screened):
    correct(world, screened, "/eligibility/E5", True)
    screening_revisions.revise_screening(
        participant_id=screened.pk,
        revision=screening_revisions.Revision(eligibility={"E5": False}, measurements={}, strata={}),
        reason="Ended yesterday.", by=world.person("investigator"), at=trial_now(),
    )  # fmt: skip
    randomized = a_randomized(world, screened)

    assert correct(world, randomized, "/eligibility/E5", False).json()["code"] == "nothing_changes"


@pytest.mark.parametrize("who", ["screened", "randomized"])
def test_what_cannot_be_corrected_is_refused_by_its_place(world, who, request):
    participant = request.getfixturevalue(who)

    found = [
        (pointer, value, *faults_of(correct(world, participant, pointer, value)))
        for pointer, value, _, _ in IMPOSSIBLE
    ]

    assert found == [(pointer, value, (place, code)) for pointer, value, place, code in IMPOSSIBLE]
    assert not Correction.objects.exists()


def test_before_randomization_a_value_does_not_contradict_its_answer(world, screened):
    answer = correct(world, screened, "/measurements/spo2_percent", "96")

    assert faults_of(answer) == [("#/value", "contradicts_measurement")]


@pytest.mark.parametrize("who", ["screened", "randomized"])
def test_a_correction_that_changes_nothing_is_refused(world, who, request):
    participant = now(request.getfixturevalue(who))
    on_record = {
        "/birth_date": participant.birth_date.isoformat(),
        "/sex": "female",
        "/weight_kg": "61.5",
        "/consented_at": participant.consented_at.isoformat(),
        "/strata/respiratory_support": "conventional_oxygen",
        "/eligibility/E5": False,
        "/measurements/spo2_percent": "91",
    }

    refused = [correct(world, participant, pointer, value) for pointer, value in on_record.items()]

    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(409, "nothing_changes")}


@pytest.mark.requirement(13)
@pytest.mark.parametrize("who", ["screened", "randomized"])
def test_a_corrected_identifier_is_kept_as_a_hash_and_guards_against_duplicates(world, who, request):
    participant = request.getfixturevalue(who)
    a_participant(world, local_identifier="AB-1", by="investigator_2", site="HANKOU")
    before = participant.identity_hash

    taken = correct(world, participant, "/local_identifier", "ab 1")
    corrected = correct(world, participant, "/local_identifier", "AB-2")
    same = correct(world, participant, "/local_identifier", "ab2")

    assert (taken.status_code, taken.json()["code"]) == (409, "already_in_trial")
    assert taken.json()["detail"] == "This person is already in the trial."
    assert corrected.status_code == 201
    assert same.json()["code"] == "nothing_changes"
    assert now(participant).identity_hash != before
    with pytest.raises(AlreadyInTrial):
        a_participant(world, local_identifier="AB-2")
    a_participant(world, local_identifier="another", by="investigator_2", site="HANKOU")
    kept = [str(row) for row in Correction.objects.values_list()]
    assert not any("AB-2" in text or now(participant).identity_hash in text for text in kept)
    assert not any(b"AB-2" in bytes(entry.body) for entry in Entry.objects.all())


@pytest.mark.requirement(13, 76)
def test_who_was_randomized_is_not_taken_again_by_the_identifier_that_they_had(world):
    participant = a_randomized_participant(world, local_identifier="AB-1").participant
    before = now(participant).identity_hash

    assert correct(world, participant, "/local_identifier", "AB-2").status_code == 201

    assert Correction.objects.get().identity_hash_before == before
    for identifier in ("AB-1", "AB-2"):
        with pytest.raises(AlreadyInTrial):
            a_participant(world, local_identifier=identifier)
    shown = world.client("investigator").get(f"/api/v1/participants/{participant.pk}/corrections")
    assert before not in shown.content.decode()
    assert correct(world, participant, "/local_identifier", "AB-1").status_code == 201
    assert now(participant).identity_hash == before


@pytest.mark.requirement(13)
def test_of_two_who_become_one_person_at_once_the_second_is_told_so(world, screened):
    raced = mock.patch.object(
        Participant, "save", side_effect=IntegrityError("a_person_is_in_the_trial_once")
    )
    with raced, pytest.raises(AlreadyInTrial):
        correct_participant(
            participant_id=screened.pk, pointer="/local_identifier", value="AB-3", reason="x",
            by=world.person("investigator"), at=trial_now(),
        )  # fmt: skip

    assert not Correction.objects.exists()


@pytest.mark.requirement(74)
def test_the_trail_says_what_was_corrected_and_why_and_neither_value(world, randomized):
    old = str(now(randomized).birth_date)
    new = str(born(years_ago=66))
    correct(world, randomized, "/birth_date", new)

    body = bytes(Entry.objects.get(kind=Kind.PARTICIPANT_CORRECTED).body).decode()

    for part in (str(randomized.pk), "/birth_date", "Mistyped.", '"age_group":"60-75"', "investigator"):
        assert part in body
    assert old not in body
    assert new not in body


@pytest.mark.requirement(76)
@pytest.mark.parametrize("deed", ["UPDATE {} SET new = old", "DELETE FROM {}", "TRUNCATE {}"])
def test_a_correction_is_final_even_for_a_superuser(world, screened, deed):
    correct(world, screened, "/sex", "male")

    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError, match="never rewritten"), transaction.atomic():
            cursor.execute(deed.format("randomization_correction"))


@pytest.mark.requirement(12)
@pytest.mark.parametrize("column", ["stratum_levels", "eligibility", "unmet"])
def test_what_was_used_is_frozen_even_for_a_superuser(world, randomized, column):
    with pytest.raises(DatabaseError, match="is frozen"), transaction.atomic():
        Participant.objects.filter(pk=randomized.pk).update(**{column: []})


def test_only_investigators_of_the_site_correct_and_read_what_was_corrected(world, screened):
    assert correct(world, screened, "/sex", "male", who="investigator_2").status_code == 404
    assert correct(world, screened, "/sex", "male", who="nurse").status_code == 403
    assert correct(world, screened, "/sex", "male", who="monitor").status_code == 403
    path = f"/api/v1/participants/{screened.pk}/corrections"
    readers = ("investigator", "nurse", "pharmacist", "monitor", "study_manager", "investigator_2")
    assert [world.client(who).get(path).status_code for who in readers] == [200, 403, 403, 403, 403, 404]


def test_the_same_key_corrects_once(world, screened):
    client, path = world.client("investigator"), f"/api/v1/participants/{screened.pk}/corrections"
    body = {"pointer": "/sex", "value": "male", "reason": "Mistyped."}

    first, again = (client.post(path, body, headers={"Idempotency-Key": "one"}) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert Correction.objects.count() == 1


def test_the_masked_login_may_correct(world, randomized, as_role):
    with as_role("irt_masked"):
        correct_participant(
            participant_id=randomized.pk, pointer="/birth_date", value=dt.date(1961, 5, 5), reason="x",
            by=world.person("investigator"), at=trial_now(),
        )  # fmt: skip

    assert Correction.objects.count() == 1
