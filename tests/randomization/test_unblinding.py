"""Breaking one code in an emergency: at once, on record first, and for nobody else."""

from __future__ import annotations

import json
from unittest import mock

import pytest

from randomization.models import Unblinding
from randomization.services import unblinding as services
from supply.models import Preparation
from tests.randomization.breaking import (
    PATH,
    a_randomized_participant,
    a_started_bag,
    arm_of,
    ask,
    code_of,
    forget_used_codes,
)
from tests.world import a_participant, the_protocol
from trialsite.accounts.services.factors import Purpose, check_code
from trialsite.api.models import IdempotentRequest
from trialsite.audit import services as audit
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import real_now
from trialsite.outbox.models import Message

pytestmark = pytest.mark.usefixtures("unmasked_face")


@pytest.mark.requirement(62)
def test_one_investigator_of_the_site_learns_the_arm_at_once_and_alone(world, allocation):
    answer = ask(world, participant=allocation.participant_id)

    assert answer.status_code == 201, answer.content
    arm = arm_of(allocation)
    assert answer.json()["arm"] == the_protocol().arms[arm].code
    assert answer.json()["treatment"] == the_protocol().treatment(arm).name
    assert answer.json()["revealed_at"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.requirement(62)
def test_the_emergency_desk_breaks_the_code_of_any_sites_participant(world):
    allocation = a_randomized_participant(world, by="investigator_2", site="HANKOU")

    answer = ask(world, by="emergency_desk", participant=allocation.participant_id)

    assert answer.status_code == 201
    assert answer.json()["arm"] == the_protocol().arms[arm_of(allocation)].code


@pytest.mark.requirement(65)
def test_each_of_several_participants_is_answered_with_their_own_arm(world):
    allocations = [a_randomized_participant(world) for _ in range(6)]

    shown = [
        ask(
            world,
            key=str(each.position),
            by="investigator",
            steps=0,
            randomization_number=each.randomization_number,
        )
        if each.position == 0
        else fresh(world, each)
        for each in allocations
    ]

    assert [answer.json()["arm"] for answer in shown] == [
        the_protocol().arms[arm_of(each)].code for each in allocations
    ]


def fresh(world, allocation):
    """Ask with a one-time code that has not been used: the memory of used codes is emptied first."""
    forget_used_codes()
    return ask(world, key=f"fresh-{allocation.position}", participant=allocation.participant_id)


def test_a_participant_is_named_by_id_number_or_bag(world, allocation):
    kit = a_started_bag(allocation)

    by_id = ask(world, key="1", participant=allocation.participant_id)
    by_number = ask(world, key="2", steps=1, randomization_number=allocation.randomization_number)
    by_bag = ask(world, key="3", steps=-1, kit_number=f"{kit.number[:4]} {kit.number[4:].lower()}")

    assert [answer.status_code for answer in (by_id, by_number, by_bag)] == [201, 201, 201]
    assert len({answer.json()["arm"] for answer in (by_id, by_number, by_bag)}) == 1
    assert {str(each.participant_id) for each in Unblinding.objects.all()} == {str(allocation.participant_id)}


def test_the_bags_that_were_given_are_shown_as_they_were_prepared(world, allocation):
    kit = a_started_bag(allocation, number=2, treatment="Placebo by mistake")

    answer = ask(world, participant=allocation.participant_id)

    (bag,) = answer.json()["kits_given"]
    assert bag["kit_number"] == kit.number
    assert (bag["infusion"], bag["volume_ml"], bag["treatment"]) == (2, "97.50", "Placebo by mistake")


@pytest.mark.requirement(62)
def test_a_bag_whose_contents_cannot_be_read_does_not_hold_up_the_arm(world, allocation):
    a_started_bag(allocation)
    Preparation.objects.update(sealed_contents={"h": "", "w": {}, "c": ""})

    answer = ask(world, participant=allocation.participant_id)

    assert answer.status_code == 201
    assert answer.json()["arm"]
    assert answer.json()["kits_given"][0]["treatment"] is None


@pytest.mark.requirement(69, 78)
def test_the_trail_holds_request_and_reveal_sealed_to_the_auditor_and_the_safety_desk(world, allocation):
    answer = ask(world, participant=allocation.participant_id)

    request, reveal = world.sealed_events()
    assert (request["act"], reveal["act"]) == ("request", "reveal")
    assert request["reason"] == "Anaphylaxis during the second infusion"
    assert request["by"] == reveal["by"] == str(world.person("investigator").pk)
    assert request["participant"] == reveal["participant"] == str(allocation.participant_id)
    assert "arm" not in request
    assert reveal["arm"] == answer.json()["arm"]
    assert world.sealed_events(reader="safety-desk-1") == [request, reveal]


@pytest.mark.requirement(78)
def test_request_reveal_read_and_every_denial_look_the_same_from_outside(world, allocation):
    participant = allocation.participant_id
    ask(world, participant=participant)
    ask(world, participant=participant)  # the signature is used
    ask(world, participant=participant, steps=1)  # a read
    ask(world, by="nurse", participant=participant, signature=world.signature("investigator"))
    ask(world, by="investigator_2", participant=participant)
    ask(world, key="3", randomization_number="R999999")
    ask(world, key="4", participant=participant, signature={"password": "wrong", "otp": "000000"})

    entries = [bytes(entry.body) for entry in Entry.objects.filter(kind=Kind.UNBLINDING)]

    acts = [event["act"] for event in world.sealed_events()]
    assert acts == ["request", "reveal", "denial", "read", *["denial"] * 4]
    assert len({len(entry) for entry in entries}) == 1
    assert {frozenset(json.loads(entry)) for entry in entries} == {frozenset({"v", "k", "t", "id", "sealed"})}
    for fact in (str(participant), str(world.person("investigator").pk), allocation.randomization_number):
        assert not any(fact.encode() in entry for entry in entries)


@pytest.mark.requirement(73)
@pytest.mark.parametrize(
    ("by", "named", "signature", "refusal"),
    [
        ("nurse", {}, None, (403, "not_permitted")),
        ("study_manager", {}, None, (403, "not_permitted")),
        ("safety_officer", {}, None, (403, "not_permitted")),
        ("preparer", {}, None, (403, "not_permitted")),
        ("investigator_2", {}, None, (404, "not_found")),
        ("investigator", {"randomization_number": "R999999"}, None, (404, "not_found")),
        ("investigator", {"kit_number": "0000000"}, None, (404, "not_found")),
        ("investigator", {}, {"password": "a-wrong-password"}, (403, "signature_rejected")),
        ("investigator", {}, {"otp": "000000"}, (403, "signature_rejected")),
    ],
)
def test_a_refused_attempt_shows_nothing_and_is_on_the_trail(
    world, allocation, by, named, signature, refusal
):
    signed = {**world.signature(by), **(signature or {})}

    answer = ask(world, by=by, signature=signed, **(named or {"participant": allocation.participant_id}))

    assert code_of(answer) == refusal
    (event,) = world.sealed_events()
    assert event["act"] == "denial"
    assert event["by"] == str(world.person(by).pk)
    assert event["refused"] == refusal[1]
    assert not Unblinding.objects.exists()
    assert "arm" not in answer.json()


def test_there_is_nothing_to_reveal_before_randomization(world):
    participant = a_participant(world)

    answer = ask(world, participant=participant.pk)

    assert code_of(answer) == (409, "not_randomized")
    assert [event["act"] for event in world.sealed_events()] == ["denial"]


@pytest.mark.parametrize(
    ("other", "pointer"),
    [
        ({"category": "safety_report"}, "#/category"),
        ({"reveal_to": "treating_physician"}, "#/reveal_to"),
        ({"reason": ""}, "#/reason"),
        ({"reason": "x" * 401}, "#/reason"),
        ({"reason": "\u0001" * 300}, "#/reason"),
        ({"signature": {"otp": "123456"}}, "#/signature/password"),
        ({"signature": {"password": "x"}}, "#/signature/otp"),
        ({"kit_number": "ABC"}, "#"),
        ({"participant": None}, "#/participant"),
        ({"arm": "A"}, "#/arm"),
    ],
)
def test_a_malformed_request_is_answered_by_its_place_and_records_nothing(world, allocation, other, pointer):
    body = {
        "participant": str(allocation.participant_id),
        "category": "emergency",
        "reason": "Anaphylaxis",
        "signature": world.signature("investigator"),
    }

    answer = world.client("investigator").post(PATH, {**body, **other}, headers={"Idempotency-Key": "one"})

    assert answer.status_code == 400
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert world.sealed_events() == []


def test_the_longest_reason_in_any_script_still_fits_the_one_size(world, allocation):
    signature = world.signature("investigator")
    body = {"category": "emergency", "reason": "急" * 400, "signature": signature}

    answer = world.client("investigator").post(
        PATH,
        {**body, "randomization_number": allocation.randomization_number},
        headers={"Idempotency-Key": "one"},
    )

    assert answer.status_code == 201
    assert world.sealed_events()[0]["reason"] == "急" * 400


def test_the_longest_reason_fits_beside_the_longest_name(world, allocation):
    reason = "é" * 4 + "\u0001" * ((audit.LONGEST_REASON_BYTES - 10) // 6)

    answer = ask(world, kit_number="\u0001" * 512, reason=reason)

    assert code_of(answer) == (404, "not_found")
    assert world.sealed_events()[0]["reason"] == reason


@pytest.mark.requirement(10, 62)
def test_a_repeat_with_the_used_signature_answers_the_event_without_the_arm(world, allocation):
    signature = world.signature("investigator")
    first = ask(world, participant=allocation.participant_id, signature=signature)

    again = ask(world, participant=allocation.participant_id, signature=signature)

    assert again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    assert (again.json()["arm"], again.json()["treatment"], again.json()["kits_given"]) == (None, None, [])
    assert again.json()["notice"]
    assert Unblinding.objects.count() == 1


def test_a_repeat_with_a_fresh_signature_shows_the_arm_and_records_a_read(world, allocation):
    first = ask(world, participant=allocation.participant_id)

    again = ask(world, participant=allocation.participant_id, steps=1)

    assert again.json()["arm"] == first.json()["arm"]
    assert again.json()["id"] == first.json()["id"]
    assert [event["act"] for event in world.sealed_events()] == ["request", "reveal", "read"]
    assert Message.objects.count() == 2, "the study is told once"


def test_a_repeat_with_a_wrong_password_is_refused_and_on_the_trail(world, allocation):
    ask(world, participant=allocation.participant_id)

    again = ask(
        world, participant=allocation.participant_id, signature={"password": "wrong", "otp": "000000"}
    )

    assert code_of(again) == (403, "signature_rejected")
    assert [event["act"] for event in world.sealed_events()] == ["request", "reveal", "denial"]


def test_nobody_repeats_somebody_elses_request(world, allocation):
    ask(world, participant=allocation.participant_id)

    other = ask(world, by="emergency_desk", participant=allocation.participant_id)

    assert other.status_code == 201
    assert Unblinding.objects.count() == 2


def test_after_a_crash_before_the_reveal_a_repeat_reveals(world, allocation):
    with mock.patch.object(services, "sign_checkpoint", side_effect=MemoryError):
        crashed = ask(world, participant=allocation.participant_id)

    without = ask(world, participant=allocation.participant_id)
    shown = ask(world, participant=allocation.participant_id, steps=1)

    assert crashed.status_code == 500
    assert (without.json()["arm"], without.json()["revealed_at"]) == (None, None)
    assert shown.json()["arm"] == the_protocol().arms[arm_of(allocation)].code
    assert [event["act"] for event in world.sealed_events()] == ["request", "denial", "read", "reveal"]


@pytest.mark.requirement(63)
def test_wrong_attempts_never_lock_out_the_right_one(world, allocation):
    for attempt in range(12):
        wrong = {"password": "a-wrong-password", "otp": "000000"}
        ask(world, key=f"w{attempt}", participant=allocation.participant_id, signature=wrong)

    answer = ask(world, key="right", participant=allocation.participant_id)

    assert answer.status_code == 201


@pytest.mark.requirement(63)
def test_having_signed_in_with_the_same_code_seconds_earlier_does_not_refuse_a_break(world, allocation):
    user, otp = world.person("investigator"), world.code("investigator")
    assert check_code(user=user, otp=otp, purpose=Purpose.SESSION, at=real_now())

    answer = ask(world, participant=allocation.participant_id)

    assert answer.status_code == 201


def test_one_code_signs_one_unblinding(world, allocation):
    signature = world.signature("investigator")
    ask(world, key="1", participant=allocation.participant_id, signature=signature)

    other = ask(world, key="2", participant=allocation.participant_id, signature=signature)

    assert code_of(other) == (403, "signature_rejected")


@pytest.mark.requirement(64)
def test_monitor_and_study_manager_are_told_that_it_happened_and_nothing_else(world, allocation):
    answer = ask(world, participant=allocation.participant_id)

    messages = list(Message.objects.all())
    assert {message.recipient for message in messages} == {
        world.person("monitor").email,
        world.person("study_manager").email,
    }
    for message in messages:
        text = message.subject + message.body
        assert allocation.randomization_number in text
        secrets = (
            answer.json()["treatment"],
            "UC-MSC",
            "lacebo",
            "Anaphylaxis",
            "Investigator",
            "arm A",
            "arm B",
        )
        assert not any(secret in text for secret in secrets)


@pytest.mark.requirement(64)
def test_the_answer_is_kept_nowhere(world, allocation):
    ask(world, participant=allocation.participant_id)

    kept = IdempotentRequest.objects.get(face="unmasked")

    assert kept.answer is None
    assert kept.resource == str(Unblinding.objects.get().pk)


@pytest.mark.requirement(64, 69)
def test_that_it_happened_is_seen_by_those_who_may_and_never_an_arm(world, allocation):
    shown = ask(world, participant=allocation.participant_id).json()
    ask(world, by="emergency_desk", key="desk", participant=allocation.participant_id)

    counts = {"investigator": 1, "emergency_desk": 1, "investigator_2": 0}
    counts |= dict.fromkeys(("safety_officer", "auditor", "study_manager"), 2)
    for username, count in counts.items():
        listed = world.client(username).get(PATH)
        assert listed.json()["count"] == count, username
        assert shown["treatment"] not in listed.content.decode()
        assert all("arm" not in row for row in listed.json()["results"])
    for username in ("nurse", "preparer", "statistician", "monitor", "administrator"):
        assert world.client(username).get(PATH).status_code == 403, username


def test_one_unblinding_is_seen_by_its_requester_and_not_found_by_another(world, allocation):
    identifier = ask(world, participant=allocation.participant_id).json()["id"]

    own, other = (world.client(who).get(f"{PATH}/{identifier}") for who in ("investigator", "investigator_2"))

    assert own.status_code == 200
    assert set(own.json()) == {
        "id", "participant", "randomization_number", "category", "reveal_to", "requested_at", "revealed_at",
    }  # fmt: skip
    assert other.status_code == 404
