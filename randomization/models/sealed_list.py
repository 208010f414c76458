"""The sealed list, and the slots that were taken from it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from randomization.models.participants import Participant
from randomization.models.trial import TrialVersion
from trialsite.accounts.models import Site
from trialsite.ids import new_id

A_PERSON = settings.AUTH_USER_MODEL


class RandomizationList(models.Model):
    """
    A committed list: what was published of it before its first participant.

    ``ordinal`` is 0 for the trial's list and counts its extensions, each of which adds slots and
    moves none.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    ordinal = models.PositiveIntegerField(unique=True, default=0)
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
    """
    One combination of factor levels, and how far its part of the list is used.

    A site's reserved list for the time when the system is down is a stratum of its own: it has a
    ``site`` and no levels.
    """

    code = models.CharField(primary_key=True, max_length=200)
    # The list that made it; an extension may add slots.
    list = models.ForeignKey(RandomizationList, on_delete=models.PROTECT)
    levels = models.JSONField()
    site = models.OneToOneField(
        Site, on_delete=models.PROTECT, null=True, blank=True, related_name="emergency_stratum"
    )
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
    list = models.ForeignKey(RandomizationList, on_delete=models.PROTECT)
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


class Allocation(models.Model):
    """The slot that a participant holds. Inserted once; no role may update or delete it."""

    participant = models.OneToOneField(Participant, on_delete=models.PROTECT, primary_key=True)
    slot = models.OneToOneField(Slot, on_delete=models.PROTECT)
    stratum = models.ForeignKey(Stratum, on_delete=models.PROTECT)
    position = models.PositiveIntegerField()
    randomization_number = models.CharField(max_length=16, unique=True)
    randomized_at = models.DateTimeField(help_text="Trial time; on paper, the time that the paper states.")
    randomized_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)
    recorded_at = models.DateTimeField(db_default=Now(), help_text="Transaction time.")
    # Set where it was done on paper while the system was down: why, and when it was entered.
    paper_reason = models.TextField(max_length=2000, blank=True)
    entered_at = models.DateTimeField(null=True, blank=True, help_text="Trial time.")

    class Meta:
        ordering = ["randomized_at"]
        constraints = [
            models.UniqueConstraint(fields=["stratum", "position"], name="a_slot_is_taken_once"),
        ]

    def __str__(self) -> str:
        return self.randomization_number


class SpoiledSlot(models.Model):
    """A slot of an emergency list that was used up without a participant: its envelope is void."""

    slot = models.OneToOneField(Slot, on_delete=models.PROTECT, primary_key=True)
    reason = models.TextField(max_length=2000)
    spoiled_at = models.DateTimeField(help_text="As the paper states it.")
    entered_at = models.DateTimeField(help_text="Trial time.")
    recorded_at = models.DateTimeField(db_default=Now(), help_text="Transaction time.")
    recorded_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["entered_at"]

    def __str__(self) -> str:
        return str(self.slot_id)
