"""
Accounts and roles. Done by unmasked-side commands, each change on the trail.

The masked face's database login cannot write any of this, so a masked identity cannot become an
unmasked one.
"""

from __future__ import annotations

import datetime as dt

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from trialsite.accounts.models import RoleGrant, Site, User
from trialsite.accounts.roles import SITE_ROLES, UNMASKED_ROLES, Role, conflicts
from trialsite.accounts.services.changes import account_changed, require_manager
from trialsite.errors import Refused

LONGEST_PASSWORD = 128


class PasswordTooWeak(Refused):
    """The password is shorter than 15 characters, longer than 128, common, or like the name."""

    code = "password_too_weak"
    status = 400


class UsernameTaken(Refused):
    """There is a person of this username already; usernames are never given twice."""

    code = "username_taken"


class SecondPersonNeeded(Refused):
    """A role is granted by two people, neither of whom is the one who gets it."""

    code = "second_person_needed"


class RolesConflict(Refused):
    """The person holds, or once held on the unmasked side, a role that excludes this one."""

    code = "roles_conflict"


class RoleNeedsSite(Refused):
    """A site role is held at one site; a role of the whole trial at none."""

    code = "role_needs_site"
    status = 400


class RoleNotHeld(Refused):
    """The person does not hold the role there."""

    code = "role_not_held"


def create_user(
    *, username: str, full_name: str, email: str, password: str, by: User | str, at: dt.datetime
) -> User:
    """
    Make an account without any role.

    :raises NotPermitted: if ``by`` is a person who may not manage people.
    :raises UsernameTaken: if the username is in use, or ever was.
    :raises PasswordTooWeak: if the password breaks the rules.
    """
    require_manager(by)
    user = User(username=username, full_name=full_name, email=email, created_at=at)
    user.password = _hashed(password, user=user)
    with transaction.atomic():
        if User.objects.filter(username=username).exists():
            raise UsernameTaken("There is a person of this username already.")
        user.save(force_insert=True)
        account_changed("created", user=user, by=by, at=at)
    return user


def set_password(*, user: User, password: str, by: User | str, at: dt.datetime) -> None:
    """
    Replace the password.

    :raises NotPermitted: if ``by`` is a person who may not manage people.
    :raises PasswordTooWeak: if the new one breaks the rules.
    """
    require_manager(by)
    hashed = _hashed(password, user=user)
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(password=hashed)
        account_changed("password_set", user=user, by=by, at=at)


def deactivate_user(*, user: User, by: User | str, at: dt.datetime) -> None:
    """
    Shut the account: its next request on either face is refused. It is never deleted.

    :raises NotPermitted: if ``by`` is a person who may not manage people.
    """
    require_manager(by)
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(is_active=False)
        account_changed("deactivated", user=user, by=by, at=at)


def grant_role(
    *, user: User, role: Role, site: Site | None, by: User | str, approved_by: User | str, at: dt.datetime
) -> RoleGrant:
    """
    Give ``user`` a role. Two people stand for it, and nobody grants to themselves.

    Whoever was on the unmasked side may have seen arms, and what was seen stays seen: a role of the
    unmasked side excludes its opposites although it has ended.

    :raises NotPermitted: if ``by`` is a person who may not manage people.
    :raises SecondPersonNeeded: if the two are one, or one of them is ``user``.
    :raises RoleNeedsSite: if a site is missing, or is given for a role of the whole trial.
    :raises RolesConflict: if the person's roles exclude it.
    """
    require_manager(by)
    if len({str(by), str(approved_by), str(user)}) < 3 and isinstance(by, User):
        raise SecondPersonNeeded("A role takes two people, neither of them the one who gets it.")
    if (role in SITE_ROLES) != (site is not None):
        raise RoleNeedsSite("A site role takes a site, any other role none.")
    with transaction.atomic():
        # One person's grants are made one after the other, so that two cannot pass each other's check.
        User.objects.select_for_update().get(pk=user.pk)
        if conflicts(_held_or_exposed(user), role):
            raise RolesConflict("The person holds or held a role that excludes this one.")
        grant = RoleGrant.objects.create(
            user=user,
            role=role.value,
            site=site,
            granted_at=at,
            granted_by=str(by),
            approved_by=str(approved_by),
        )
        second = str(approved_by.id) if isinstance(approved_by, User) else approved_by
        facts = {"role": role.value, "site": site.code if site else "", "approved_by": second}
        account_changed("role_granted", user=user, by=by, at=at, **facts)
    _forget_roles(user)
    return grant


def end_role(*, user: User, role: Role, site: Site | None, by: User | str, at: dt.datetime) -> None:
    """
    End a role; what it allowed is refused from the next request on.

    :raises NotPermitted: if ``by`` is a person who may not manage people.
    :raises RoleNotHeld: if the person does not hold it there.
    """
    require_manager(by)
    with transaction.atomic():
        held = RoleGrant.objects.filter(user=user, role=role.value, site=site, ended_at=None)
        if not held.update(ended_at=at):
            raise RoleNotHeld("The person does not hold this role there.")
        facts = {"role": role.value, "site": site.code if site else ""}
        account_changed("role_ended", user=user, by=by, at=at, **facts)
    _forget_roles(user)


def _held_or_exposed(user: User) -> frozenset[Role]:
    grants = RoleGrant.objects.filter(user=user).values_list("role", "ended_at")
    return frozenset(Role(role) for role, ended in grants if ended is None or Role(role) in UNMASKED_ROLES)


def _forget_roles(user: User) -> None:
    """Let ``user.roles`` be read anew from this instance too."""
    user.__dict__.pop("_roles", None)


def _hashed(password: str, *, user: User) -> str:
    """
    :raises PasswordTooWeak: if the password breaks the rules.
    """
    if len(password) > LONGEST_PASSWORD:
        raise PasswordTooWeak(f"A password has at most {LONGEST_PASSWORD} characters.")
    try:
        validate_password(password, user=user)
    except ValidationError as error:
        raise PasswordTooWeak(" ".join(error.messages)) from None
    return make_password(password)
