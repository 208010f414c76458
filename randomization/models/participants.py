"""Participants, from screening on: what was asked, consented to, corrected and found wrong."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from randomization.domain.consent import Standing, standing
from randomization.domain.randomization_errors import holding
from randomization.models.trial import TrialVersion
from trialsite.accounts.models import Site
from trialsite.ids import new_id

A_PERSON = settings.AUTH_USER_MODEL


class Participant(models.Model):
    """A person in the trial, from screening on."""

    class Status(models.TextChoices):
        ELIGIBLE = "eligible"
        SCREEN_FAILED = "screen_failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    screening_number = models.CharField(max_length=32, unique=True)
    site = models.ForeignKey(Site, on_delete=models.PROTECT)
    # Keyed hash of the hospital's own identifier, which is never stored.
    identity_hash = models.CharField(max_length=64)
    sex = models.CharField(max_length=16, choices=[("female", "female"), ("male", "male")])
    birth_date = models.DateField()
    weight_kg = models.DecimalField(max_digits=5, decimal_places=2)
    consented_at = models.DateTimeField()
    consent_version = models.CharField(max_length=32, blank=True)
    eligibility = models.JSONField(help_text="The answer to every criterion, as given.")
    # What was measured for the criteria that rest on a value, as decimal texts by code.
    measurements = models.JSONField(default=dict)
    unmet = models.JSONField(default=list)
    status = models.CharField(max_length=16, choices=Status.choices)
    # The stratum that screening found; the allocation keeps the one that was used, frozen.
    stratum_levels = models.JSONField()
    # What proved true after randomization, where it is another stratum.
    true_stratum_levels = models.JSONField(null=True, blank=True)
    # The earlier screening of the same person that failed.
    rescreens = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True)
    trial_version = models.ForeignKey(TrialVersion, on_delete=models.PROTECT)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["screening_number"]
        constraints = [
            # The same person is not in the trial twice; a screen failure may be screened again.
            models.UniqueConstraint(
                fields=["identity_hash"], condition=Q(status="eligible"), name="a_person_is_in_the_trial_once"
            ),
        ]

    def __str__(self) -> str:
        return self.screening_number

    @property
    def consent(self) -> Standing | None:
        """The consent given last, and whether it stands."""
        return standing(self.consents.all())

    @property
    def is_randomized(self) -> bool:
        """Whether the participant holds a slot."""
        return hasattr(self, "allocation")

    @property
    def errors_in_force(self) -> list[RandomizationError]:
        """What is wrong with how the participant was randomized, as last reported."""
        return holding(self.randomization_errors.all())


class Discontinuation(models.Model):
    """The end of a participant's treatment, or of their part in the study."""

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="discontinuations")
    scope = models.CharField(max_length=16, choices=[("treatment", "treatment"), ("study", "study")])
    reason = models.TextField(max_length=2000)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    recorded_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["recorded_at"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "scope"], name="discontinued_once_per_scope"),
        ]

    def __str__(self) -> str:
        return f"{self.participant_id} {self.scope}"


class Consent(models.Model):
    """Consent as it was given or withdrawn, by the participant or by a representative."""

    class Act(models.TextChoices):
        GIVEN = "given"
        WITHDRAWN = "withdrawn"

    class Giver(models.TextChoices):
        PARTICIPANT = "participant"
        REPRESENTATIVE = "representative"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="consents")
    act = models.CharField(max_length=16, choices=Act.choices)
    version = models.CharField(max_length=32, blank=True)
    giver = models.CharField(max_length=16, choices=Giver.choices)
    relationship = models.CharField(max_length=100, blank=True, help_text="Of the representative.")
    # What a withdrawal is from; with the treatment alone, consent to follow-up stands.
    scope = models.CharField(max_length=16, blank=True, help_text="treatment or study")
    reason = models.TextField(max_length=2000, blank=True)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(help_text="Trial time.")
    recorded_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["recorded_at", "at"]

    def __str__(self) -> str:
        return f"{self.participant_id} {self.act}"


class ScreeningRevision(models.Model):
    """A screening that came out otherwise, before randomization: what it was, and what it is now."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="revisions")
    old = models.JSONField(help_text="status, unmet, eligibility, measurements, stratum, weight_kg")
    new = models.JSONField()
    reason = models.TextField(max_length=2000)
    at = models.DateTimeField()
    recorded_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return str(self.id)


class Correction(models.Model):
    """One value of a participant that was wrong: old and new stay side by side."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="corrections")
    pointer = models.CharField(max_length=200, help_text="RFC 6901 pointer, such as /birth_date")
    # Neither is kept where the value itself is not, as with the hospital's own identifier.
    old = models.JSONField(null=True, blank=True)
    new = models.JSONField(null=True, blank=True)
    # The keyed hash that a corrected identifier had before; shown to nobody.
    identity_hash_before = models.CharField(max_length=64, blank=True)
    reason = models.TextField(max_length=2000)
    at = models.DateTimeField()
    recorded_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.participant_id} {self.pointer}"


class RandomizationError(models.Model):
    """
    A randomization that should not have been, or not so. The slot stays taken (Yelland 2015).

    ``kind`` decides which of ``criteria``, ``true_stratum`` and ``duplicate_of`` is there.
    """

    class Kind(models.TextChoices):
        IN_ERROR = "randomized_in_error"
        WRONG_STRATUM = "wrong_stratum"
        INELIGIBLE = "ineligible"
        DUPLICATE = "duplicate"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    participant = models.ForeignKey(
        Participant, on_delete=models.PROTECT, related_name="randomization_errors"
    )
    kind = models.CharField(max_length=24, choices=Kind.choices)
    criteria = models.JSONField(default=list, help_text="Codes of the criteria that were not met.")
    stratum_used = models.JSONField(default=dict)
    true_stratum = models.JSONField(null=True, blank=True)
    duplicate_of = models.ForeignKey(
        Participant, on_delete=models.PROTECT, null=True, blank=True, related_name="duplicates"
    )
    reason = models.TextField(max_length=2000)
    known_at = models.DateTimeField(help_text="When it was found.")
    recorded_at = models.DateTimeField(help_text="Trial time.")
    recorded_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["recorded_at"]

    def __str__(self) -> str:
        return f"{self.participant_id} {self.kind}"

    @property
    def holds(self) -> bool:
        """Whether no later report of the kind says otherwise."""
        return self in self.participant.errors_in_force


class Transfer(models.Model):
    """A participant who goes on at another site."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="transfers")
    from_site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="transfers_out")
    to_site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="transfers_in")
    reason = models.TextField(max_length=2000)
    at = models.DateTimeField(help_text="Trial time.")
    recorded_at = models.DateTimeField(db_default=Now(), help_text="Transaction time.")
    recorded_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.participant_id} {self.from_site_id} to {self.to_site_id}"
