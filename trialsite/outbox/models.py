"""E-mail that is to leave, written in the transaction of what it tells."""

from __future__ import annotations

from django.db import models

from trialsite.ids import new_id


class Message(models.Model):
    """
    One e-mail to one person.

    ``dedupe_key`` makes writing idempotent. It is delivered at least once; ``id`` is its
    Message-ID, so that a second delivery can be told.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    dedupe_key = models.CharField(max_length=200, unique=True)
    recipient = models.EmailField()
    subject = models.CharField(max_length=200)
    body = models.TextField()
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=models.Q(sent_at=None), name="message_still_to_send"
            ),
        ]

    def __str__(self) -> str:
        return self.subject
