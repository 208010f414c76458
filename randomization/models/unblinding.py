"""That a code was broken, or may have been by accident."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from randomization.models.participants import Participant
from trialsite.ids import new_id

A_PERSON = settings.AUTH_USER_MODEL


class Unblinding(models.Model):
    """
    That a code was broken: for whom, by whom, when, in which category.

    The reason, the arm and whether it was shown are in the sealed bodies on the trail only.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT)
    requested_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)
    category = models.CharField(max_length=24, choices=[("emergency", "emergency")])
    reveal_to = models.CharField(max_length=24, choices=[("requester", "requester")])
    requested_at = models.DateTimeField(help_text="Trial time.")
    recorded_at = models.DateTimeField(db_default=Now(), help_text="Transaction time.")
    revealed_at = models.DateTimeField(null=True, blank=True)
    intent_position = models.BigIntegerField(help_text="Where the trail holds the sealed intent.")
    reveal_position = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["recorded_at"]

    def __str__(self) -> str:
        return str(self.id)


class AccidentalUnblinding(models.Model):
    """A report that somebody may have learned an arm; what happened is sealed, never stored in clear."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT)
    occurred_at = models.DateTimeField()
    sealed_account = models.JSONField()
    reported_at = models.DateTimeField()
    reported_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["reported_at"]

    def __str__(self) -> str:
        return str(self.id)
