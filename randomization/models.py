"""Participants, the sealed list, allocations, and the fact that a code was broken."""

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
        ]

    def __str__(self) -> str:
        return f"{self.protocol} {self.version}"


class RandomizationList(models.Model):
    """The committed list: what was published of it before the first participant."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    trial_version = models.ForeignKey(TrialVersion, on_delete=models.PROTECT)
    root = models.BinaryField(max_length=32)
    commitment = models.BinaryField(max_length=32)
    leaf_count = models.PositiveIntegerField()
    commitment_note = models.TextField()
    # The seed, sealed to each pair of the three release officers: {"1+2": base64, ...}.
    sealed_seed = models.JSONField()
    installed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"list {bytes(self.root).hex()[:16]}"


class Stratum(models.Model):
    """One combination of factor levels, and how far its part of the list is used."""

    code = models.CharField(primary_key=True, max_length=200)
    list = models.ForeignKey(RandomizationList, on_delete=models.PROTECT)
    levels = models.JSONField()
    # First key of the advisory lock pair that queues allocations fairly; small and stable.
    ordinal = models.PositiveIntegerField(unique=True)
    length = models.PositiveIntegerField()
    next_slot = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["ordinal"]
        constraints = [
            models.CheckConstraint(
                condition=Q(next_slot__lte=models.F("length")), name="a_stratum_ends_with_its_list"
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Slot(models.Model):
    """
    One position of the list; used once, never freed.

    What is sealed in it stands in ``SealedArm``, which the masked face's database login cannot read.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    stratum = models.ForeignKey(Stratum, on_delete=models.PROTECT)
    position = models.PositiveIntegerField()
    randomization_number = models.CharField(max_length=16, unique=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stratum", "position"], name="a_position_is_one_slot"),
        ]

    def __str__(self) -> str:
        return self.randomization_number


class SealedArm(models.Model):
    """The slot's arm, 96 bytes under the code-break key, and its leaf under the published root."""

    slot = models.OneToOneField(Slot, on_delete=models.PROTECT, primary_key=True)
    envelope = models.BinaryField(max_length=96)
    key_id = models.CharField(max_length=32)
    leaf_hash = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return "sealed"


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
    eligibility = models.JSONField(help_text="The answer to every criterion, as given.")
    unmet = models.JSONField(default=list)
    status = models.CharField(max_length=16, choices=Status.choices)
    # The stratum that screening found; the allocation keeps the one that was used, frozen.
    stratum_levels = models.JSONField()
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


class Allocation(models.Model):
    """The slot that a participant holds. Inserted once; no role may update or delete it."""

    participant = models.OneToOneField(Participant, on_delete=models.PROTECT, primary_key=True)
    slot = models.OneToOneField(Slot, on_delete=models.PROTECT)
    stratum = models.ForeignKey(Stratum, on_delete=models.PROTECT)
    position = models.PositiveIntegerField()
    randomization_number = models.CharField(max_length=16, unique=True)
    randomized_at = models.DateTimeField(help_text="Trial time.")
    randomized_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)
    recorded_at = models.DateTimeField(db_default=Now(), help_text="Transaction time.")

    class Meta:
        ordering = ["randomized_at"]
        constraints = [
            models.UniqueConstraint(fields=["stratum", "position"], name="a_slot_is_taken_once"),
        ]

    def __str__(self) -> str:
        return self.randomization_number


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
