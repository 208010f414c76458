"""Consent through a participant's time in the trial: given, given anew, withdrawn."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from randomization import selectors
from randomization.models import Consent, Discontinuation, Participant
from randomization.services.consent import ConsentNotGiven, ConsentWithdrawn, Given, give_consent
from randomization.services.screening_revisions import Revision, revise_screening
from supply.models import Infusion, Order
from supply.services.withdrawal import withdraw_consent
from tests.randomization.breaking import a_randomized_participant
from tests.world import World, a_participant, screening_facts
from trialsite import protocol as protocols
from trialsite.accounts.access import NotPermitted
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now
from trialsite.errors import FieldsInvalid, NotFound

WIFE = {"given_by": "representative", "relationship": "wife"}
_keys = itertools.count(1)


@pytest.fixture
def newer_consent(world: World, monkeypatch) -> None:
    """The trial's consent form is in version 2.0, and 1.0 still holds."""
    text = protocols.DEFAULT_TRIAL_FILE.read_text(encoding="utf-8")
    changed = text.replace(
        'consent_version = "1.0"', 'consent_version = "2.0"\nconsent_versions_accepted = ["1.0"]'
    )
    version, _ = selectors.active_trial()
    trial = protocols.load(changed.encode())
    for module in ("screening", "consent"):
        monkeypatch.setattr(f"randomization.services.{module}.active_trial", lambda: (version, trial))


def reconsent(world: World, participant: Participant, by: str = "investigator", **other: Any) -> Consent:
    now = trial_now()
    given_at = other.pop("given_at", now)
    return give_consent(
        participant_id=participant.pk, given=Given(**other), given_at=given_at, by=world.person(by), at=now
    )


def withdraw(world: World, participant: Participant, **other: Any) -> Consent:
    now = trial_now()
    stated = {
        "participant_id": participant.pk,
        "given_by": "participant",
        "relationship": "",
        "reason": "",
        "withdrawn_at": now,
        "scope": "treatment",
        "by": world.person("investigator"),
        "at": now,
    }
    return withdraw_consent(**stated | other)


def randomize(world: World, participant: Participant) -> Any:
    return world.client("investigator").post(
        f"/api/v1/participants/{participant.pk}/randomize",
        {"stratum": participant.stratum_levels},
        headers={"Idempotency-Key": f"randomize-{next(_keys)}"},
    )


def events(kind: Kind) -> list[dict[str, Any]]:
    return [parse(bytes(entry.body)) for entry in Entry.objects.filter(kind=kind).order_by("position")]


def test_a_screening_that_says_nothing_of_it_has_the_participants_consent_to_the_version_in_force(world):
    participant = a_participant(world)

    (consent,) = participant.consents.all()
    assert (consent.act, consent.version, consent.giver) == ("given", "1.0", "participant")
    assert consent.at == participant.consented_at
    assert participant.consent_version == "1.0"
    (event,) = events(Kind.CONSENT_GIVEN)
    assert event["about"] == {"participant": str(participant.pk), "site": "PUREN"}
    assert event["data"]["version"] == "1.0"


def test_a_representative_consents_and_is_somebody(world):
    participant = a_participant(world, consent=WIFE)

    (consent,) = participant.consents.all()
    assert (consent.giver, consent.relationship) == ("representative", "wife")
    (event,) = events(Kind.CONSENT_GIVEN)
    assert event["data"]["given_by"] == "representative"
    assert "wife" not in str(event)


@pytest.mark.parametrize(
    ("consent", "wrong"),
    [
        ({"version": "0.9"}, ("#/consent/version", "unknown_version")),
        ({"given_by": "representative"}, ("#/consent/relationship", "required")),
        ({"relationship": "wife"}, ("#/consent/relationship", "not_a_representative")),
    ],
)
def test_a_consent_to_no_version_of_the_trials_or_by_nobody_is_refused(world, consent, wrong):
    with pytest.raises(FieldsInvalid) as refusal:
        a_participant(world, consent=consent)

    assert {(fault.pointer, fault.code) for fault in refusal.value.faults} == {wrong}
    assert not Participant.objects.exists()


def test_an_older_version_is_taken_as_long_as_the_trial_file_accepts_it(world, newer_consent):
    assert a_participant(world).consent_version == "2.0"
    assert a_participant(world, consent={"version": "1.0"}).consent_version == "1.0"


def test_the_participant_confirms_what_a_representative_consented_to_and_both_acts_stay(world):
    participant = a_participant(world, consent=WIFE)

    reconsent(world, participant)

    acts = world.client("nurse").get(f"/api/v1/participants/{participant.pk}/consents").json()["results"]
    assert [act["given_by"] for act in acts] == ["representative", "participant"]
    assert participant.consent is not None
    assert participant.consent.given_by == "participant"


def test_consent_to_a_new_version_moves_neither_the_first_consent_nor_the_age(world, newer_consent):
    participant = a_participant(world, consent={"version": "1.0"})

    reconsent(world, participant)

    changed = Participant.objects.get()
    assert changed.consent_version == "2.0"
    assert changed.consented_at == participant.consented_at


@pytest.mark.requirement(49)
def test_a_consent_entered_late_stands_where_it_was_given(world, newer_consent):
    participant = a_participant(world, consent={"version": "1.0"})
    reconsent(world, participant)

    reconsent(
        world, participant, version="1.0", given_at=participant.consented_at + dt.timedelta(minutes=1), **WIFE
    )

    assert Participant.objects.get().consent_version == "2.0"
    assert Consent.objects.count() == 3


def test_a_consent_of_tomorrow_is_not_taken(world):
    participant = a_participant(world)

    with pytest.raises(FieldsInvalid):
        reconsent(world, participant, given_at=trial_now() + dt.timedelta(days=1))


@pytest.mark.requirement(8)
@pytest.mark.parametrize("scope", ["treatment", "study"])
def test_who_withdrew_consent_is_not_randomized(world, scope):
    participant = a_participant(world)
    withdraw(world, participant, scope=scope)

    refused = randomize(world, participant)

    assert (refused.status_code, refused.json()["code"]) == (409, "consent_withdrawn")


@pytest.mark.requirement(8)
def test_who_was_discontinued_is_told_so_and_not_that_consent_was_withdrawn(world):
    participant = a_participant(world)
    Discontinuation.objects.create(
        participant=participant,
        scope="treatment",
        reason="moved away",
        at=trial_now(),
        recorded_at=trial_now(),
        recorded_by=world.person("investigator"),
    )

    assert randomize(world, participant).json()["code"] == "discontinued"


@pytest.mark.requirement(8)
def test_nobody_is_randomized_at_a_time_before_their_consent(world):
    from randomization.services.assignment import take_next_slot

    participant = a_participant(world)

    with pytest.raises(ConsentNotGiven):
        take_next_slot(
            participant=participant,
            levels=participant.stratum_levels,
            by=world.person("investigator"),
            at=participant.consented_at - dt.timedelta(minutes=1),
        )


@pytest.mark.requirement(45)
def test_a_withdrawal_ends_the_coming_infusions_and_the_open_order_in_one_go(world):
    participant = a_randomized_participant(world).participant
    first = Infusion.objects.filter(participant=participant).earliest("number")
    Infusion.objects.filter(pk=first.pk).update(status="ordered")
    now = trial_now()
    Order.objects.create(
        infusion=first,
        weight_kg="61",
        weighed_at=now,
        needed_at=now,
        ward="3",
        ordered_at=now,
        ordered_by=world.person("investigator"),
    )

    withdraw(world, participant, reason="too far away", **WIFE)

    assert set(Infusion.objects.values_list("status", flat=True)) == {"cancelled"}
    assert Order.objects.get().cancelled
    ended = Discontinuation.objects.get()
    assert (ended.scope, ended.reason) == ("treatment", "Consent was withdrawn. too far away")
    kinds = list(Entry.objects.order_by("-position").values_list("kind", flat=True)[:2])
    assert kinds == [Kind.PARTICIPANT_DISCONTINUED, Kind.CONSENT_WITHDRAWN]


def test_a_withdrawal_before_the_consent_is_refused(world):
    participant = a_participant(world)

    with pytest.raises(FieldsInvalid) as refusal:
        withdraw(world, participant, withdrawn_at=participant.consented_at - dt.timedelta(minutes=1))

    assert [(fault.pointer, fault.code) for fault in refusal.value.faults] == [("#/at", "before_consent")]
    assert not Discontinuation.objects.exists()


@pytest.mark.requirement(8, 88)
@pytest.mark.parametrize(("minutes", "found"), [(-1, ["consent_withdrawn", "discontinued"]), (0, [])])
def test_a_withdrawal_before_the_randomization_that_is_entered_after_it_points_to_the_report(
    world, minutes, found
):
    allocation = a_randomized_participant(world)
    path = f"/api/v1/participants/{allocation.participant_id}"
    client, keys = world.client("investigator"), iter("abc")

    def post(call: str, **body: Any) -> Any:
        return client.post(f"{path}/{call}", body, headers={"Idempotency-Key": next(keys)}).json()

    at = allocation.randomized_at + dt.timedelta(minutes=minutes)
    answer = post("withdraw-consent", scope="treatment", at=at.isoformat())

    def unreported() -> Any:
        return client.get("/api/v1/reports/enrolment").json()["unreported"]

    listed = {"screening_number": "PUREN-001", "unmet_now": [], "deviations": found}
    assert answer["deviations"] == found
    assert answer["report_at"] == (f"{path}/randomized-in-error" if found else None)
    assert unreported() == ([listed] if found else [])
    told = post("randomized-in-error", reason="It was withdrawn before.", known_at=trial_now().isoformat())
    assert told["kind"] == "randomized_in_error", told
    assert unreported() == []


def test_nobody_owes_a_reason_for_withdrawing(world):
    withdraw(world, a_participant(world))

    assert Discontinuation.objects.get().reason == "Consent was withdrawn."


def test_a_withdrawal_after_a_discontinuation_is_a_fact_and_recorded(world):
    participant = a_randomized_participant(world).participant
    withdraw(world, participant)

    withdraw(world, participant, scope="study")
    with pytest.raises(ConsentWithdrawn):
        withdraw(world, participant)

    assert list(participant.consents.values_list("scope", flat=True)) == ["", "treatment", "study"]
    assert Discontinuation.objects.count() == 2


def test_a_withdrawal_in_a_scope_that_ended_before_discontinues_nothing_twice(world):
    participant = a_randomized_participant(world).participant
    withdraw(world, participant)
    reconsent(world, participant)

    withdraw(world, participant)

    assert Discontinuation.objects.count() == 1
    assert len(events(Kind.CONSENT_WITHDRAWN)) == 2


@pytest.mark.requirement(13)
def test_who_changes_their_mind_before_randomization_is_failed_and_screened_anew(world):
    first = a_participant(world, local_identifier="AB1234567")
    withdraw(world, first)
    revise_screening(
        participant_id=first.pk,
        revision=Revision(eligibility={"E11": True}, measurements={}, strata={}),
        reason="Consent was withdrawn",
        by=world.person("investigator"),
        at=trial_now(),
    )

    again = a_participant(world, local_identifier="AB1234567")

    assert again.rescreens == first
    assert randomize(world, again).status_code == 201


def test_the_participant_shows_the_consent_that_stands_and_its_withdrawal(world):
    participant = a_participant(world, consent=WIFE)
    client, path = world.client("monitor"), f"/api/v1/participants/{participant.pk}"
    before = client.get(path).json()["consent"]

    withdraw(world, participant)

    assert before == {
        "version": "1.0",
        "given_by": "representative",
        "at": before["at"],
        "withdrawn_at": None,
    }
    assert client.get(path).json()["consent"]["withdrawn_at"] is not None


def test_another_sites_people_reach_no_consent(world):
    participant = a_participant(world)

    with pytest.raises(NotFound):
        reconsent(world, participant, by="investigator_2")
    with pytest.raises(NotFound):
        withdraw(world, participant, by=world.person("investigator_2"))
    with pytest.raises(NotPermitted):
        reconsent(world, participant, by="nurse")
    path = f"/api/v1/participants/{participant.pk}/consents"
    assert world.client("investigator_2").get(path).status_code == 404


def test_consent_over_rest(world):
    client = world.client("investigator")
    facts = screening_facts(consent={**WIFE, "version": "1.0"}, measurements={"spo2_percent": "90"})
    screened = client.post("/api/v1/participants", facts, format="json", headers={"Idempotency-Key": "s"})
    assert (screened.status_code, screened.json()["measurements"]) == (201, {"spo2_percent": "90"})
    path = f"/api/v1/participants/{screened.json()['id']}"
    now = trial_now().isoformat()

    again = client.post(f"{path}/consents", {"at": now}, format="json", headers={"Idempotency-Key": "c"})
    wrong = client.post(
        f"{path}/consents", {"version": "7", "at": now}, format="json", headers={"Idempotency-Key": "w"}
    )
    end = {"scope": "study", "at": now}
    ended = client.post(f"{path}/withdraw-consent", end, format="json", headers={"Idempotency-Key": "e"})

    assert (again.status_code, again.json()["given_by"]) == (201, "participant")
    assert [error["code"] for error in wrong.json()["errors"]] == ["unknown_version"]
    assert (ended.status_code, ended.json()["act"], ended.json()["scope"]) == (200, "withdrawn", "study")
    assert client.get(f"{path}/consents").json()["count"] == 3


def test_the_masked_login_may_record_consent(world, as_role):
    participant, by, now = a_participant(world), world.person("investigator"), trial_now()

    with as_role("irt_masked"):
        give_consent(participant_id=participant.pk, given=Given(**WIFE), given_at=now, by=by, at=now)
        withdraw(world, participant, by=by)

    assert Consent.objects.count() == 3
