"""No arm is shown that is not the committed one, and none before the request is on the trail."""

from __future__ import annotations

import uuid
from unittest import mock

import pytest
from django.db import connection, transaction

from randomization.models import Unblinding
from randomization.services import unblinding as services
from tests.randomization.breaking import (
    a_randomized_participant,
    arm_of,
    ask,
    code_of,
)
from tests.world import STUDY
from trialsite import opening
from trialsite.audit import notes
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.audit.services import public_keys, record
from trialsite.clock.services import trial_now
from trialsite.sealing import seal_slot

pytestmark = pytest.mark.usefixtures("unmasked_face")


def tampered(deed, *values):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
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
    forged = seal_slot(
        public_keys().code_break,
        arm=1 - arm_of(allocation),
        salt=b"s" * 32,
        study=STUDY,
        stratum=allocation.stratum_id,
        slot=allocation.position,
        root=bytes(allocation.stratum.list.root),
    )
    tampered(
        "UPDATE randomization_sealedarm SET envelope = %s WHERE slot_id = %s", forged, allocation.slot_id
    )

    answer = ask(world, participant=allocation.participant_id)

    assert code_of(answer) == (500, "integrity_failure")
    assert world.sealed_events()[-1]["failure"] == "IntegrityFailure"


def exchange(one, other):
    """Give two participants each other's slot, and both ends of the row that says so."""
    row = (
        "UPDATE randomization_allocation SET slot_id = %s, position = %s, randomization_number = %s"
        " WHERE participant_id = %s"
    )
    aside = (uuid.uuid4(), 999, "R000000")
    tampered(row, *aside, one.participant_id)
    for to, of in ((other, one), (one, other)):
        tampered(row, of.slot_id, of.position, of.randomization_number, to.participant_id)


@pytest.mark.requirement(56)
def test_two_participants_whose_slots_were_exchanged_are_both_refused(world, allocation):
    other = a_randomized_participant(world)
    exchange(allocation, other)

    answers = [
        ask(world, key=str(i), steps=i, participant=each.pk) for i, each in enumerate((allocation, other))
    ]

    assert [code_of(answer) for answer in answers] == [(500, "integrity_failure")] * 2
    assert not any("arm" in answer.json() for answer in answers)


def open_arm_of(world, allocation):
    keys = opening.FileKeys([world.key_files("unmasked")["CODE_BREAK_KEY_FILE"]])
    return services.open_arm(allocation.pk, keys=keys)


@pytest.mark.requirement(56)
@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE audit_entry SET body = convert_to(replace(convert_from(body, 'UTF8'),"
        " '\"slot\":1', '\"slot\":0'), 'UTF8') WHERE kind = 'participant.randomized'",
        "DELETE FROM audit_entry WHERE kind = 'participant.randomized' AND position > 0",
    ],
    ids=["body rewritten", "event removed"],
)
def test_an_allocation_that_the_trail_does_not_bear_out_is_refused(world, allocation, deed):
    second = a_randomized_participant(world)
    exchange(allocation, second)
    tampered(deed)

    with pytest.raises(opening.IntegrityFailure):
        open_arm_of(world, second)


def test_an_event_appended_later_moves_nobody(world, allocation):
    second = a_randomized_participant(world)
    record(
        kind=Kind.PARTICIPANT_RANDOMIZED,
        by="system:tests",
        at=trial_now(),
        about={"participant": str(allocation.pk), "stratum": second.stratum_id},
        data={"slot": second.position},
    )

    assert ask(world, participant=allocation.pk).status_code == 201
    exchange(allocation, second)
    assert code_of(ask(world, key="2", steps=1, participant=allocation.pk)) == (500, "integrity_failure")


@pytest.mark.requirement(63)
def test_without_a_key_the_paper_envelope_is_pointed_to(world, allocation, settings, tmp_path):
    settings.CODE_BREAK_KEY_FILE = str(tmp_path / "missing")

    answer = ask(world, participant=allocation.participant_id)

    assert code_of(answer) == (500, "integrity_failure")


def test_nothing_is_opened_when_no_checkpoint_can_be_signed(
    world, allocation, settings, tmp_path, monkeypatch
):
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
            world.key_files("unmasked")["CHECKPOINT_FILE"].read_text(),
            [notes.VerifierKey.parse(public_keys().log)],
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
