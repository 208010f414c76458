"""Enrolment paused, suspended, closed and opened again: at one site, and in the whole trial."""

from __future__ import annotations

import pytest
from django.db import connection

from randomization.domain.enrolment import MOVES, Act, allows
from randomization.models import EnrolmentChange, Participant
from randomization.selectors import TrialNotActive
from randomization.services.enrolment_changes import IllegalEnrolmentChange, change_enrolment
from randomization.services.enrolment_gate import (
    EnrolmentClosed,
    EnrolmentPaused,
    EnrolmentSuspended,
    SiteNotActive,
)
from supply.models import Infusion, SiteReadiness
from supply.services import activation
from supply.services.enrolment import randomize_participant
from tests.randomization.breaking import a_randomized_participant, ask
from tests.supply.day import Day
from tests.world import a_participant, a_world, screening_facts
from trialsite.accounts.access import NotPermitted
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now
from trialsite.errors import NotFound
from trialsite.outbox.models import Message

PATH = "/api/v1/enrolment-changes"
HANKOU = {"by": "investigator_2", "site": "HANKOU"}
STOPS = [
    ("paused", None, EnrolmentPaused),
    ("suspended", EnrolmentSuspended, EnrolmentSuspended),
    ("closed", EnrolmentClosed, EnrolmentClosed),
]


def change(world, status, *, site=None, by="study_manager", reason="A question about safety."):
    return change_enrolment(site=site, status=status, reason=reason, by=world.person(by), at=trial_now())


def test_an_activation_opens_the_trial_and_each_site_of_its_file(world):
    rows = EnrolmentChange.objects.values_list("number", "site", "status")

    assert list(rows) == [(1, None, "active"), (2, "PUREN", "active"), (3, "HANKOU", "active")]
    assert {row.recorded_by for row in EnrolmentChange.objects.all()} == {world.person("statistician")}
    assert Entry.objects.filter(kind=Kind.ENROLMENT_CHANGED).count() == 3


@pytest.mark.parametrize("site", [None, "PUREN"])
@pytest.mark.parametrize(("status", "screening", "randomizing"), STOPS)
@pytest.mark.requirement(8)
def test_what_stops_in_each_state_and_goes_on_when_enrolment_is_active_again(
    world, status, site, screening, randomizing
):
    waiting = a_participant(world)
    change(world, status, site=site)

    if screening is None:
        waiting = a_participant(world)
    else:
        with pytest.raises(screening):
            a_participant(world)
    with pytest.raises(randomizing):
        randomize(world, waiting)
    assert Participant.objects.filter(allocation=None).count() == Participant.objects.count()

    change(world, "active", site=site)
    assert randomize(world, waiting).position == 0
    a_randomized_participant(world)


def randomize(world, participant):
    return randomize_participant(
        participant_id=participant.pk,
        stratum=participant.stratum_levels,
        by=world.person("investigator"),
        at=trial_now(),
    )


def test_a_stop_at_one_site_is_none_at_the_other(world):
    change(world, "suspended", site="PUREN")

    with pytest.raises(EnrolmentSuspended):
        a_participant(world)
    assert a_randomized_participant(world, **HANKOU).position == 0


def test_an_open_site_does_not_open_a_trial_that_is_paused(world):
    change(world, "paused")
    change(world, "paused", site="PUREN")
    change(world, "active", site="PUREN")

    with pytest.raises(EnrolmentPaused):
        a_randomized_participant(world)


def test_of_two_reasons_to_refuse_the_trials_is_told(world):
    change(world, "paused", site="PUREN")
    change(world, "closed")

    with pytest.raises(EnrolmentClosed):
        a_randomized_participant(world, **HANKOU)
    with pytest.raises(EnrolmentClosed):
        a_participant(world)


@pytest.mark.parametrize("site", [None, "PUREN"])
def test_what_is_closed_is_made_active_and_nothing_else(world, site):
    change(world, "closed", site=site)

    for status in ("paused", "suspended", "closed"):
        with pytest.raises(IllegalEnrolmentChange):
            change(world, status, site=site)
    assert change(world, "active", site=site).status == "active"


@pytest.mark.parametrize("status", ["active", "paused", "suspended", "closed"])
def test_nothing_changes_into_what_it_is(status):
    assert status not in MOVES[status]


def test_what_was_never_opened_allows_nothing():
    assert not any(allows(None, act) for act in Act)
    assert MOVES[None] == {"active"}


@pytest.mark.parametrize("somebody", ["investigator", "monitor", "statistician", "administrator", "auditor"])
def test_nobody_but_the_study_manager_changes_enrolment(world, somebody):
    with pytest.raises(NotPermitted):
        change(world, "paused", by=somebody)


def test_a_site_that_the_trial_does_not_have_is_not_found(world):
    with pytest.raises(NotFound):
        change(world, "paused", site="WUHAN")


def test_nothing_is_changed_before_the_activation(db, tmp_path, settings):
    unopened = a_world(tmp_path, settings, active=False)

    with pytest.raises(TrialNotActive):
        change(unopened, "paused")
    with pytest.raises(TrialNotActive):
        a_participant(unopened)


@pytest.mark.requirement(8)
def test_a_site_that_was_left_out_of_the_activation_enrols_nobody_until_it_is_opened(db, tmp_path, settings):
    world = a_world(tmp_path, settings, active=False)
    activation.activate_trial(by=world.person("study_manager"), at=trial_now(), sites=["PUREN"])
    SiteReadiness.objects.create(site_id="HANKOU", ready_until=trial_now().replace(year=2100))

    with pytest.raises(SiteNotActive):
        a_participant(world, **HANKOU)
    with pytest.raises(IllegalEnrolmentChange):
        change(world, "paused", site="HANKOU")
    a_participant(world)
    change(world, "active", site="HANKOU")

    assert a_randomized_participant(world, **HANKOU).position == 0


def test_a_site_that_is_not_the_trials_cannot_be_activated_with_it(db, tmp_path, settings):
    world = a_world(tmp_path, settings, active=False)

    with pytest.raises(NotFound):
        activation.activate_trial(by=world.person("study_manager"), at=trial_now(), sites=["WUHAN"])

    assert not EnrolmentChange.objects.exists()


@pytest.mark.parametrize("status", ["paused", "suspended", "closed"])
@pytest.mark.requirement(71)
def test_treatment_and_emergency_unblinding_go_on_in_every_state(world, status, settings):
    day = Day(world)
    infusion, *_ = day.enrol()
    change(world, status)
    change(world, status, site="PUREN")

    given = day.infuse(infusion)
    day.wait(days=2)
    again = day.prepare(Infusion.objects.get(participant=infusion.participant, number=2))
    settings.FACE, settings.ROOT_URLCONF = "unmasked", "trialsite.urls.unmasked"
    broken = ask(world, participant=infusion.participant_id)

    assert (given.status, again.status) == ("given", "released")
    assert (broken.status_code, broken.json()["arm"] in {"A", "B"}) == (201, True)


@pytest.mark.parametrize(
    ("site", "told"), [("PUREN", {"investigator"}), (None, {"investigator", "investigator_2"})]
)
def test_the_investigators_whom_it_concerns_are_told_without_the_reason(world, site, told):
    made = change(world, "paused", site=site, reason="Somebody saw a bag.")

    messages = Message.objects.filter(dedupe_key__startswith=f"enrolment:{made.pk}")
    assert {message.recipient for message in messages} == {world.person(name).email for name in told}
    assert all("paused" in message.subject and "saw a bag" not in message.body for message in messages)


def test_a_change_is_on_the_trail_with_its_scope_and_reason(world):
    change(world, "paused", site="PUREN", reason="Audit.")
    change(world, "closed", reason="All are in.")

    *_, of_site, of_trial = (
        parse(bytes(entry.body))
        for entry in Entry.objects.filter(kind=Kind.ENROLMENT_CHANGED).order_by("position")
    )
    assert of_site["about"]["site"] == "PUREN"
    assert of_site["data"] == {"status": "paused", "reason": "Audit."}
    assert "site" not in of_trial["about"]
    assert of_trial["role"] == "study_manager"


def test_over_the_interface_a_manager_pauses_and_an_investigator_reads_what_concerns_them(world):
    def send(**body):
        return world.client("study_manager").post(
            PATH,
            {"site": None, "reason": "Audit."} | body,
            format="json",
            headers={"Idempotency-Key": str(body)},
        )

    made = send(status="paused", site="HANKOU")
    assert made.status_code == 201
    assert made.json()["number"] == 4
    assert send(status="suspended").status_code == 201
    assert send(status="paused", site="WUHAN").status_code == 404
    assert send(status="suspended", reason="Again.").json()["code"] == "illegal_enrolment_change"
    assert send(status="paused", reason=" ").status_code == 400
    assert send(status="stopped").status_code == 400

    def seen(by, query=""):
        rows = world.client(by).get(PATH + query).json()["results"]
        return [(row["site"], row["status"]) for row in rows]

    activation_rows = [(None, "active"), ("PUREN", "active"), ("HANKOU", "active")]
    assert seen("monitor") == [*activation_rows, ("HANKOU", "paused"), (None, "suspended")]
    assert seen("investigator") == [(None, "active"), ("PUREN", "active"), (None, "suspended")]
    assert seen("monitor", "?site=HANKOU&status=paused") == [("HANKOU", "paused")]
    refused = world.client("investigator").post(
        "/api/v1/participants", screening_facts(), format="json", headers={"Idempotency-Key": "x"}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "enrolment_suspended")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE randomization_enrolmentchange SET status = 'active'",
        "DELETE FROM randomization_enrolmentchange",
    ],
)
def test_no_row_of_enrolment_is_ever_rewritten(world, statement):
    with pytest.raises(Exception, match="never rewritten"), connection.cursor() as cursor:
        cursor.execute(statement)
