"""Errors of randomization: told by a person, kept beside what was used, and never undone."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from randomization.models import Allocation, Participant, RandomizationError, Stratum
from randomization.services import randomization_errors as errors
from randomization.services.randomization_errors import StratumNotWrong
from tests.randomization.breaking import a_randomized_participant
from tests.world import World, a_participant
from trialsite.accounts.access import NotPermitted
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now
from trialsite.errors import FieldsInvalid, NotFound

USED = {"age_group": "18-59", "respiratory_support": "conventional_oxygen"}
TRUE = {"age_group": "18-59", "respiratory_support": "high_flow_or_ventilation"}
OLDER = {"age_group": "60-75", "respiratory_support": "conventional_oxygen"}
# Each kind of report, with what it says beside the reason.
REPORTS: dict[str, dict[str, Any]] = {
    "randomized-in-error": {},
    "wrong-stratum": {"stratum": TRUE},
    "ineligible": {"criteria": ["E5"]},
}


def finding(**other: Any) -> dict[str, Any]:
    return {"reason": "Found by the monitor.", "known_at": trial_now(), "at": trial_now()} | other


def wrong_stratum(world: World, participant: Participant, stratum: dict[str, str]) -> RandomizationError:
    by = world.person("investigator")
    return errors.report_wrong_stratum(participant_id=participant.pk, stratum=stratum, by=by, **finding())


def ineligible(world: World, participant: Participant, *criteria: str) -> RandomizationError:
    by = world.person("investigator")
    return errors.report_ineligible(participant_id=participant.pk, criteria=criteria, by=by, **finding())


def duplicate(
    world: World, participant: Participant, other: Participant | str, *, by: str = "investigator"
) -> RandomizationError:
    named = other if isinstance(other, str) else str(other.pk)
    return errors.report_duplicate(
        participant_id=participant.pk, duplicate_of=named, by=world.person(by), **finding()
    )


def post(world: World, participant: Participant, call: str, *, who: str = "investigator", **body: Any) -> Any:
    stated = {"reason": "Found by the monitor.", "known_at": trial_now().isoformat()} | body
    path = f"/api/v1/participants/{participant.pk}/{call}"
    return world.client(who).post(path, stated, headers={"Idempotency-Key": json.dumps(stated)})


def codes_of(refusal: FieldsInvalid) -> set[tuple[str, str]]:
    return {(fault.pointer, fault.code) for fault in refusal.faults}


def the_list() -> list[Any]:
    """Return everything that the list and its allocations say, but for what is sealed."""
    return [list(Allocation.objects.order_by("pk").values()), list(Stratum.objects.order_by("pk").values())]


@pytest.fixture
def randomized(world: World) -> Participant:
    return a_randomized_participant(world).participant


@pytest.mark.requirement(11, 12, 14, 16)
@pytest.mark.parametrize("call", REPORTS)
def test_an_error_is_kept_beside_the_randomization_and_moves_nothing_of_it(world, randomized, call):
    before = the_list()
    frozen = ("status", "unmet", "eligibility", "stratum_levels")
    screened = Participant.objects.values(*frozen).get(pk=randomized.pk)

    answer = post(world, randomized, call, **REPORTS[call])

    assert answer.status_code == 201, answer.content
    assert answer.json()["stratum_used"] == USED
    assert the_list() == before
    assert Participant.objects.values(*frozen).get(pk=randomized.pk) == screened


@pytest.mark.requirement(12)
def test_the_true_stratum_stands_beside_the_one_that_was_used(world, randomized):
    error = wrong_stratum(world, randomized, TRUE)

    randomized.refresh_from_db()
    assert randomized.true_stratum_levels == TRUE
    assert randomized.stratum_levels == randomized.allocation.stratum.levels == USED
    assert (error.stratum_used, error.true_stratum) == (USED, TRUE)


@pytest.mark.requirement(12, 76)
def test_a_stratum_is_reported_again_and_the_latest_report_holds(world, randomized):
    reports = [wrong_stratum(world, randomized, stratum) for stratum in (TRUE, OLDER, TRUE)]

    randomized.refresh_from_db()
    assert randomized.true_stratum_levels == TRUE
    assert [report.true_stratum for report in RandomizationError.objects.all()] == [TRUE, OLDER, TRUE]
    assert randomized.errors_in_force == reports[2:]


@pytest.mark.requirement(12)
def test_a_stratum_that_was_right_after_all_is_said_so_and_the_wrong_report_stays(world, randomized):
    wrong_stratum(world, randomized, TRUE)
    wrong_stratum(world, randomized, USED)

    randomized.refresh_from_db()
    assert randomized.true_stratum_levels is None
    assert randomized.errors_in_force == []
    assert RandomizationError.objects.count() == 2


def test_a_stratum_that_was_used_is_not_wrong(world, randomized):
    with pytest.raises(StratumNotWrong):
        wrong_stratum(world, randomized, USED)

    assert not RandomizationError.objects.exists()


@pytest.mark.parametrize(
    ("stratum", "wrong"),
    [
        ({"age_group": "18-59"}, ("#/stratum/respiratory_support", "missing")),
        ({**TRUE, "age_group": "12-17"}, ("#/stratum/age_group", "unknown_level")),
        ({**TRUE, "sex": "female"}, ("#/stratum/sex", "unknown_factor")),
        ({}, ("#/stratum/age_group", "missing")),
    ],
)
def test_a_true_stratum_is_a_whole_stratum_of_the_trial(world, randomized, stratum, wrong):
    with pytest.raises(FieldsInvalid) as refusal:
        wrong_stratum(world, randomized, stratum)

    assert wrong in codes_of(refusal.value)


@pytest.mark.requirement(14)
def test_who_was_found_ineligible_stays_with_the_criteria_that_are_not_met(world, randomized):
    ineligible(world, randomized, "E5", "I2")

    randomized.refresh_from_db()
    assert (randomized.status, randomized.unmet) == ("eligible", [])
    assert [error.criteria for error in randomized.errors_in_force] == [["I2", "E5"]]
    seen = world.client("monitor").get(f"/api/v1/participants/{randomized.pk}").json()
    assert [error["kind"] for error in seen["randomization_errors"]] == ["ineligible"]
    assert seen["randomization_number"] == randomized.allocation.randomization_number


@pytest.mark.requirement(14)
def test_ineligibility_is_reported_again_with_other_criteria_or_taken_back_on_record(world, randomized):
    ineligible(world, randomized, "E5")
    again = ineligible(world, randomized, "E1")
    assert randomized.errors_in_force == [again]

    ineligible(world, randomized)

    randomized.refresh_from_db()
    assert randomized.errors_in_force == []
    assert [error.criteria for error in RandomizationError.objects.all()] == [["E5"], ["E1"], []]


@pytest.mark.parametrize(
    ("criteria", "wrong"),
    [(["E5", "E99"], ("#/criteria/1", "unknown")), ([], ("#/criteria", "empty"))],
)
def test_ineligibility_names_criteria_of_the_trial(world, randomized, criteria, wrong):
    with pytest.raises(FieldsInvalid) as refusal:
        ineligible(world, randomized, *criteria)

    assert codes_of(refusal.value) == {wrong}


@pytest.mark.requirement(13)
@pytest.mark.parametrize("sent", ["first", "second"])
def test_of_one_person_randomized_twice_the_first_is_kept_whichever_is_sent(world, sent):
    first = a_randomized_participant(world).participant
    second = a_randomized_participant(world, by="investigator_2", site="HANKOU").participant
    before = the_list()

    if sent == "first":
        error = duplicate(world, first, second)
    else:
        error = duplicate(world, second, first, by="investigator_2")

    assert (error.participant, error.duplicate_of) == (second, first)
    assert (first.errors_in_force, second.errors_in_force) == ([], [error])
    assert the_list() == before


@pytest.mark.requirement(13)
@pytest.mark.parametrize("name", ["id", "screening_number", "randomization_number"])
def test_the_other_one_is_named_by_any_number_and_told_from_no_one_else(world, randomized, name):
    other = a_randomized_participant(world, by="investigator_2", site="HANKOU").participant
    named = " " + str(getattr(other if name != "randomization_number" else other.allocation, name)).lower()

    answer = post(world, randomized, "duplicate", duplicate_of=named)

    assert answer.status_code == 201, answer.content
    assert answer.json() == {
        "id": str(RandomizationError.objects.get().pk),
        "kind": "duplicate",
        "kept": randomized.screening_number,
        "flagged": None,
        "reason": "Found by the monitor.",
        "known_at": answer.json()["known_at"],
        "recorded_at": answer.json()["recorded_at"],
    }


@pytest.mark.requirement(13)
def test_a_number_that_cannot_be_the_other_one_is_refused_in_one_way(world, randomized):
    screened = a_participant(world, by="investigator_2", site="HANKOU")
    names = ["HANKOU-404", "nobody", str(screened.pk), screened.screening_number, str(randomized.pk)]

    answers = [post(world, randomized, "duplicate", duplicate_of=name) for name in names]

    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["errors"][0]["pointer"] == "#/duplicate_of"
    assert not RandomizationError.objects.exists()


@pytest.mark.requirement(13)
def test_three_randomizations_of_one_person_are_told_in_pairs(world):
    first, second, third = (a_randomized_participant(world).participant for _ in range(3))

    for one, other in ((third, second), (second, first), (first, third)):
        duplicate(world, one, other)

    assert len(third.errors_in_force) == 2
    assert len(second.errors_in_force) == 1
    assert first.errors_in_force == []


@pytest.mark.parametrize("call", [*REPORTS, "duplicate"])
def test_what_the_record_says_already_is_not_recorded_twice(world, randomized, call):
    other = a_randomized_participant(world).participant
    body = {"duplicate_of": other.screening_number} if call == "duplicate" else REPORTS[call]

    first = post(world, randomized, call, **body)
    again = post(world, randomized, call, **body)
    from_the_other_side = post(world, other, call, duplicate_of=randomized.screening_number)

    assert first.status_code == 201, first.content
    assert (again.status_code, again.json()["code"]) == (409, "already_reported")
    if call == "duplicate":
        assert from_the_other_side.json()["code"] == "already_reported"
    assert RandomizationError.objects.count() == 1


@pytest.mark.parametrize("call", [*REPORTS, "duplicate"])
def test_who_is_not_randomized_was_not_randomized_in_error(world, call):
    screened, other = a_participant(world), a_randomized_participant(world).participant
    body = {"duplicate_of": other.screening_number} if call == "duplicate" else REPORTS[call]

    answer = post(world, screened, call, **body)

    assert (answer.status_code, answer.json()["code"]) == (409, "not_randomized")


def test_nobody_reports_errors_of_another_site_or_without_the_role(world, randomized):
    stated = {"participant_id": randomized.pk, **finding()}

    with pytest.raises(NotFound):
        errors.report_randomized_in_error(by=world.person("investigator_2"), **stated)
    for somebody in ("nurse", "monitor", "study_manager"):
        with pytest.raises(NotPermitted):
            errors.report_randomized_in_error(by=world.person(somebody), **stated)


def test_an_error_that_is_still_to_be_found_is_refused(world, randomized):
    tomorrow = trial_now() + dt.timedelta(days=1)

    answer = post(world, randomized, "randomized-in-error", known_at=tomorrow.isoformat())

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "#/known_at"


@pytest.mark.requirement(74)
def test_the_trail_says_who_found_which_error_when_and_why(world, randomized):
    other = a_randomized_participant(world).participant
    wrong_stratum(world, randomized, TRUE)
    ineligible(world, randomized, "E5")
    duplicate(world, randomized, other)
    post(world, randomized, "randomized-in-error")

    kinds = (
        (Kind.PARTICIPANT_IN_WRONG_STRATUM, randomized, f'"true_stratum":{json.dumps(TRUE)}'),
        (Kind.PARTICIPANT_INELIGIBLE, randomized, '"criteria":["E5"]'),
        (Kind.PARTICIPANT_DUPLICATE, other, f'"duplicate_of":"{randomized.pk}"'),
        (Kind.PARTICIPANT_RANDOMIZED_IN_ERROR, randomized, '"stratum_used"'),
    )
    for kind, about, said in kinds:
        body = bytes(Entry.objects.get(kind=kind).body).decode()
        assert f'"participant":"{about.pk}"' in body
        assert said.replace(" ", "") in body
        assert "Found by the monitor." in body
        assert str(world.person("investigator").pk) in body


def test_a_report_asked_before_another_and_served_after_it_holds(world, randomized):
    at, by = trial_now(), world.person("investigator")
    stated = {"participant_id": randomized.pk, "reason": "x", "known_at": at, "by": by}
    errors.report_wrong_stratum(stratum=TRUE, at=at + dt.timedelta(seconds=1), **stated)

    later = errors.report_wrong_stratum(stratum=OLDER, at=at, **stated)

    randomized.refresh_from_db()
    assert randomized.true_stratum_levels == OLDER
    assert randomized.errors_in_force == [later]


@pytest.mark.requirement(76)
@pytest.mark.parametrize("deed", ["UPDATE {} SET reason = 'none'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_a_report_is_final_even_for_a_superuser(world, randomized, deed):
    ineligible(world, randomized, "E5")

    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError, match="never rewritten"), transaction.atomic():
            cursor.execute(deed.format("randomization_randomizationerror"))


def test_errors_are_listed_for_their_site_and_for_the_whole_trial(world, randomized):
    far = a_randomized_participant(world, by="investigator_2", site="HANKOU").participant
    ineligible(world, randomized, "E5")
    ineligible(world, randomized, "E1")
    duplicate(world, far, randomized, by="investigator_2")

    def listed(who: str, query: str = "") -> list[tuple[str, bool, str | None]]:
        answer = world.client(who).get(f"/api/v1/randomization-errors{query}")
        assert answer.status_code == 200, answer.content
        return [(each["kind"], each["holds"], each["duplicate_of"]) for each in answer.json()["results"]]

    both = [("ineligible", False, None), ("ineligible", True, None)]
    assert listed("monitor") == listed("study_manager") == [*both, ("duplicate", True, "PUREN-001")]
    assert listed("investigator") == both
    assert listed("investigator_2") == [("duplicate", True, None)]
    assert listed("monitor", "?kind=ineligible") == both
    assert listed("monitor", "?site=HANKOU") == [("duplicate", True, "PUREN-001")]
    assert listed("monitor", f"?participant={randomized.pk}") == both


def test_the_masked_login_may_report_errors(world, randomized, as_role):
    with as_role("irt_masked"):
        wrong_stratum(world, randomized, TRUE)

    assert RandomizationError.objects.count() == 1
