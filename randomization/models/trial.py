"""The trial file as it was loaded, its amendments, and whether it enrols."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from trialsite.accounts.models import Site
from trialsite.ids import new_id

A_PERSON = settings.AUTH_USER_MODEL


class TrialVersion(models.Model):
    """
    One version of the trial file, as loaded.

    ``document`` is the canonical JSON of everything but the block sizes and list length, which
    never reach the database; ``content_hash`` is its hash. A hash over the block sizes as well could
    be guessed back from a stolen dump; the list's signed commitment binds them instead.
    """

    content_hash = models.CharField(primary_key=True, max_length=64)
    protocol = models.CharField(max_length=32)
    version = models.CharField(max_length=32)
    document = models.JSONField()
    loaded_at = models.DateTimeField()
    loaded_by = models.CharField(max_length=64)
    # The version that this one amends; None for the trial's first. A draft that nobody approves stays
    # unused beside the one that takes its place.
    amends = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True)
    activated_at = models.DateTimeField(null=True, blank=True)
    activated_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT, null=True, blank=True)

    class Meta:
        ordering = ["loaded_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(activated_at=None, activated_by=None)
                | Q(activated_at__isnull=False, activated_by__isnull=False),
                name="activation_has_a_time_and_a_person",
            ),
            models.UniqueConstraint(
                fields=["amends"],
                condition=Q(activated_at__isnull=False),
                name="a_version_is_amended_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.protocol} {self.version}"


class Approval(models.Model):
    """That a named person approved an amendment, with their signature checked at the time."""

    trial_version = models.ForeignKey(TrialVersion, on_delete=models.PROTECT, related_name="approvals")
    approved_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)
    role = models.CharField(max_length=24)
    approved_at = models.DateTimeField()

    class Meta:
        ordering = ["approved_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["trial_version", "approved_by"], name="a_person_approves_an_amendment_once"
            ),
            models.UniqueConstraint(fields=["trial_version", "role"], name="one_approval_for_each_role"),
        ]

    def __str__(self) -> str:
        return f"{self.trial_version_id} {self.role}"


class EnrolmentChange(models.Model):
    """
    Who may be enrolled where, from a moment on: the last row of a scope holds.

    A row without a site is about the whole trial. ``active`` enrols; ``paused`` screens and does not
    randomize; ``suspended`` and ``closed`` do neither. Treatment goes on in all of them.
    """

    class Status(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        SUSPENDED = "suspended"
        CLOSED = "closed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # Numbers the rows of all scopes in the order in which they were made, from 1.
    number = models.PositiveIntegerField(unique=True)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, null=True, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices)
    reason = models.TextField(max_length=2000)
    at = models.DateTimeField(help_text="Trial time.")
    recorded_at = models.DateTimeField(db_default=Now(), help_text="Transaction time.")
    recorded_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return f"{self.site_id or 'trial'} {self.status}"
