"""People, sites and what proves who a person is."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib.auth import hashers
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q

from trialsite.accounts.roles import FACE_CHOICES, ROLE_CHOICES, STAFF_ROLES
from trialsite.ids import new_id


class Site(models.Model):
    """A hospital that treats participants; loaded from the trial file."""

    code = models.CharField(primary_key=True, max_length=16)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username=username)


class User(AbstractBaseUser):
    """
    One person. Written by unmasked-side commands only: the masked face's database login may read
    accounts and may not write them, so a masked identity cannot become an unmasked one.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    username = models.CharField(max_length=64, unique=True)
    full_name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    is_active = models.BooleanField(default=True)
    is_superuser = models.BooleanField(default=False, help_text="Sees every masked page of the admin.")
    created_at = models.DateTimeField()
    # Not kept: the masked face, which signs people in to the admin, may not write accounts.
    last_login = None

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        ordering = ["username"]

    def __str__(self) -> str:
        return self.username

    @property
    def roles(self) -> list[RoleGrant]:
        """The person's roles in force; read once per instance."""
        cached: list[RoleGrant] | None = self.__dict__.get("_roles")
        if cached is None:
            cached = list(self.role_grants.filter(ended_at=None).select_related("site"))
            self.__dict__["_roles"] = cached
        return cached

    def know_roles(self, grants: Iterable[RoleGrant]) -> None:
        """Take over the person's roles in force from whoever has just read them."""
        self.__dict__["_roles"] = list(grants)

    @property
    def is_staff(self) -> bool:
        """Whether the person may sign in to the (masked) admin."""
        return self.is_superuser or any(grant.role in STAFF_ROLES for grant in self.roles)

    def check_password(self, raw_password: str | None) -> bool:
        """Never re-hashes, as Django's own may: no web process may write accounts."""
        return hashers.check_password(raw_password, self.password)

    def has_perm(self, perm: str, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """The admin is for looking: its pages ask for view permissions only."""
        return self.is_active and self.is_staff and perm.partition(".")[2].startswith("view_")

    def has_module_perms(self, app_label: str) -> bool:  # noqa: ARG002 - Django's signature
        return self.is_active and self.is_staff


class RoleGrant(models.Model):
    """A role that a person holds, at one site or (site empty) in the whole trial; ended, never deleted."""

    id: models.UUIDField[uuid.UUID, uuid.UUID] = models.UUIDField(
        primary_key=True, default=new_id, editable=False
    )
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="role_grants")
    role = models.CharField(max_length=32, choices=ROLE_CHOICES)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, null=True, blank=True)
    granted_at = models.DateTimeField()
    granted_by = models.CharField(max_length=64)
    approved_by = models.CharField(max_length=64)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["user__username", "role"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "role", "site"],
                condition=Q(ended_at=None),
                nulls_distinct=False,
                name="a_role_is_held_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} {self.role} {self.site_id or '*'}"


class SecondFactor(models.Model):
    """A person's one-time-code secret, sealed under the factor key of the one face that checks it."""

    user = models.OneToOneField(User, on_delete=models.PROTECT, primary_key=True)
    face = models.CharField(max_length=8, choices=FACE_CHOICES)
    sealed_secret = models.BinaryField()
    enrolled_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user} ({self.face})"


class UsedCode(models.Model):
    """
    A one-time code that was used, so that it is used once for each purpose.

    Purposes have separate memories: signing in seconds earlier does not refuse a code break.
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT)
    purpose = models.CharField(max_length=16)
    step = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "purpose", "step"], name="a_code_works_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.purpose} {self.step}"


class WorkSession(models.Model):
    """Eight hours at the preparation desk, opened with password and one-time code; unmasked face only."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT)
    digest = models.BinaryField(unique=True)
    opened_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} until {self.expires_at}"
