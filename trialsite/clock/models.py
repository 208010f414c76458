"""The movable clock of an evaluation deployment."""

from __future__ import annotations

from django.db import models


class TrialClock(models.Model):
    """
    How far trial time runs ahead of real time: one row, zero outside evaluation.

    ``generation`` counts the advances; a sweeping process writes the generation whose due sweeps
    it has finished, so that the call that advances the clock can wait for them.
    """

    id = models.BooleanField(primary_key=True, default=True, editable=False)
    offset_seconds = models.BigIntegerField(default=0)
    generation = models.BigIntegerField(default=0)
    signer_swept = models.BigIntegerField(default=0)
    worker_swept = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=True), name="trial_clock_is_one_row"),
            models.CheckConstraint(
                condition=models.Q(offset_seconds__gte=0), name="trial_clock_never_runs_behind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.offset_seconds} s ahead"
