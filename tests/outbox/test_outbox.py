"""E-mail leaves at least once, under one Message-ID, whatever the mail server does."""

from __future__ import annotations

import datetime as dt
import smtplib

import pytest
from django.core import mail
from django.db import connection, transaction

from trialsite.outbox import services
from trialsite.outbox.models import Message
from trialsite.outbox.services import deliver_due, queue

NOON = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def a_message(key: str = "infusion:1:opens:ines", **other) -> Message:
    stated = {
        "dedupe_key": key,
        "recipient": "ines@example.org",
        "subject": "Participant PUREN-001: infusion 2 is open",
        "body": "Infusion 2 of participant PUREN-001 is open.\n",
        "at": NOON,
    }
    queue(**stated | other)
    return Message.objects.get(dedupe_key=key)


def test_a_message_is_written_once_however_often_it_is_queued(db):
    a_message()
    a_message(body="something else\n")

    assert [message.body for message in Message.objects.all()] == [
        "Infusion 2 of participant PUREN-001 is open.\n"
    ]


def test_a_message_goes_out_once_with_its_own_message_id_and_date(db):
    message = a_message()

    assert [deliver_due(at=NOON), deliver_due(at=NOON + MINUTE)] == [1, 0]

    (sent,) = mail.outbox
    assert sent.message()["Message-ID"] == services.message_id(message.pk)
    assert sent.message()["Date"] == "Mon, 02 Mar 2026 04:00:00 +0000"
    assert (sent.to, sent.subject) == (["ines@example.org"], message.subject)


def test_nothing_leaves_when_what_it_tells_is_undone(db):
    with transaction.atomic():
        a_message()
        transaction.set_rollback(True)

    assert deliver_due(at=NOON) == 0


@pytest.mark.requirement(44)
@pytest.mark.parametrize("fault", [smtplib.SMTPServerDisconnected("gone"), ConnectionRefusedError("down")])
def test_a_refused_message_is_tried_again_later_and_less_and_less_often(db, monkeypatch, fault, caplog):
    a_message()

    def refuse(message: Message) -> None:
        raise fault

    monkeypatch.setattr(services, "_send", refuse)
    waits = []
    at = NOON
    for _ in range(9):
        assert deliver_due(at=at) == 0
        waiting = Message.objects.get()
        waits.append((waiting.next_attempt_at - at) // MINUTE)
        at = waiting.next_attempt_at
    monkeypatch.undo()

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert deliver_due(at=at) == 1
    assert "ines" not in caplog.text
    assert "PUREN-001" not in caplog.text


def test_one_bad_address_does_not_hold_up_the_others(db, monkeypatch):
    a_message("one")
    a_message("two", recipient="kofi@example.org")
    right = services._send

    def refuse_ines(message: Message) -> None:
        if message.recipient.startswith("ines"):
            raise smtplib.SMTPRecipientsRefused({})
        right(message)

    monkeypatch.setattr(services, "_send", refuse_ines)

    assert deliver_due(at=NOON) == 1
    assert [sent.to for sent in mail.outbox] == [["kofi@example.org"]]


def test_what_another_worker_has_claimed_is_left_alone(db, monkeypatch):
    message = a_message()
    stale = Message.objects.get()
    assert services._claim(message, at=NOON)

    assert not services._deliver(stale, at=NOON)
    assert mail.outbox == []


@pytest.mark.requirement(44)
def test_a_worker_that_dies_after_sending_sends_again_under_the_same_id(db, monkeypatch):
    a_message()
    right = services._send

    def send_and_die(message: Message) -> None:
        right(message)
        raise SystemExit

    monkeypatch.setattr(services, "_send", send_and_die)
    with pytest.raises(SystemExit):
        deliver_due(at=NOON)
    monkeypatch.setattr(services, "_send", right)

    assert deliver_due(at=NOON) == 0
    assert deliver_due(at=NOON + MINUTE) == 1
    assert len({sent.message()["Message-ID"] for sent in mail.outbox}) == 1


def test_more_than_one_batch_is_delivered_at_once(db, monkeypatch):
    monkeypatch.setattr(services, "_BATCH", 2)
    for number in range(5):
        a_message(str(number))

    assert deliver_due(at=NOON) == 5


def test_mail_is_sent_outside_any_transaction(a_fresh_database, monkeypatch):
    a_message()
    inside = []
    monkeypatch.setattr(services, "_send", lambda _: inside.append(connection.in_atomic_block))

    deliver_due(at=NOON)

    assert inside == [False]
