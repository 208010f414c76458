"""Envelopes entered through the masked face, and compared with the paper through both."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator

import pytest
from django.db import connection

from randomization.models import Participant, Transfer
from randomization.services.enrolment_changes import change_enrolment
from supply.services.paper_enrolment import enter_paper_randomization
from tests.randomization.test_emergency import HOUR, events_of, numbers_of
from tests.world import a_participant, screening_facts
from trialsite.audit.kinds import Kind
from trialsite.clock.models import TrialClock
from trialsite.clock.services import trial_now


@contextlib.contextmanager
def logged_in_as(login: str) -> Iterator[None]:
    """Inside, the database grants what it grants that login."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION AUTHORIZATION {login}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET SESSION AUTHORIZATION")


@pytest.fixture(autouse=True)
def six_hours_later(world):
    TrialClock.objects.update(offset_seconds=6 * 3600)


def screened(world):
    return a_participant(world, consented_at=trial_now() - 7 * HOUR)


def post(world, path, body, *, key="one", by="investigator"):
    return world.client(by).post(f"/api/v1/{path}", body, headers={"Idempotency-Key": key})


def paper(participant, number, *, hours=3.0):
    return {
        "randomization_number": number,
        "randomized_at": (trial_now() - hours * HOUR).isoformat(),
        "stratum": participant.stratum_levels,
        "reason": "Power cut.",
    }


@pytest.mark.requirement(10, 83)
def test_an_entry_is_answered_like_a_randomization_and_once(world):
    participant, number = screened(world), numbers_of()[0]
    path, body = f"participants/{participant.pk}/randomized-on-paper", paper(participant, number)

    with logged_in_as("irt_masked"):
        answer, again = (post(world, path, body) for _ in range(2))
        other = post(world, path, body | {"reason": "Another."})

    assert answer.status_code == 201, answer.content
    assert answer.content == again.content
    assert other.json()["code"] == "idempotency_key_reused"
    told = answer.json()
    assert (told["randomization_number"], told["stratum"]) == (number, participant.stratum_levels)
    assert (told["reason"], len(told["infusions"])) == ("Power cut.", 4)
    shown = world.client("investigator").get(f"/api/v1/participants/{participant.pk}").json()
    assert (shown["randomization_number"], shown["stratum"]) == (number, participant.stratum_levels)
    assert shown["randomized_at"] == told["randomized_at"]


@pytest.mark.requirement(83, 50)
def test_the_report_has_what_was_entered_in_order_and_nothing_of_what_is_left(world):
    first, second, third, *rest = numbers_of()
    people = [screened(world) for _ in range(2)]
    told = {"site": "PUREN", "reason": "Torn.", "spoiled_at": (trial_now() - 4 * HOUR).isoformat()}
    with logged_in_as("irt_masked"):
        for participant, number, hours in ((people[0], first, 5.0), (people[1], second, 2.04)):
            path = f"participants/{participant.pk}/randomized-on-paper"
            assert post(world, path, paper(participant, number, hours=hours), key=number).status_code == 201
        spoiled = post(world, "emergency-envelopes/spoiled", told | {"randomization_number": third})

        report = world.client("monitor").get("/api/v1/reports/emergency-list")
        elsewhere = world.client("investigator_2").get("/api/v1/reports/emergency-list").json()

    assert spoiled.status_code == 201
    assert spoiled.json()["randomization_number"] == third
    rows = report.json()["results"]
    assert [(row["envelope"], row["randomization_number"], row["state"]) for row in rows] == [
        (1, first, "randomized"),
        (2, second, "randomized"),
        (3, third, "spoiled"),
    ]
    assert [row["delay_hours"] for row in rows] == ["5.0", "2.0", "4.0"]
    # The third has an earlier time than the second: a slip of the pen, or another order.
    assert [row["out_of_order"] for row in rows] == [False, False, True]
    assert [row["screening_number"] for row in rows] == [*(p.screening_number for p in people), None]
    assert {row["entered_by"] for row in rows} == {"investigator"}
    assert not any(number in report.content.decode() for number in rest)
    assert elsewhere["count"] == 0


@pytest.mark.requirement(48, 83)
def test_the_site_that_entered_somebody_who_was_transferred_sees_the_envelope_too(world):
    participant, (first, second, *_) = screened(world), numbers_of()
    Transfer.objects.create(
        participant=participant, from_site_id="PUREN", to_site_id="HANKOU", reason="Ward closed.",
        at=trial_now(), recorded_by=world.person("study_manager"),
    )  # fmt: skip
    Participant.objects.filter(pk=participant.pk).update(site="HANKOU")
    path = f"participants/{participant.pk}/randomized-on-paper"
    torn = {"site": "PUREN", "reason": "Torn.", "spoiled_at": trial_now().isoformat()}

    with logged_in_as("irt_masked"):
        entered = post(world, path, paper(participant, first), by="investigator_2")
        spoiled = post(world, "emergency-envelopes/spoiled", torn | {"randomization_number": second})
        there, here = (
            world.client(who).get("/api/v1/reports/emergency-list").json()["results"]
            for who in ("investigator_2", "investigator")
        )

    assert (entered.status_code, spoiled.status_code) == (201, 201)
    assert [row["randomization_number"] for row in there] == [first]
    assert [row["randomization_number"] for row in here] == [first, second]


@pytest.mark.requirement(83)
@pytest.mark.parametrize("site", ["PUREN", None])
def test_who_was_screened_on_paper_is_judged_by_how_enrolment_stood_then(world, site):
    by, now = world.person("study_manager"), trial_now()
    change_enrolment(site=site, status="closed", reason="Full.", by=by, at=now - HOUR)

    def screens(**other):
        facts = screening_facts(consented_at=now - 4 * HOUR) | other
        return post(world, "participants", facts, key=facts["local_identifier"])

    with logged_in_as("irt_masked"):
        late = screens()
        paper_then = screens(screened_on_paper_at=(now - 3 * HOUR).isoformat())
        paper_late = screens(screened_on_paper_at=(now - HOUR / 2).isoformat())
        to_come = screens(screened_on_paper_at=(now + HOUR).isoformat())

    assert (late.status_code, late.json()["code"]) == (409, "enrolment_closed")
    assert paper_then.status_code == 201, paper_then.content
    assert paper_late.json()["code"] == "enrolment_closed"
    assert [fault["pointer"] for fault in to_come.json()["errors"]] == ["#/screened_on_paper_at"]
    (event,) = events_of(Kind.PARTICIPANT_SCREENED)
    screened_at = dt.datetime.fromisoformat(event["data"]["paper"]["screened_at"])
    assert abs(screened_at - (now - 3 * HOUR)) < dt.timedelta(seconds=1)


@pytest.mark.requirement(83)
def test_the_pharmacy_compares_its_envelopes_with_the_whole_list(world, unmasked_face):
    numbers = numbers_of()
    enter_paper_randomization(
        participant_id=screened(world).pk,
        randomization_number=numbers[0],
        randomized_at=trial_now() - HOUR,
        stratum=screened(world).stratum_levels,
        reason="Power cut.",
        opened_by="",
        by=world.person("investigator"),
        at=trial_now(),
    )

    with logged_in_as("irt_unmasked"):
        mine = world.client("preparer").get("/api/v1/emergency-list").json()
        unused = world.client("preparer").get("/api/v1/emergency-list?state=unused").json()
        all_sites = world.client("statistician").get("/api/v1/emergency-list").json()
        refused = world.client("investigator").get("/api/v1/emergency-list")

    assert [row["randomization_number"] for row in mine["results"]] == numbers
    assert [row["state"] for row in mine["results"]] == ["randomized"] + ["unused"] * (len(numbers) - 1)
    assert unused["count"] == len(numbers) - 1
    assert {row["site"] for row in mine["results"]} == {"PUREN"}
    assert {row["site"] for row in all_sites["results"]} == {"PUREN", "HANKOU"}
    assert refused.status_code == 403
