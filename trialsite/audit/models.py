"""
The audit trail's tables, read here and written only by the database's own append function.

``Entry`` and ``Head`` belong to the owner role. No application role may insert, update or delete
in them: ``append_audit_event`` (migration 0002) is the one way in.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Entry(models.Model):
    """One event. ``position`` is its leaf index in the tree; gap-free, in commit order."""

    position = models.BigIntegerField(primary_key=True)
    recorded_at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    leaf = models.BinaryField()
    body = models.BinaryField()

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.position} {self.kind}"


class Head(models.Model):
    """Size of the tree and the roots of its full subtrees, largest first: one row."""

    id = models.BooleanField(primary_key=True, default=True)
    size = models.BigIntegerField(default=0)
    frontier = ArrayField(models.BinaryField(), default=list)

    def __str__(self) -> str:
        return str(self.size)


class VisibleEvent(models.Model):
    """The view of the trail that masked roles may read: kinds of the masked side, parsed."""

    position = models.BigIntegerField(primary_key=True)
    recorded_at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    event = models.JSONField()

    class Meta:
        managed = False
        db_table = "audit_visible_event"
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.position} {self.kind}"


class Checkpoint(models.Model):
    """A signed C2SP checkpoint of the tree at ``size``."""

    size = models.BigIntegerField(primary_key=True)
    note = models.TextField()
    signed_at = models.DateTimeField()

    class Meta:
        ordering = ["size"]

    def __str__(self) -> str:
        return f"checkpoint {self.size}"


class Writer(models.Model):
    """Which database login may append which kind: ``trialsite.audit.kinds``, as the database reads it."""

    kind = models.CharField(max_length=40)
    login = models.CharField(max_length=32)
    masked_visible = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "login"], name="a_writer_stands_once")]

    def __str__(self) -> str:
        return f"{self.login} {self.kind}"
