"""Breaking one code in an emergency: at once, on record first, and for nobody else."""

from __future__ import annotations

import datetime as dt
import json
from io import StringIO
from unittest import mock

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from pypdf import PdfReader

from randomization.domain.schedule import generate_arms, spec_of
from randomization.models import AccidentalUnblinding, Unblinding
from randomization.services import unblinding as services
from supply.models import Infusion, Kit, KitNumber, Order, Preparation
from supply.services.enrolment import randomize_participant
from tests.world import SEED, STUDY, a_participant, the_protocol
from trialsite import opening
from trialsite.accounts.services.factors import Purpose, check_code
from trialsite.api.models import IdempotentRequest
from trialsite.audit import notes
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.audit.services import public_keys
from trialsite.clock.services import real_now, trial_now
from trialsite.outbox.models import Message
from trialsite.sealing import seal_body

pytestmark = pytest.mark.usefixtures("unmasked_face")
PATH = "/api/v1/unblindings"


@pytest.fixture
def allocation(world):
    return a_randomized_participant(world)


def a_randomized_participant(world, *, by="investigator", **other):
    participant = a_participant(world, by=by, **other)
    return randomize_participant(
        participant_id=participant.pk, stratum=participant.stratum_levels, by=world.person(by), at=trial_now()
    )


def arm_of(allocation):
    """Return what the list says, from its seed."""
    arms = generate_arms(spec_of(the_protocol(), length=8), SEED)
    return arms[allocation.stratum_id][allocation.position]


def ask(world, *, by="investigator", key="one", steps=0, signature=None, **named):
    body = {
        "category": "emergency",
        "reason": "Anaphylaxis during the second infusion",
        "reveal_to": "requester",
        "signature": signature or world.signature(by, steps=steps),
        **{name: str(value) for name, value in named.items()},
    }
    return world.client(by).post(PATH, body, headers={"Idempotency-Key": key})


def code_of(answer):
    return answer.status_code, answer.json()["code"]


def a_started_bag(allocation, *, number=1, treatment="What was in the bag"):
    """Give the participant an infusion whose bag was prepared, as its sealed contents say."""
    infusion = Infusion.objects.get(participant=allocation.participant, number=number)
    kit_number = KitNumber.objects.filter(taken=False).order_by("position").first()
    KitNumber.objects.filter(pk=kit_number.pk).update(taken=True)
    now, by = trial_now(), allocation.randomized_by
    order = Order.objects.create(
        infusion=infusion, weight_kg="61.5", weighed_at=now, needed_at=now, ward="ICU", ordered_at=now, ordered_by=by
    )
    preparation = Preparation(order=order, site=infusion.site, status="released", kit_number=kit_number)
    preparation.sealed_contents = seal_body(
        {"treatment": treatment}, event_id=preparation.pk, study=STUDY, at=now,
        recipients=(public_keys().auditor, public_keys().code_break),
    )  # fmt: skip
    preparation.save()
    kit = Kit.objects.create(
        number=kit_number.pk, site=infusion.site, participant=allocation.participant, infusion=infusion,
        status="used", released_at=now, expires_at=now + dt.timedelta(hours=6),
    )  # fmt: skip
    Infusion.objects.filter(pk=infusion.pk).update(kit=kit, started_at=now, volume_ml="97.5", status="given")
    return kit


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
        ask(world, key=str(each.position), by="investigator", steps=0, randomization_number=each.randomization_number)
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


def forget_used_codes():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_usedcode")


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
def test_a_refused_attempt_shows_nothing_and_is_on_the_trail(world, allocation, by, named, signature, refusal):
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

    assert answer.status_code in (201, 400)
    assert "internal_error" not in str(answer.json())


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

    again = ask(world, participant=allocation.participant_id, signature={"password": "wrong", "otp": "000000"})

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


def tampered(deed, *values):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # as whoever drops the triggers
        cursor.execute(deed, values)
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.requirement(56)
@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE randomization_sealedarm SET envelope = (SELECT envelope FROM randomization_sealedarm"
        " WHERE slot_id <> %s LIMIT 1) WHERE slot_id = %s",
        "UPDATE randomization_sealedarm SET leaf_hash = (SELECT leaf_hash FROM randomization_sealedarm"
        " WHERE slot_id <> %s LIMIT 1) WHERE slot_id = %s",
        "UPDATE randomization_sealedarm SET leaf_hash = sha256(leaf_hash) WHERE slot_id ="
        " (SELECT id FROM randomization_slot WHERE id NOT IN (%s, %s) LIMIT 1)",
        "UPDATE randomization_sealedarm SET envelope = leaf_hash WHERE slot_id IN (%s, %s)",
        "UPDATE randomization_randomizationlist SET root = sha256(root) WHERE %s::uuid = %s::uuid",
        "UPDATE randomization_randomizationlist SET commitment_note ="
        " replace(commitment_note, 'v1', 'v2') WHERE %s::uuid = %s::uuid",
        "UPDATE randomization_allocation SET position = position + 1 WHERE slot_id IN (%s, %s)",
    ],
)
def test_an_arm_that_is_not_the_committed_one_is_not_shown(world, allocation, deed):
    tampered(deed, allocation.slot_id, allocation.slot_id)

    answer = ask(world, participant=allocation.participant_id)

    assert code_of(answer) == (500, "integrity_failure")
    assert "paper envelope" in answer.json()["detail"]
    assert "arm" not in answer.json()
    assert [event["act"] for event in world.sealed_events()] == ["request", "failure"]


def test_an_envelope_made_by_somebody_else_with_the_public_key_is_not_believed(world, allocation):
    from trialsite.sealing import seal_slot

    forged = seal_slot(
        public_keys().code_break,
        arm=1 - arm_of(allocation),
        salt=b"s" * 32,
        study=STUDY,
        stratum=allocation.stratum_id,
        slot=allocation.position,
        root=bytes(allocation.stratum.list.root),
    )
    tampered("UPDATE randomization_sealedarm SET envelope = %s WHERE slot_id = %s", forged, allocation.slot_id)

    answer = ask(world, participant=allocation.participant_id)

    assert code_of(answer) == (500, "integrity_failure")
    assert world.sealed_events()[-1]["failure"] == "IntegrityFailure"


@pytest.mark.requirement(63)
def test_without_a_key_the_paper_envelope_is_pointed_to(world, allocation, settings, tmp_path):
    settings.CODE_BREAK_KEY_FILE = str(tmp_path / "missing")

    answer = ask(world, participant=allocation.participant_id)

    assert code_of(answer) == (500, "integrity_failure")


def test_nothing_is_opened_when_no_checkpoint_can_be_signed(world, allocation, settings, tmp_path, monkeypatch):
    settings.CHECKPOINT_FILE = str(tmp_path / "no" / "folder" / "checkpoint.note")
    opened = mock.Mock(wraps=opening.open_slot)
    monkeypatch.setattr(services, "open_slot", opened)

    answer = ask(world, participant=allocation.participant_id)

    assert code_of(answer) == (503, "trail_unavailable")
    assert not opened.called


def test_the_checkpoint_over_the_request_is_signed_before_anything_is_opened(world, allocation, monkeypatch):
    signed = []

    def opening_now(*args, **kwargs):
        checkpoint, _ = notes.open_checkpoint(
            world.key_files("unmasked")["CHECKPOINT_FILE"].read_text(), [notes.VerifierKey.parse(public_keys().log)]
        )
        signed.append(checkpoint.size)
        return opening.open_slot(*args, **kwargs)

    monkeypatch.setattr(services, "open_slot", opening_now)

    receipt = ask(world, participant=allocation.participant_id).json()["receipt"]

    assert signed == [receipt["position"] + 1]
    assert Entry.objects.get(position=receipt["position"]).leaf == bytes.fromhex(receipt["leaf_hash"])
    noted, _ = notes.open_checkpoint(receipt["checkpoint"], [notes.VerifierKey.parse(public_keys().log)])
    assert noted.size == receipt["position"] + 1


def test_an_envelope_is_never_opened_inside_a_transaction_that_may_be_undone(world, allocation):
    ask(world, participant=allocation.participant_id)
    unblinding = Unblinding.objects.get()

    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        services.open_unblinding(
            unblinding_id=unblinding.pk,
            position=unblinding.intent_position,
            at=trial_now(),
            find_bags=lambda _participant: [],
        )


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
        secrets = (answer.json()["treatment"], "UC-MSC", "lacebo", "Anaphylaxis", "Investigator", "arm A", "arm B")
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

    for username, count in (
        ("investigator", 1), ("emergency_desk", 1), ("safety_officer", 2), ("auditor", 2), ("study_manager", 2),
        ("investigator_2", 0),
    ):  # fmt: skip
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


def print_envelope(world, tmp_path, participant, *, by="safety_officer", out="envelope.pdf"):
    signature = tmp_path / "signature"
    signature.write_text("\n".join(world.signature(by).values()))
    call_command(
        "print_code_break_envelope",
        participant=participant.screening_number,
        out=tmp_path / out,
        by=by,
        signature_file=str(signature),
        stdout=StringIO(),
    )
    return tmp_path / out


@pytest.mark.requirement(68)
def test_a_paper_envelope_is_printed_by_a_named_person_and_on_the_trail_first(world, allocation, tmp_path):
    printed = print_envelope(world, tmp_path, allocation.participant)

    face, inside = (page.extract_text() for page in PdfReader(printed).pages)
    assert allocation.randomization_number in face
    assert "UC-MSC" not in face
    assert the_protocol().arms[arm_of(allocation)].code in inside.split("Arm")[1]
    assert printed.stat().st_mode & 0o077 == 0
    (event,) = world.sealed_events()
    assert (event["act"], event["by"]) == ("print", str(world.person("safety_officer").pk))


@pytest.mark.requirement(68)
@pytest.mark.parametrize("somebody", ["investigator", "preparer", "study_manager"])
def test_nobody_else_prints_an_envelope(world, allocation, tmp_path, somebody):
    with pytest.raises(CommandError, match="do not allow"):
        print_envelope(world, tmp_path, allocation.participant, by=somebody)

    assert not (tmp_path / "envelope.pdf").exists()
    assert world.sealed_events() == []


def test_there_is_no_envelope_before_randomization(world, tmp_path):
    with pytest.raises(CommandError, match="not randomized"):
        print_envelope(world, tmp_path, a_participant(world))


@pytest.mark.requirement(70)
def test_anybody_reports_an_accidental_unblinding_without_it_being_read_here(world, allocation, settings):
    settings.ROOT_URLCONF = "trialsite.urls.masked"
    told = "The nurse read the lot number of the cells aloud."
    for number, (who, named) in enumerate(
        [
            ("outcome_assessor", allocation.randomization_number),
            ("nurse", str(allocation.participant_id)),
            ("auditor", allocation.participant.screening_number),
        ]
    ):
        answer = world.client(who).post(
            "/api/v1/accidental-unblindings",
            {"participant": named, "occurred_at": trial_now().isoformat(), "what_happened": told},
            headers={"Idempotency-Key": str(number)},
        )

        assert answer.status_code == 201, answer.content
        assert told not in answer.content.decode()

    reports = AccidentalUnblinding.objects.all()
    assert {report.participant_id for report in reports} == {allocation.participant_id}
    assert len({len(json.dumps(report.sealed_account)) for report in reports}) == 1
    keys = opening.FileKeys([world.offline / "safety-desk-1.key"])
    for report in reports:
        assert opening.open_body(keys, "safety-desk-1", report.sealed_account)["account"] == told
    events = Entry.objects.filter(kind=Kind.ACCIDENTAL_UNBLINDING_REPORTED)
    assert len(events) == 3
    assert not any(b"lot number" in bytes(event.body) for event in events)


def test_an_accidental_unblinding_at_another_site_is_not_found(world, allocation, settings):
    settings.ROOT_URLCONF = "trialsite.urls.masked"

    answer = world.client("investigator_2").post(
        "/api/v1/accidental-unblindings",
        {
            "participant": str(allocation.participant_id),
            "occurred_at": trial_now().isoformat(),
            "what_happened": "x",
        },
        headers={"Idempotency-Key": "one"},
    )

    assert answer.status_code == 404
