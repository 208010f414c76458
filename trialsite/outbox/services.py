"""
E-mail leaves through rows: written in the transaction of what it tells, sent by the worker.

Delivery is at least once. Sending is claimed by a conditional update and happens outside any
transaction; a worker that dies in between leaves a claim that runs out, and the message goes out
again under the same Message-ID.
"""

from __future__ import annotations

import datetime as dt
import logging
import smtplib
import uuid
from email.utils import format_datetime

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F

from trialsite.ids import new_id
from trialsite.outbox.models import Message

FIRST_WAIT = dt.timedelta(minutes=1)
LONGEST_WAIT = dt.timedelta(hours=1)
# 2^6 minutes is past the longest wait already.
_MOST_DOUBLINGS = 6
_BATCH = 100
log = logging.getLogger(__name__)


def queue(*, dedupe_key: str, recipient: str, subject: str, body: str, at: dt.datetime) -> None:
    """
    Write a message that is to leave, in the transaction of what it tells.

    The same ``dedupe_key`` is one message however often it is written.
    """
    message = Message(
        id=new_id(),
        dedupe_key=dedupe_key,
        recipient=recipient,
        subject=subject,
        body=body,
        created_at=at,
        next_attempt_at=at,
    )
    Message.objects.bulk_create([message], ignore_conflicts=True)


def deliver_due(*, at: dt.datetime) -> int:
    """Send what is due, oldest first; return how many messages left."""
    due = Message.objects.filter(sent_at=None, next_attempt_at__lte=at).order_by("created_at", "id")
    sent = 0
    # Each claim, ours or another worker's, moves a message out of what is due: this ends.
    while batch := list(due[:_BATCH]):
        sent += sum(_deliver(message, at=at) for message in batch)
    return sent


def _deliver(message: Message, *, at: dt.datetime) -> bool:
    if not _claim(message, at=at):
        return False
    try:
        _send(message)
    except (smtplib.SMTPException, OSError) as error:
        # Neither the address nor the text: a log is read by more people than a mailbox.
        log.warning("Message %s was not accepted: %s", message.pk, type(error).__name__)
        return False
    Message.objects.filter(pk=message.pk, sent_at=None).update(sent_at=at)
    return True


def _claim(message: Message, *, at: dt.datetime) -> bool:
    """Push the next attempt back, and say whether it was this process that did."""
    wait = min(FIRST_WAIT * 2 ** min(message.attempts, _MOST_DOUBLINGS), LONGEST_WAIT)
    claimed = Message.objects.filter(pk=message.pk, sent_at=None, next_attempt_at__lte=at).update(
        attempts=F("attempts") + 1, next_attempt_at=at + wait
    )
    return claimed == 1


def _send(message: Message) -> None:
    headers = {"Message-ID": message_id(message.pk), "Date": format_datetime(message.created_at)}
    EmailMessage(
        message.subject, message.body, settings.DEFAULT_FROM_EMAIL, [message.recipient], headers=headers
    ).send()


def message_id(key: uuid.UUID) -> str:
    """Return the Message-ID of a message: the same for every attempt."""
    return f"<{key}@{settings.DEPLOYMENT}>"
