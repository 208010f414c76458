"""Lots, orders, preparations, kits and infusions."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from randomization.models import Participant
from supply.domain.infusion_states import InfusionStatus
from supply.domain.kit_states import KitStatus
from supply.domain.preparation_states import PreparationStatus
from trialsite.accounts.models import Site
from trialsite.ids import new_id

A_PERSON = settings.AUTH_USER_MODEL


def _choices(statuses: type[InfusionStatus | KitStatus | PreparationStatus]) -> list[tuple[str, str]]:
    return [(status.value, status.value) for status in statuses]


class Infusion(models.Model):
    """
    One of a participant's four planned infusions. The row is the schedule; Celery only wakes.

    ``status`` is what was last recorded; what holds now also depends on the time
    (``supply.domain.infusion_states.effective_status``).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="infusions")
    site = models.ForeignKey(Site, on_delete=models.PROTECT)
    number = models.PositiveSmallIntegerField()
    day = models.PositiveSmallIntegerField()
    opens_at = models.DateTimeField()
    target_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    status = models.CharField(max_length=16, choices=_choices(InfusionStatus))
    kit = models.OneToOneField(
        "Kit", on_delete=models.PROTECT, null=True, blank=True, related_name="current_infusion"
    )
    dispensed_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    volume_ml = models.DecimalField(max_digits=6, decimal_places=2, null=True, blank=True)
    outcome = models.CharField(max_length=16, blank=True)
    reason = models.TextField(max_length=2000, blank=True)
    deviations = models.JSONField(default=list, help_text="[{code, detail, recorded_at}]")
    reminded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["target_at", "participant__screening_number"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "number"], name="an_infusion_is_planned_once"),
            models.CheckConstraint(
                condition=Q(opens_at__lt=models.F("closes_at")), name="a_window_opens_before_it_closes"
            ),
        ]
        indexes = [models.Index(fields=["status", "opens_at"], name="infusion_due")]

    def __str__(self) -> str:
        return f"{self.participant_id} #{self.number}"


class Order(models.Model):
    """
    The masked side's request for one bag; the unmasked side takes it up as a ``Preparation``.

    The masked side learns nothing of the preparation until a kit is released.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    infusion = models.ForeignKey(Infusion, on_delete=models.PROTECT, related_name="orders")
    weight_kg = models.DecimalField(max_digits=5, decimal_places=2)
    weighed_at = models.DateTimeField()
    needed_at = models.DateTimeField()
    ward = models.CharField(max_length=100)
    ordered_at = models.DateTimeField()
    ordered_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)
    # Set when the order is cancelled, fulfilled by a release, or ended with the participant.
    closed_at = models.DateTimeField(null=True, blank=True)
    cancelled = models.BooleanField(default=False)
    cancel_reason = models.TextField(max_length=2000, blank=True)

    class Meta:
        ordering = ["ordered_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["infusion"], condition=Q(closed_at=None), name="an_infusion_has_one_open_order"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Kit(models.Model):
    """
    A released bag, as the masked side knows it: a number, for a participant and an infusion.

    The row is born at release; a bag rejected before that is never one.
    """

    number = models.CharField(primary_key=True, max_length=12)
    site = models.ForeignKey(Site, on_delete=models.PROTECT)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="kits")
    infusion = models.ForeignKey(Infusion, on_delete=models.PROTECT, related_name="kits")
    status = models.CharField(max_length=16, choices=_choices(KitStatus))
    released_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="As printed on the label.")
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.TextField(max_length=2000, blank=True)
    volume_ml = models.DecimalField(max_digits=6, decimal_places=2, null=True, blank=True)

    class Meta:
        ordering = ["released_at", "number"]

    def __str__(self) -> str:
        return self.number


class KitNumber(models.Model):
    """
    The pool of kit numbers, drawn at random before any is used. Unmasked side only.

    They are taken in order of ``position``, a shuffle of its own, so neither the number nor its
    place in the table tells of an arm.
    """

    number = models.CharField(primary_key=True, max_length=12)
    position = models.PositiveIntegerField(unique=True)
    taken = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["position"], condition=Q(taken=False), name="kit_number_free")]

    def __str__(self) -> str:
        return self.number


class Lot(models.Model):
    """Product made together: cells, or a component of the placebo. Unmasked side only."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    site = models.ForeignKey(Site, on_delete=models.PROTECT)
    component = models.CharField(max_length=32)
    number = models.CharField(max_length=64)
    expires_at = models.DateTimeField()
    certificate = models.CharField(max_length=200)
    received_at = models.DateTimeField()
    received_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT)

    class Meta:
        ordering = ["expires_at"]
        constraints = [
            models.UniqueConstraint(fields=["site", "component", "number"], name="a_lot_is_received_once"),
        ]

    def __str__(self) -> str:
        return self.number


class SiteReadiness(models.Model):
    """
    Until when a site can make the bags of *both* arms; all that the masked side learns of stock.

    Published by the unmasked side; empty where one of them cannot be made.
    """

    site = models.OneToOneField(Site, on_delete=models.PROTECT, primary_key=True)
    ready_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.site_id


class Preparation(models.Model):
    """
    The making of one bag under an order. Unmasked side only.

    The first attempt carries the order's id. What is in the bag stands in ``sealed_contents``, one
    size for every bag; in clear a bag is a number.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="preparations")
    site = models.ForeignKey(Site, on_delete=models.PROTECT)
    attempt = models.PositiveSmallIntegerField(default=1)
    status = models.CharField(max_length=16, choices=_choices(PreparationStatus))
    kit_number = models.OneToOneField(KitNumber, on_delete=models.PROTECT, null=True, blank=True)
    sealed_contents = models.JSONField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    prepared_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT, null=True, related_name="+")
    completed_at = models.DateTimeField(null=True, blank=True)
    # Who last opened the sheet of the completed bag, other than who prepared it.
    checked_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT, null=True, related_name="+")
    checked_at = models.DateTimeField(null=True, blank=True)
    verified_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT, null=True, related_name="+")
    verified_at = models.DateTimeField(null=True, blank=True)
    covered_by = models.ForeignKey(A_PERSON, on_delete=models.PROTECT, null=True, related_name="+")
    covered_at = models.DateTimeField(null=True, blank=True)
    dispatch_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["order__needed_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["order", "attempt"], name="an_attempt_is_made_once"),
            # Paired fields: who and when, or neither.
            models.CheckConstraint(
                condition=Q(completed_at=None, prepared_by=None)
                | Q(completed_at__isnull=False, prepared_by__isnull=False),
                name="a_completion_has_a_time_and_a_person",
            ),
            models.CheckConstraint(
                condition=Q(checked_at=None, checked_by=None)
                | Q(checked_at__isnull=False, checked_by__isnull=False),
                name="a_check_has_a_time_and_a_person",
            ),
            models.CheckConstraint(
                condition=Q(covered_at=None, covered_by=None)
                | Q(covered_at__isnull=False, covered_by__isnull=False),
                name="a_covering_has_a_time_and_a_person",
            ),
            models.CheckConstraint(
                condition=Q(verified_at=None, verified_by=None)
                | Q(verified_at__isnull=False, verified_by__isnull=False),
                name="a_verification_has_a_time_and_a_person",
            ),
            models.CheckConstraint(
                condition=Q(verified_by=None) | ~Q(verified_by=models.F("prepared_by")),
                name="a_second_person_verifies",
            ),
            models.CheckConstraint(
                condition=Q(covered_by=None) | ~Q(covered_by=models.F("prepared_by")),
                name="another_person_covers",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)
