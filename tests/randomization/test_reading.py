"""What the masked face shows of the trial and its participants, and to whom."""

from __future__ import annotations

import pytest

from tests.world import a_participant, a_world, answers, screening_facts
from trialsite.clock.services import trial_now

PARTICIPANTS = "/api/v1/participants"
FIELDS = {
    "id", "screening_number", "site", "status", "unmet", "stratum", "created_at", "randomization_number",
    "randomized_at", "true_stratum", "randomization_errors", "rescreens", "consent", "measurements",
}  # fmt: skip


def body(**other):
    """Return a screening as it is sent."""
    facts = screening_facts(**other)
    sent = {name: facts[name] for name in ("site", "sex", "local_identifier", "eligibility", "strata")}
    return sent | {
        "birth_date": facts["birth_date"].isoformat(),
        "weight_kg": str(facts["weight_kg"]),
        "consented_at": facts["consented_at"].isoformat(),
    }


@pytest.mark.requirement(4)
def test_the_trial_is_shown_without_anything_of_its_blocks_and_list(world):
    answer = world.client("outcome_assessor").get("/api/v1/trial")

    assert set(answer.json()) == {
        "protocol", "title", "status", "factors", "eligibility", "infusions", "sites", "consent_version",
        "consent_versions",
    }  # fmt: skip
    assert answer.json()["status"] == "active"
    assert [infusion["day"] for infusion in answer.json()["infusions"]] == [1, 3, 5, 7]
    assert not any(word in answer.content.decode().lower() for word in ("block", "length", "leaf", '"ratio'))


def test_before_activation_the_trial_says_so_and_nobody_is_screened(db, tmp_path, settings):
    world = a_world(tmp_path, settings, active=False)
    client = world.client("investigator")

    refused = client.post(PARTICIPANTS, body(), headers={"Idempotency-Key": "one"})

    assert client.get("/api/v1/trial").json()["status"] == "loaded"
    assert (refused.status_code, refused.json()["code"]) == (409, "trial_not_active")


def test_a_screening_by_rest_answers_exactly_what_was_found(world):
    answer = world.client("investigator").post(
        PARTICIPANTS, body(eligibility=answers(E5=True)), headers={"Idempotency-Key": "one"}
    )

    assert answer.status_code == 201, answer.content
    assert set(answer.json()) == FIELDS
    assert answer.json()["status"] == "screen_failed"
    assert answer.json()["unmet"] == ["E5"]
    assert answer.json()["randomization_number"] is None


def test_what_the_trial_does_not_allow_is_answered_by_its_place(world):
    sent = {**body(), "weight_kg": "900.00", "arm": "A"}

    unknown = world.client("investigator").post(PARTICIPANTS, sent, headers={"Idempotency-Key": "one"})
    del sent["arm"]
    implausible = world.client("investigator").post(PARTICIPANTS, sent, headers={"Idempotency-Key": "two"})

    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (400, "#/arm")
    assert (implausible.status_code, implausible.json()["errors"][0]["pointer"]) == (400, "#/weight_kg")


def test_each_person_sees_the_participants_of_their_own_sites(world):
    here = a_participant(world)
    there = a_participant(world, by="investigator_2", site="HANKOU")

    for username, seen in (
        ("investigator", {here}),
        ("nurse", {here}),
        ("investigator_2", {there}),
        ("monitor", {here, there}),
    ):
        client = world.client(username)
        listed = {row["id"] for row in client.get(PARTICIPANTS).json()["results"]}
        assert listed == {str(each.pk) for each in seen}
        for participant in (here, there):
            expected = 200 if participant in seen else 404
            assert client.get(f"{PARTICIPANTS}/{participant.pk}").status_code == expected
    assert world.client("outcome_assessor").get(PARTICIPANTS).status_code == 403


@pytest.mark.requirement(54)
def test_participants_are_filtered_by_named_fields_only(world):
    a_participant(world, eligibility=answers(E5=True))
    wanted = a_participant(world)
    client = world.client("investigator")

    by_status = client.get(PARTICIPANTS, {"status": "eligible"}).json()["results"]
    by_number = client.get(PARTICIPANTS, {"screening_number": wanted.screening_number}).json()["results"]

    assert [row["id"] for row in by_status] == [row["id"] for row in by_number] == [str(wanted.pk)]
    for name in ("allocation__slot__position", "identity_hash", "birth_date", "order_by", "status__in"):
        assert client.get(PARTICIPANTS, {name: "1"}).status_code == 400, name


def test_a_participant_who_left_is_discontinued_once(world):
    participant = a_participant(world)
    sent = {"scope": "study", "reason": "withdrew consent", "at": trial_now().isoformat()}
    path = f"{PARTICIPANTS}/{participant.pk}/discontinue"

    first, second = (
        world.client("investigator").post(path, sent, headers={"Idempotency-Key": key})
        for key in ("one", "two")
    )

    assert (first.status_code, first.json()["scope"]) == (200, "study")
    assert (second.status_code, second.json()["code"]) == (409, "already_discontinued")
