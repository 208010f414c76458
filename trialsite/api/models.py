"""What was asked under an Idempotency-Key, and how it ended."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class IdempotentRequest(models.Model):
    """
    One changing request, written in the transaction of its effect and kept for the trial's life:
    a repeat a week later must not take a second slot.

    ``fingerprint`` is a keyed HMAC of method, path and body without ``signature``. A masked answer
    is kept whole; of an unmasked one only ``resource``, from which it is made anew.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    face = models.CharField(max_length=8)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(null=True)  # noqa: DJ001 - nothing was kept, or the JSON as it was sent
    resource = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "face", "key"], name="a_key_is_used_once"),
        ]

    def __str__(self) -> str:
        return self.key
